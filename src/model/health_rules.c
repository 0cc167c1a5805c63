#include "model/health_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <uv.h> /* error codes only */

#include "base/buf.h"

#define MAX_HEADER_BYTES (32 * 1024)
#define DEFAULT_TIMEOUT_MS 1000

static const json_t *at(const json_t *root, const char *outer, const char *inner)
{
    return json_object_get(json_object_get(root, outer), inner);
}

static uint32_t milliseconds(const json_t *seconds)
{
    double ms = json_number_value(seconds) * 1000.0;
    return ms <= 0 ? 0 : ms < 1 ? 1 : (uint32_t)ms;
}

static uint8_t limit(const json_t *count)
{
    json_int_t number = json_integer_value(count);
    return (uint8_t)(number < 0 ? 0 : number > HEALTH_LIMIT_MAX ? HEALTH_LIMIT_MAX : number);
}

static void read_statuses(const json_t *list, struct status_set *set)
{
    size_t i;
    const json_t *status;
    json_array_foreach(list, i, status)
    {
        json_int_t number = json_integer_value(status);
        if (number < HEALTH_STATUS_MIN || number > HEALTH_STATUS_MAX)
            continue;
        unsigned bit = (unsigned)number - HEALTH_STATUS_MIN;
        set->bits[bit / 64] |= (uint64_t)1 << (bit % 64);
    }
}

static void read_limits(const json_t *checks, struct health_limits *limits)
{
    limits->in_a_row[HEALTH_SUCCESS] = limit(at(checks, "healthy", "successes"));
    limits->in_a_row[HEALTH_HTTP_FAILURE] = limit(at(checks, "unhealthy", "http_failures"));
    limits->in_a_row[HEALTH_TCP_FAILURE] = limit(at(checks, "unhealthy", "tcp_failures"));
    limits->in_a_row[HEALTH_TIMEOUT] = limit(at(checks, "unhealthy", "timeouts"));
    read_statuses(at(checks, "healthy", "http_statuses"), &limits->healthy);
    read_statuses(at(checks, "unhealthy", "http_statuses"), &limits->unhealthy);
}

static char *copy_text(const json_t *value, const char *otherwise)
{
    const char *text = json_is_string(value) ? json_string_value(value) : otherwise;
    return text ? str_dup(str_of(text)) : NULL;
}

static enum check_type read_type(const json_t *value)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "http";
    static const char *const names[] = {[CHECK_TCP] = "tcp",
                                        [CHECK_HTTP] = "http",
                                        [CHECK_HTTPS] = "https",
                                        [CHECK_GRPC] = "grpc",
                                        [CHECK_GRPCS] = "grpcs"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum check_type)i;
    return CHECK_TCP;
}

/* Bytes that would end the line have no place in one. */
static bool is_line_safe(const char *text)
{
    return text && !strpbrk(text, "\r\n");
}

static int add_header(struct buf *lines, const char *name, const json_t *values)
{
    size_t i;
    const json_t *value;
    json_array_foreach(values, i, value)
    {
        const char *text = json_string_value(value);
        if (!is_line_safe(name) || !is_line_safe(text))
            continue;
        int rc = buf_printf(lines, "%s: %s\r\n", name, text);
        if (rc)
            return rc;
    }
    return 0;
}

static bool is_host(const char *name)
{
    return strcasecmp(name, "Host") == 0;
}

/* The Host that `headers` ask for: a request with two is refused by many servers. */
static struct str read_host(const json_t *headers, struct str otherwise)
{
    const char *name;
    json_t *values;
    json_object_foreach((json_t *)(uintptr_t)headers, name, values)
    {
        const char *text = json_string_value(json_array_get(values, 0));
        if (is_host(name) && is_line_safe(text) && *text)
            return str_of(text);
    }
    return otherwise;
}

static char *read_headers(const json_t *headers)
{
    struct buf lines;
    buf_init(&lines, MAX_HEADER_BYTES);
    const char *name;
    json_t *values;
    json_object_foreach((json_t *)(uintptr_t)headers, name, values)
    {
        if (!is_host(name) && add_header(&lines, name, values))
            break; /* what is too much is left out */
    }
    char *text = str_dup(buf_str(&lines));
    buf_deinit(&lines);
    return text;
}

