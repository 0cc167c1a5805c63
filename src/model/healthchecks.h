/* healthchecks.h - the fields of health checks, which upstreams have always and services may have.
 *
 * Thread: any; tables are constant. */
#ifndef MODEL_HEALTHCHECKS_H
#define MODEL_HEALTHCHECKS_H

#include <stdbool.h>

#include <jansson.h>

#include "model/entity.h"

/* Of an upstream: Kong's fields, and passive.healthy.interval, which Kong has not. */
extern const struct field healthchecks_fields[];
/* Of a service: besides those the shorter names active.https_path, active.interval and
 * unhealthy.failures, which stand for several. */
extern const struct field service_healthchecks_fields[];

/* Puts the values of the shorter names in the places that they stand for. `healthchecks` is a
 * complete, valid record of a service, changed in place; NULL and null are fine. `is_plain`: the
 * service's protocol has no TLS, so what is called https_path is probed without it too. */
void healthchecks_spell_out(json_t *healthchecks, bool is_plain);

#endif
