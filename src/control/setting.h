/* setting.h - one setting: its names, what is allowed, and how its text becomes a value; and the
 * table of all of them. Where texts come from is options.c's work.
 *
 * Thread: any. Memory: constants. */
#ifndef CONTROL_SETTING_H
#define CONTROL_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct options;
struct setting;

/* Puts what `text` means into *options. 0, UV_ENOMEM, or UV_EINVAL with *err, whose field is
 * `source`, the name that the human wrote. */
typedef int (*setting_parse_cb)(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err);

struct setting {
    const char *name;     /* "proxy_listen": WEIR_PROXY_LISTEN, --proxy-listen */
    const char *value;    /* what to put there, for the help: "ADDRESSES" */
    const char *kong;     /* Kong's variables of the same meaning, by preference; NULL: none */
    const char *other;    /* another tool's variable; NULL: none */
    const char *initial;  /* the default; NULL: none, or one that depends on the machine */
    const char *computed; /* the default in words, where `initial` doesn't say it */
    const char *allowed;  /* follows "must be " */
    const char *help;     /* one sentence */
    setting_parse_cb parse;
    size_t offset;     /* in struct options, for the parsers that serve several settings */
    uint64_t min, max; /* the same */
    bool is_secret;
};

extern const struct setting settings[];
extern const unsigned setting_count;

#define SETTING_NAME_BYTES 64 /* the longest spelling of a name, with its terminator */

/* "WEIR_PROXY_LISTEN" and "--proxy-listen" for "proxy_listen"; names too long are cut. */
void setting_variable(const char *name, char out[SETTING_NAME_BYTES]);
void setting_flag(const char *name, char out[SETTING_NAME_BYTES]);

/* The setting called `name`, with '-' for '_' allowed; NULL when there is none. */
const struct setting *setting_find(const char *name);
/* The name nearest to a mistyped one, '-' for '_' allowed; NULL when none is near. */
const char *setting_nearest(const char *name);

#endif
