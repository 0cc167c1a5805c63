/* consumer.c - who uses services: the table of its fields. Credentials say how one is known. */
#include "model/entities.h"
#include "model/entity_rules.h"
#include "model/field_checks.h"

static const struct field fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = "username", .type = FIELD_STRING, .unique = true},
    {.name = "custom_id", .type = FIELD_STRING, .unique = true},
    FIELD_TAGS,
    {.name = NULL},
};

static const char *const names[] = {"custom_id", "username", NULL};
static const struct entity_rule rules[] = {
    {.kind = RULE_AT_LEAST_ONE, .fields = names},
    {.kind = RULE_END},
};

const struct entity consumer_entity = {
    .name = "consumers",
    .path = "consumers",
    .endpoint_key = "username",
    .searched_by = "custom_id",
    .fields = fields,
    .rules = rules,
};
