/* ticket_key.c - a secret that nodes of one database derive the keys of TLS session tickets from: a
 * row for each period of time, so that a session which began at one node is resumed at another. No
 * noun of the Admin API, and in no exported file: it is worth nothing elsewhere but to a thief.
 *
 * `key` is "<lifetime of sessions>/<number of the period>", both in seconds' terms of
 * net/tls_tickets.h. */
#include "model/entities.h"
#include "model/field_checks.h"

static const struct field fields[] = {
    FIELD_ID,
    {.name = "key", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "secret", .type = FIELD_STRING, .required = true, .encrypted = true},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity ticket_key_entity = {
    .name = "ticket_keys",
    .endpoint_key = "key",
    .fields = fields,
    .is_internal = true,
    .is_unexported = true,
};