static char *make_probe_key(const struct health_rules *rules)
{
    struct buf key;
    buf_init(&key, MAX_HEADER_BYTES * 2);
    int rc = buf_printf(
        &key, "%d|%u|%u|%u|%d|%s|%s|%s|%s|%s", rules->type, rules->timeout_ms,
        rules->healthy_interval_ms, rules->unhealthy_interval_ms, rules->verify_certificate,
        rules->path, rules->grpc_service ? rules->grpc_service : "", rules->sni ? rules->sni : "",
        rules->host ? rules->host : "", rules->header_lines);
    char *text = rc ? NULL : str_dup(buf_str(&key));
    buf_deinit(&key);
    return text;
}

static bool read_probe(struct health_rules *rules, const json_t *active, struct str host_header)
{
    const json_t *sni = json_object_get(active, "https_sni");
    const json_t *grpc_service = json_object_get(active, "grpc_service");
    const json_t *concurrency = json_object_get(active, "concurrency");
    rules->type = read_type(json_object_get(active, "type"));
    rules->timeout_ms = milliseconds(json_object_get(active, "timeout"));
    if (rules->timeout_ms == 0)
        rules->timeout_ms = DEFAULT_TIMEOUT_MS;
    rules->concurrency = 10;
    if (json_integer_value(concurrency) > 0)
        rules->concurrency = (uint32_t)json_integer_value(concurrency);
    rules->verify_certificate = !json_is_false(json_object_get(active, "https_verify_certificate"));
    rules->healthy_interval_ms = milliseconds(at(active, "healthy", "interval"));
    rules->unhealthy_interval_ms = milliseconds(at(active, "unhealthy", "interval"));
    rules->path = copy_text(json_object_get(active, "http_path"), "/");
    rules->grpc_service = copy_text(grpc_service, NULL);
    rules->sni = copy_text(sni, NULL);
    struct str host = read_host(json_object_get(active, "headers"), host_header);
    rules->host = host.len ? str_dup(host) : NULL;
    rules->header_lines = read_headers(json_object_get(active, "headers"));
    return rules->path && rules->header_lines && (rules->sni || !json_is_string(sni)) &&
           (rules->grpc_service || !json_is_string(grpc_service)) &&
           (rules->host || host.len == 0) && (rules->probe_key = make_probe_key(rules));
}

int health_rules_create(const json_t *healthchecks, struct str host_header,
                        struct health_rules **ret)
{
    struct health_rules *rules = calloc(1, sizeof(*rules));
    if (!rules)
        return UV_ENOMEM;
    atomic_init(&rules->refs, 1);
    const json_t *active = json_object_get(healthchecks, "active");
    const json_t *passive = json_object_get(healthchecks, "passive");
    read_limits(active, &rules->active);
    read_limits(passive, &rules->passive);
    if (!read_probe(rules, active, host_header)) {
        health_rules_unref(rules);
        return UV_ENOMEM;
    }
    rules->pause_ms = milliseconds(at(passive, "healthy", "interval"));
    rules->threshold = json_number_value(json_object_get(healthchecks, "threshold"));
    rules->has_checks = health_rules_probe(rules);
    for (int kind = HEALTH_HTTP_FAILURE; kind < HEALTH_RESULT_COUNT; kind++)
        rules->has_checks |= rules->passive.in_a_row[kind] > 0;
    *ret = rules;
    return 0;
}

int health_rules_set_certificate(struct health_rules *rules, struct str cert, struct str key)
{
    char *probe_key;
    rules->client_cert = str_dup(cert);
    rules->client_key = str_dup(key);
    /* Of two that differ, probes are not shared; the key itself stays where it is. */
    if (!rules->client_cert || !rules->client_key ||
        asprintf(&probe_key, "%s|%016" PRIx64 "%016" PRIx64, rules->probe_key, str_hash(cert),
                 str_hash(key)) < 0)
        return UV_ENOMEM;
    free(rules->probe_key);
    rules->probe_key = probe_key;
    return 0;
}

struct health_rules *health_rules_ref(struct health_rules *rules)
{
    if (rules)
        atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
    return rules;
}

void health_rules_unref(struct health_rules *rules)
{
    if (!rules || atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(rules->path);
    free(rules->client_cert);
    free(rules->client_key);
    free(rules->grpc_service);
    free(rules->sni);
    free(rules->host);
    free(rules->header_lines);
    free(rules->probe_key);
    free(rules);
}
