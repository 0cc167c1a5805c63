/* log_format.h - what a line of the access log says: text with $variables, compiled once.
 *
 * A format that begins with '{' is JSON: values are escaped as JSON strings are. In all others
 * bytes that are no printable ASCII, quotes and backslashes become \xHH, and what is missing is
 * "-".
 *
 * Thread: immutable once made. Memory: one object. */
#ifndef PROXY_LOG_FORMAT_H
#define PROXY_LOG_FORMAT_H

#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

struct access_line;
struct log_format;

/* `text` is "combined", "json" or a format of one's own (copied). 0 and an owned object, or NULL in
 * *ret for combined, which access_log.h writes; UV_EINVAL with *err, whose field is `source`: a
 * variable that doesn't exist; or UV_ENOMEM. */
int log_format_create(const char *text, const char *source, struct log_format **ret,
                      struct error *err);
void log_format_destroy(struct log_format *format); /* NULL is fine */

/* One line with its newline. Returns the length; 0 when it does not fit. */
size_t log_format_write(const struct log_format *format, const struct access_line *line, char *out,
                        size_t size);

#endif
