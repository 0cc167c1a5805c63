/* path.h - the path that the upstream sees, by Kong's rules (path handling v0 and v1).
 *
 * Thread: any. Memory: the caller's. */
#ifndef PROXY_PATH_H
#define PROXY_PATH_H

#include "base/str.h"
#include "model/snapshot.h"

/* Writes the escaped upstream path for a normalised request path, of which the route's matcher took
 * the first matched_len bytes (has_path: a path matcher took part at all). The query is not
 * included. Returns the length needed: where that is more than `size`, what was written is of no
 * use. *ret_prefix gets the stripped prefix for X-Forwarded-Prefix (a slice of `path`), empty when
 * the header is omitted. */
size_t path_for_upstream(const struct route *route, struct str path, uint32_t matched_len,
                         bool has_path, char *out, size_t size, struct str *ret_prefix);

#endif
