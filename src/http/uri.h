/* uri.h - request targets: split, normalised for matching, and escaped again for the upstream.
 *
 * Thread: any. Memory: the caller's. */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct uri {
    struct str authority; /* of an absolute-form target (RFC 9112, section 3.2.2), else empty */
    struct str path;      /* as sent, before the first '?'; never empty; "*" for OPTIONS * */
    struct str query;     /* after the first '?', may be empty */
    bool has_query;       /* a bare trailing '?' is kept */
};

/* Splits a request target in origin, absolute or asterisk form. False when it is neither, or holds
 * bytes that no target may (RFC 3986: controls, space, '#'…). Slices borrow from target. */
bool uri_parse(struct str target, struct uri *ret);

/* The path as routes are matched against it (Kong's rule): every %XX decoded but for the reserved
 * !*'();:@&=+$,/?%#[] (kept, hex in upper case), "." and ".." segments resolved, "//" merged.
 * A path that is normal already is returned as it is, without a copy; else it is written to `out`,
 * which has room for path.len + 1. False when a %XX is malformed, decodes to NUL, or ".." climbs
 * above the root (then the path is clamped at "/" as Kong does; not an error). */
bool uri_normalise(struct str path, char *out, struct str *ret);

/* Escapes what may not stand in an upstream path: everything outside
 * !#$&'()*+,/:;=?@[]A-Za-z0-9-_.~%. Returns the length needed; writes only when it fits `size`. */
size_t uri_escape_path(struct str path, char *out, size_t size);

/* "host", "host:port", "[v6]", "[v6]:port" (RFC 9110, section 4.2.3). *ret_port is 0 when there is
 * none. The host keeps its brackets. False for anything else. */
bool uri_split_host(struct str authority, struct str *ret_host, uint16_t *ret_port);

#endif
