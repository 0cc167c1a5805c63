/* spec_copy.h - an upstream's spec, kept.
 *
 * Thread: control. Memory: owns all that its spec points to. */
#ifndef DISCOVERY_SPEC_COPY_H
#define DISCOVERY_SPEC_COPY_H

#include "base/arena.h"
#include "discovery/registry.h"

struct spec_copy {
    struct upstream_spec spec; /* borrowed from here on */
    struct arena arena;
    json_t *discovery;           /* owned; NULL: none */
    json_t *healthchecks;        /* owned; NULL: none */
    json_t *client_certificate;  /* likewise */
    struct balancing *balancing; /* referenced; NULL: by default */
};

/* 0 or UV_ENOMEM. */
int spec_copy_create(const struct upstream_spec *spec, struct spec_copy **ret);
void spec_copy_destroy(struct spec_copy *copy); /* NULL is fine */
bool spec_equal(const struct upstream_spec *a, const struct upstream_spec *b);
/* Of spec_equal the part about health checks. */
bool spec_equal_checks(const struct upstream_spec *a, const struct upstream_spec *b);

#endif
