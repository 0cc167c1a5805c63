/* endpoints.h - what paths the Admin API has: a fixed table, and one made from the entities.
 *
 *     /E                  list, create           /P/{P}/E        the same under a parent
 *     /E/{E}              read, put, patch, delete  /P/{P}/E/{E}
 *     /E/{E}/F            the entity that a foreign field F refers to
 *
 * A new entity is a table in model/ and nothing here.
 *
 * Thread: control; immutable once made. Memory: reference-counted, since a request whose client has
 * gone may outlive the server. */
#ifndef ADMIN_ENDPOINTS_H
#define ADMIN_ENDPOINTS_H

#include <jansson.h>

#include "admin/request.h"
#include "model/entity.h"

typedef void (*admin_handler_cb)(struct admin_request *request);

struct admin_endpoint {
    /* Literal, or "{name}" for anything; NULL after the last. */
    const char *segments[ADMIN_MAX_SEGMENTS + 1];
    admin_handler_cb handlers[ADMIN_METHOD_COUNT]; /* NULL: 405 */
    const struct entity *entity;                   /* what is read or written; NULL: none */
    /* /P/{P}/E: P, and E's field that refers to it. /E/{E}/F: the entity whose row comes first, and
     * its field F; `entity` is then what F refers to. */
    const struct entity *parent;
    const char *foreign;
    bool takes_yaml; /* a body of YAML becomes the input's "config" */
};

/* `is_status_only`: no more than who may look but not touch needs: /status, /status/ready and
 * /metrics. The caller owns the first reference. 0 or UV_ENOMEM. */
int admin_endpoints_create(bool is_status_only, struct admin_endpoints **ret);
struct admin_endpoints *admin_endpoints_ref(struct admin_endpoints *endpoints);
void admin_endpoints_unref(struct admin_endpoints *endpoints); /* NULL is fine */

/* The endpoint of the request's segments, whose params it sets; NULL: none. */
const struct admin_endpoint *admin_endpoints_match(const struct admin_endpoints *endpoints,
                                                   struct admin_request *request);

/* All of them, in the order in which they are looked at; borrowed. */
const struct admin_endpoint *admin_endpoints_all(const struct admin_endpoints *endpoints,
                                                 size_t *ret_count);

#define ADMIN_ALLOW_BYTES 64
/* "GET, HEAD, OPTIONS, POST": sorted, as Allow lists them. */
void admin_endpoint_allow(const struct admin_endpoint *endpoint, char text[ADMIN_ALLOW_BYTES]);

/* GET /endpoints. */
void admin_endpoints_list(struct admin_request *request);

#endif
