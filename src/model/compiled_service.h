/* compiled_service.h - a service's row in the form that workers need, kept from one snapshot to the
 * next for as long as the row, and the Host that its upstream asks for, stay (row_cache.h).
 *
 * Thread: made by control; `service` is immutable then, the fields behind it are control's alone.
 * The last snapshot that holds it may go on any thread. Memory: one block with all its texts. */
#ifndef MODEL_COMPILED_SERVICE_H
#define MODEL_COMPILED_SERVICE_H

#include <stdatomic.h>
#include <stddef.h>

#include <jansson.h>

#include "model/snapshot.h"

struct wanted; /* discovery/registry.h */

struct compiled_service {
    _Atomic uint32_t refs;
    struct service service;  /* without its upstream and TLS, which are the snapshot's */
    bool is_enabled;         /* else it does not exist for traffic */
    bool names_upstream;     /* its host is an upstream's name */
    struct wanted *wanted;   /* borrowed; NULL until the registry has been asked */
    struct tls_client *tls;  /* referenced; NULL: none, or not yet made */
    uint64_t tls_generation; /* of the certificates that it was made of */
    uint64_t build;          /* that it was part of last, and its place among that one's services */
    uint32_t place;
};

/* With one reference; NULL when memory is short. `upstream` is the row that the host names, or
 * NULL. Copies all it needs of both. */
struct compiled_service *compiled_service_create(const json_t *row, const json_t *upstream);
/* Whether compiling it anew would change nothing, if its row is the same. */
bool compiled_service_fits(const struct compiled_service *compiled, const json_t *upstream);
struct compiled_service *compiled_service_ref(struct compiled_service *compiled);
void compiled_service_unref(struct compiled_service *compiled); /* NULL is fine */

#endif
