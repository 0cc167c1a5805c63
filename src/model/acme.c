/* acme.c - what nodes of one database share while they get certificates by ACME: the tables of an
 * account, of what answers a validation, of whose turn it is, and of how it went with each host.
 * Certificates themselves are rows like any other. No nouns of the Admin API, and in no exported
 * file: secrets, and of this database alone. */
#include "model/entities.h"
#include "model/field_checks.h"

/* `key` is the directory's URL, `url` the account's name with that authority; null: not known yet.
 * `not_before` is until when the authority wants no orders, in seconds since 1970. */
static const struct field account_fields[] = {
    FIELD_ID,
    {.name = "key", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "private_key", .type = FIELD_STRING, .required = true, .encrypted = true},
    {.name = "url", .type = FIELD_STRING},
    {.name = "not_before", .type = FIELD_INTEGER},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity acme_account_entity = {
    .name = "acme_accounts",
    .endpoint_key = "key",
    .fields = account_fields,
    .is_internal = true,
    .is_unexported = true,
    .is_uncompiled = true,
};

/* `key` is the token, `answer` what proves that we are the host (RFC 8555, section 8.1). */
static const struct field challenge_fields[] = {
    FIELD_ID,
    {.name = "key", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "host", .type = FIELD_STRING, .required = true},
    {.name = "type", .type = FIELD_STRING, .required = true},
    {.name = "answer", .type = FIELD_STRING, .required = true, .encrypted = true},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity acme_challenge_entity = {
    .name = "acme_challenges",
    .endpoint_key = "key",
    .fields = challenge_fields,
    .is_internal = true,
    .is_unexported = true,
};

/* `token` is new with each renewal: who sees the same one for too long takes the lease. */
static const struct field lease_fields[] = {
    FIELD_ID,
    {.name = "key", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "holder", .type = FIELD_STRING, .required = true},
    {.name = "token", .type = FIELD_STRING, .required = true, .uuid = true},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity acme_lease_entity = {
    .name = "acme_leases",
    .endpoint_key = "key",
    .fields = lease_fields,
    .is_internal = true,
    .is_unexported = true,
    .is_uncompiled = true,
};

/* A host whose last attempt failed; `next_at` and `error_at` are seconds since 1970. */
static const struct field failure_fields[] = {
    FIELD_ID,
    {.name = "key", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "failures", .type = FIELD_INTEGER, .required = true},
    {.name = "next_at", .type = FIELD_INTEGER, .required = true},
    {.name = "error", .type = FIELD_STRING, .required = true},
    {.name = "error_at", .type = FIELD_INTEGER, .required = true},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity acme_failure_entity = {
    .name = "acme_failures",
    .endpoint_key = "key",
    .fields = failure_fields,
    .is_internal = true,
    .is_unexported = true,
    .is_uncompiled = true,
};

/* How often a host has got a certificate since a time, at most a week before the last. */
static const struct field history_fields[] = {
    FIELD_ID,
    {.name = "key", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "count", .type = FIELD_INTEGER, .required = true},
    {.name = "since", .type = FIELD_INTEGER, .required = true},
    {.name = "last_at", .type = FIELD_INTEGER, .required = true},
    {.name = "lives_s", .type = FIELD_INTEGER, .required = true}, /* the last one */
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity acme_history_entity = {
    .name = "acme_histories",
    .endpoint_key = "key",
    .fields = history_fields,
    .is_internal = true,
    .is_unexported = true,
    .is_uncompiled = true,
};
