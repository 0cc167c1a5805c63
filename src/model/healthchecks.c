#include "model/healthchecks.h"

#include "model/entities.h"
#include "model/field_checks.h"

#include <stdio.h>

static const char *const check_types[] = {"tcp", "http", "https", "grpc", "grpcs", NULL};

#define GRPC_SERVICE_MAX_BYTES 255

/* "package.Service" in practice; the protocol allows any text. */
static bool check_grpc_service(const json_t *value, char *message, size_t size)
{
    if (json_string_length(value) <= GRPC_SERVICE_MAX_BYTES)
        return true;
    snprintf(message, size, "length must be at most %d", GRPC_SERVICE_MAX_BYTES);
    return false;
}

static const struct field status_element = {.type = FIELD_INTEGER, BETWEEN(100, 999)};
static const struct field header_name = {.type = FIELD_STRING, .check = check_header_name};

#define CHECK_TYPE                                                                                 \
    {                                                                                              \
        .name = "type", .type = FIELD_STRING, .default_json = "\"http\"", .one_of = check_types    \
    }
#define SECONDS(field_name, seconds)                                                               \
    {                                                                                              \
        .name = (field_name), .type = FIELD_NUMBER, .default_json = (seconds), BETWEEN(0, 65535)   \
    }
#define COUNT(field_name)                                                                          \
    {                                                                                              \
        .name = (field_name), .type = FIELD_INTEGER, .default_json = "0", BETWEEN(0, 255)          \
    }
#define STATUSES(list)                                                                             \
    {                                                                                              \
        .name = "http_statuses", .type = FIELD_ARRAY, .default_json = (list),                      \
        .elements = &status_element                                                                \
    }
#define RECORD(field_name, field_table)                                                            \
    {                                                                                              \
        .name = (field_name), .type = FIELD_RECORD, .expanded = true, .fields = (field_table)      \
    }
/* Ours: absent from bodies unless set. */
#define EXTRA_SECONDS(field_name)                                                                  \
    {                                                                                              \
        .name = (field_name), .type = FIELD_NUMBER, .hidden_when_null = true, BETWEEN(0, 65535)    \
    }
#define EXTRA_COUNT(field_name)                                                                    \
    {                                                                                              \
        .name = (field_name), .type = FIELD_INTEGER, .hidden_when_null = true, BETWEEN(0, 255)     \
    }

/* ---- Kong's ---- */

#define ACTIVE_UNHEALTHY                                                                           \
    SECONDS("interval", "0"), COUNT("tcp_failures"), COUNT("timeouts"), COUNT("http_failures"),    \
        STATUSES("[429,404,500,501,502,503,504,505]")
#define PASSIVE_UNHEALTHY                                                                          \
    COUNT("tcp_failures"), COUNT("timeouts"), COUNT("http_failures"), STATUSES("[429,500,503]")
#define ACTIVE(unhealthy_table)                                                                    \
    CHECK_TYPE, SECONDS("timeout", "1"),                                                           \
        {.name = "concurrency",                                                                    \
         .type = FIELD_INTEGER,                                                                    \
         .default_json = "10",                                                                     \
         BETWEEN(1, 2147483648.0)},                                                                \
        {.name = "http_path", .type = FIELD_STRING, .default_json = "\"/\"", .check = check_path}, \
        {.name = "https_sni", .type = FIELD_STRING, .check = check_sni},                           \
        {.name = "https_verify_certificate", .type = FIELD_BOOLEAN, .default_json = "true"},       \
        {.name = "grpc_service",                                                                   \
         .type = FIELD_STRING,                                                                     \
         .hidden_when_null = true,                                                                 \
         .check = check_grpc_service},                                                             \
        {.name = "headers", .type = FIELD_MAP, .keys = &header_name, .values = &header_values},    \
        RECORD("healthy", active_healthy_fields), RECORD("unhealthy", unhealthy_table)
#define PASSIVE(unhealthy_table)                                                                   \
    CHECK_TYPE, RECORD("healthy", passive_healthy_fields), RECORD("unhealthy", unhealthy_table)
#define WHOLE(active_table, passive_table)                                                         \
    RECORD("active", active_table), RECORD("passive", passive_table),                              \
    {                                                                                              \
        .name = "threshold", .type = FIELD_NUMBER, .default_json = "0", BETWEEN(0, 100)            \
    }

static const struct field active_healthy_fields[] = {
    SECONDS("interval", "0"),
    COUNT("successes"),
    STATUSES("[200,302]"),
    {.name = NULL},
};
static const struct field passive_healthy_fields[] = {
    COUNT("successes"),
    STATUSES("[200,201,202,203,204,205,206,207,208,226,300,301,302,303,304,305,306,307,308]"),
    EXTRA_SECONDS("interval"), /* the half-open pause */
    {.name = NULL},
};
static const struct field active_unhealthy_fields[] = {ACTIVE_UNHEALTHY, {.name = NULL}};
static const struct field passive_unhealthy_fields[] = {PASSIVE_UNHEALTHY, {.name = NULL}};
static const struct field active_fields[] = {ACTIVE(active_unhealthy_fields), {.name = NULL}};
static const struct field passive_fields[] = {PASSIVE(passive_unhealthy_fields), {.name = NULL}};
const struct field healthchecks_fields[] = {WHOLE(active_fields, passive_fields), {.name = NULL}};

/* ---- a service's ---- */

static const struct field service_active_unhealthy_fields[] = {
    ACTIVE_UNHEALTHY, EXTRA_COUNT("failures"), {.name = NULL}};
static const struct field service_passive_unhealthy_fields[] = {
    PASSIVE_UNHEALTHY, EXTRA_COUNT("failures"), {.name = NULL}};
static const struct field service_active_fields[] = {
    ACTIVE(service_active_unhealthy_fields),
    EXTRA_SECONDS("interval"),
    {.name = "https_path", .type = FIELD_STRING, .hidden_when_null = true, .check = check_path},
    {.name = NULL},
};
static const struct field service_passive_fields[] = {PASSIVE(service_passive_unhealthy_fields),
                                                      {.name = NULL}};
const struct field service_healthchecks_fields[] = {
    WHOLE(service_active_fields, service_passive_fields), {.name = NULL}};

/* ---- spelling out ---- */

/* Takes a value out of its record; NULL: there is none. Owned. */
static json_t *take(json_t *record, const char *name)
{
    json_t *value = json_object_get(record, name);
    if (!value || json_is_null(value))
        return NULL;
    json_incref(value);
    json_object_set_new(record, name, json_null());
    return value;
}

static void spell_out_failures(json_t *unhealthy)
{
    json_t *failures = take(unhealthy, "failures");
    if (!failures)
        return;
    json_object_set(unhealthy, "http_failures", failures);
    json_object_set(unhealthy, "tcp_failures", failures);
    json_object_set(unhealthy, "timeouts", failures);
    json_decref(failures);
}

void healthchecks_spell_out(json_t *healthchecks, bool is_plain)
{
    json_t *active = json_object_get(healthchecks, "active");
    json_t *passive = json_object_get(healthchecks, "passive");
    spell_out_failures(json_object_get(active, "unhealthy"));
    spell_out_failures(json_object_get(passive, "unhealthy"));
    json_t *interval = take(active, "interval");
    if (interval) {
        json_object_set(json_object_get(active, "healthy"), "interval", interval);
        json_object_set(json_object_get(active, "unhealthy"), "interval", interval);
        json_decref(interval);
    }
    json_t *path = take(active, "https_path");
    if (path) {
        json_object_set_new(active, "http_path", path);
        json_object_set_new(active, "type", json_string(is_plain ? "http" : "https"));
    }
}
