/* target.c - one host:port of an upstream, with a weight: the table of its fields. */
#include "model/address.h"
#include "model/entities.h"
#include "model/field_checks.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#define DEFAULT_PORT 8000u

static bool check_target(const json_t *value, char *message, size_t size)
{
    struct address address;
    if (address_parse(str_of(json_string_value(value)), &address) == ADDRESS_FINE)
        return true;
    snprintf(message, size, "Invalid target ('%s'); not a valid hostname or ip address",
             json_string_value(value));
    return false;
}

/* One target has one text: with its port, IPv4 without leading zeros, IPv6 in full in brackets. */
static int normalise_target(json_t **value)
{
    struct address address;
    if (address_parse(str_of(json_string_value(*value)), &address))
        return 0; /* it has been checked */
    unsigned port = address.has_port ? address.port : DEFAULT_PORT;
    json_t *text = NULL;
    switch (address.kind) {
    case ADDRESS_NAME:
        text = json_sprintf("%.*s:%u", STR_ARG(address.name), port);
        break;
    case ADDRESS_IPV4:
        text = json_sprintf("%s:%u", address.ip, port);
        break;
    case ADDRESS_IPV6:
        text = json_sprintf("[%s]:%u", address.ip, port);
        break;
    }
    if (!text)
        return UV_ENOMEM;
    json_decref(*value);
    *value = text;
    return 0;
}

static const struct field fields[] = {
    FIELD_ID,
    {.name = "upstream",
     .type = FIELD_FOREIGN,
     .required = true,
     .reference = "upstreams",
     .cascade = true},
    {.name = "target",
     .type = FIELD_STRING,
     .required = true,
     .check = check_target,
     .normalise = normalise_target},
    {.name = "weight", .type = FIELD_INTEGER, .default_json = "100", BETWEEN(0, 65535)},
    FIELD_TAGS,
    FIELD_MILLISECONDS_AT("created_at"),
    FIELD_MILLISECONDS_AT("updated_at"),
    {.name = NULL},
};

static const char *const upstream_and_target[] = {"upstream", "target", NULL};

const struct entity target_entity = {
    .name = "targets",
    .nested_under = "upstream",
    .endpoint_key = "target",
    .unique_together = upstream_and_target,
    .fields = fields,
    .replace_only = true,
    .newest_first = true,
    .fine_timestamps = true,
};
