/* log.h - one line an event, on standard error: for people on a terminal, JSON otherwise.
 *
 *     log_info("target joined", LOG_CSTR("upstream", name), LOG_INT("weight", weight));
 *
 * Messages are constant sentences without full stop; what varies goes into fields. Bytes from
 * outside are escaped, so that no peer can forge a line.
 *
 * Thread: any; a line is one write. Memory: a buffer on the stack; what does not fit is cut and the
 * line stays well-formed. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_DEBUG = 0, LOG_INFO, LOG_NOTICE, LOG_WARN, LOG_ERROR, LOG_CRIT };

enum log_field_kind { LOG_FIELD_NONE = 0, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_BOOL };

struct log_field {
    const char *key;
    enum log_field_kind kind;
    struct str str;
    int64_t number;
};

#define LOG_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = (v)})
#define LOG_CSTR(k, v) LOG_STR(k, str_of(v))
#define LOG_INT(k, v)                                                                              \
    ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .number = (int64_t)(v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_BOOL, .number = (v)})

/* The lowest level that is written; LOG_INFO until set. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "debug", "info", "notice", "warn", "error", "crit" and Kong's "alert", "emerg". */
bool log_level_parse(struct str name, enum log_level *ret);
const char *log_level_name(enum log_level level);
bool log_is_on(enum log_level level);

void log_write(enum log_level level, const char *msg, const struct log_field *fields, int count);

#define LOG_AT(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (log_is_on(level)) {                                                                    \
            const struct log_field log_fields_[] = {{.key = NULL}, ##__VA_ARGS__};                 \
            log_write(level, msg, log_fields_ + 1,                                                 \
                      (int)(sizeof(log_fields_) / sizeof(log_fields_[0])) - 1);                    \
        }                                                                                          \
    } while (0)

#define log_debug(msg, ...) LOG_AT(LOG_DEBUG, msg, ##__VA_ARGS__)
#define log_info(msg, ...) LOG_AT(LOG_INFO, msg, ##__VA_ARGS__)
#define log_notice(msg, ...) LOG_AT(LOG_NOTICE, msg, ##__VA_ARGS__)
#define log_warn(msg, ...) LOG_AT(LOG_WARN, msg, ##__VA_ARGS__)
#define log_error(msg, ...) LOG_AT(LOG_ERROR, msg, ##__VA_ARGS__)
#define log_crit(msg, ...) LOG_AT(LOG_CRIT, msg, ##__VA_ARGS__)

/* Formats one line, with its newline, into `line`, in the form for people or as JSON. Returns its
 * length, at most `size`. For log_write and its test. */
size_t log_format(char *line, size_t size, bool for_people, int64_t unix_ms, enum log_level level,
                  const char *msg, const struct log_field *fields, int count);

/* Appends `text` with JSON's escapes (and no quotes) to out, up to `end`; returns the new end of
 * out. Cuts at a whole escape. Bytes that are not UTF-8 become \ufffd. */
char *log_escape(char *out, const char *end, struct str text);

#endif
