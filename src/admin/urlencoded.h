/* urlencoded.h - "a=1&b=%20": percent-encoding undone, in query strings, forms and path segments.
 *
 * Thread: any. Memory: decodes in place; results borrow from the text. */
#ifndef ADMIN_URLENCODED_H
#define ADMIN_URLENCODED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

#define URLENCODED_MAX_ARGS 1000 /* Kong's limit, for queries and forms alike */

struct urlencoded_arg {
    struct str name;
    struct str value; /* empty when there was no '=' */
};

/* Undoes %XX, and '+' where it stands for a space; what is no %XX stays as it is. Returns the new
 * length. */
size_t urlencoded_decode(char *text, size_t len, bool plus_is_space);

/* How many arguments the text has at most: for the size of the array. */
size_t urlencoded_count(struct str text);
/* Splits at '&' and '=' and decodes both sides; empty pieces are skipped. Returns how many of
 * args[0..max) were filled; what is beyond max is dropped. */
size_t urlencoded_split(char *text, size_t len, struct urlencoded_arg *args, size_t max);

/* Escapes all but RFC 3986's unreserved characters into `out` (3 * text.len + 1 bytes), terminated.
 */
void urlencoded_escape(struct str text, char *out);

#endif
