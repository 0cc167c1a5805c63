/* router.h - from a request to its route, by Kong's rules (traditional_compatible).
 *
 * A match costs O(length of the path) for literal paths, however many routes there are.
 *
 * Thread: built by control, then immutable and shared by workers. Memory: owns its tables; borrows
 * the routes, which must outlive it (both hang on one snapshot). */
#ifndef PROXY_ROUTER_H
#define PROXY_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "http/message.h"
#include "model/snapshot.h"

struct router;
struct router_regex;

struct router_query {
    struct str method;
    struct str host; /* from Host or an absolute-form target, without port; case is ignored */
    uint16_t port;   /* the one that came with it, 0 when there was none */
    uint16_t listener_port;
    struct str path;              /* normalised */
    const struct http_head *head; /* for header matchers */
    struct str sni;               /* empty on a plaintext listener */
    bool is_tls;
};

struct router_match {
    const struct route *route;
    uint32_t
        matched_len; /* bytes of the path that the winning path matcher took; 0 when it has none */
    bool has_path;   /* a path matcher took part */
    const struct router_regex *regex; /* the winning path matcher's; NULL: it is literal */
};

/* 0 and an owned router; UV_ENOMEM; UV_EINVAL with *err naming the route and the bad regex. What
 * `before` (NULL: none; borrowed during the call) has compiled is not compiled again. */
int router_create(const struct route *routes, uint32_t count, const struct router *before,
                  struct router **ret, struct error *err);
void router_destroy(struct router *router); /* NULL is fine */

/* False when no route matches. Allocates nothing. */
bool router_find(const struct router *router, const struct router_query *query,
                 struct router_match *ret);

#endif
