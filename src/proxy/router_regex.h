/* router_regex.h - the regexes of routes: compiled once, run with limits, without allocation.
 *
 * Thread: compiled by control, run by any worker; what a run needs is the thread's own and is made
 * at its first run. Memory: a regex is owned by who compiled it. */
#ifndef PROXY_ROUTER_REGEX_H
#define PROXY_ROUTER_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct router_regex; /* PCRE2's compiled code by another name */

/* 0; UV_ENOMEM; UV_EINVAL with the reason in `message`. Anchored: it matches from the start only.
 * No regex is anchored at the end. */
int router_regex_compile(struct str pattern, bool anchored, bool ignore_case,
                         struct router_regex **ret, char *message, size_t size);
void router_regex_destroy(struct router_regex *regex); /* NULL is fine */

/* A run that exceeds its limits of work or memory is no match. *ret_end is where the match ends. */
bool router_regex_match(const struct router_regex *regex, struct str subject, size_t *ret_end);

/* What the group of that name took of a subject that matches; false when it took nothing, or there
 * is no such group. Allocates. */
bool router_regex_capture(const struct router_regex *regex, struct str subject, struct str name,
                          struct str *ret);
/* The same for the group of that number; 0: all that matched. */
bool router_regex_capture_number(const struct router_regex *regex, struct str subject,
                                 uint64_t number, struct str *ret);

/* Writes the literal text that every match of an anchored pattern starts with, perhaps none, to
 * `out`, which has room for pattern.len. Returns its length. */
size_t router_regex_literal_prefix(struct str pattern, char *out);

/* Writes the longest literal text that we know every match of the pattern to hold somewhere,
 * perhaps none, to `out`, which has room for twice pattern.len. Returns its length.
 * router_required.c. */
size_t router_regex_required_literal(struct str pattern, char *out);

#endif
