/* health_order.c - what somebody has said of a target's health, by PUT …/targets/{t}/healthy or
 * …/unhealthy: the table of its fields. A row so that every node hears of it, also one that was
 * away or starts later; no noun of the Admin API.
 *
 * There is one row for each target that was spoken of, or one address of it; `token` is new with
 * each order. */
#include "model/entities.h"
#include "model/field_checks.h"

static const struct field fields[] = {
    FIELD_ID,
    {.name = "key", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "upstream",
     .type = FIELD_FOREIGN,
     .required = true,
     .reference = "upstreams",
     .cascade = true},
    /* The stored target, and of its addresses the one that is meant (null: all); or the address of
     * a discovered one and Consul's instance. */
    {.name = "target", .type = FIELD_FOREIGN, .reference = "targets", .cascade = true},
    {.name = "address", .type = FIELD_STRING},
    {.name = "instance", .type = FIELD_STRING},
    {.name = "healthy", .type = FIELD_BOOLEAN, .required = true},
    /* Nothing but another order ends it: also who starts later obeys. */
    {.name = "stands", .type = FIELD_BOOLEAN, .required = true},
    {.name = "token", .type = FIELD_STRING, .required = true, .uuid = true},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity health_order_entity = {
    .name = "health_orders",
    .endpoint_key = "key",
    .fields = fields,
    .is_internal = true,
};
