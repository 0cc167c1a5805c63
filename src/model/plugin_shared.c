/* plugin_shared.c - records and checks that several plugins' tables use. */
#include "model/plugin_schema.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

/* ---- queue: how log plugins batch and retry ---- */

static const int64_t queue_limits[] = {-1, 1, 0};

const struct field queue_fields[] = {
    INTEGER("max_batch_size", DEFAULT("1"), BETWEEN(1, 1000000)),
    NUMBER("max_coalescing_delay", DEFAULT("1"), BETWEEN(0, 3600)),
    INTEGER("max_entries", DEFAULT("10000"), BETWEEN(1, 1000000)),
    INTEGER("max_bytes"),
    NUMBER("max_retry_time", DEFAULT("60")),
    NUMBER("initial_retry_delay", DEFAULT("0.01"), .has_between = true, .min = 0.001,
           .max = 1000000),
    NUMBER("max_retry_delay", DEFAULT("60"), .has_between = true, .min = 0.001, .max = 1000000),
    INTEGER("concurrency_limit", DEFAULT("1"), .one_of_integers = queue_limits),
    FIELDS_END,
};

/* ---- redis: where counters are shared ---- */

const struct field redis_fields[] = {
    REDIS_FIELDS,
    FIELDS_END,
};

const struct shorthand redis_shorthands[] = {
    {TEXT("redis_host"), "redis.host", false},
    {INTEGER("redis_port"), "redis.port", false},
    {TEXT("redis_password", .may_be_empty = true), "redis.password", false},
    {TEXT("redis_username"), "redis.username", false},
    {FLAG("redis_ssl", NULL), "redis.ssl", false},
    {FLAG("redis_ssl_verify", NULL), "redis.ssl_verify", false},
    {TEXT("redis_server_name"), "redis.server_name", false},
    {INTEGER("redis_timeout"), "redis.timeout", false},
    {INTEGER("redis_database"), "redis.database", false},
    {FIELDS_END, NULL, false},
};

/* ---- elements ---- */

const struct field lua_fields_keys = {.type = FIELD_STRING};
const struct field lua_fields_values = {.type = FIELD_STRING};
const struct field header_name_element = {.type = FIELD_STRING, .check = check_header_name};
const struct field url_element = {.type = FIELD_STRING, .check = check_url};
const char *const severities[] = {"debug", "info",  "notice", "warning", "err",
                                  "crit",  "alert", "emerg",  NULL};

/* ---- checks ---- */

bool check_url(const json_t *value, char *message, size_t size)
{
    const char *url = json_string_value(value);
    const char *colon = strstr(url, "://");
    if (strncmp(url, "{vault://", 9) == 0)
        return true;
    if (!colon || colon == url)
        snprintf(message, size,
                 strncmp(url, "//", 2) == 0 ? "missing scheme in url" : "missing host in url");
    else if (!colon[3] || strchr("/?#:", colon[3]))
        snprintf(message, size, "missing host in url");
    else
        return true;
    return false;
}

bool check_regex_text(const json_t *value, char *message, size_t size)
{
    int code;
    size_t at;
    pcre2_code *regex = pcre2_compile((PCRE2_SPTR)json_string_value(value),
                                      json_string_length(value), 0, &code, &at, NULL);
    if (!regex)
        snprintf(message, size, "not a valid regex: %s", json_string_value(value));
    pcre2_code_free(regex);
    return regex != NULL;
}

bool check_periods(const json_t *record, char *message, size_t size)
{
    static const char *const periods[] = {"second", "minute", "hour", "day", "month", "year"};
    const size_t count = sizeof(periods) / sizeof(periods[0]);
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++) {
            const json_t *shorter = json_object_get(record, periods[i]);
            const json_t *longer = json_object_get(record, periods[j]);
            if (!json_is_number(shorter) || !json_is_number(longer) ||
                json_number_value(longer) >= json_number_value(shorter))
                continue;
            snprintf(message, size,
                     "The limit for %s(%.1f) cannot be lower than the limit for %s(%.1f)",
                     periods[j], json_number_value(longer), periods[i], json_number_value(shorter));
            return false;
        }
    return true;
}
