/* acme_page.c - what is told of certificates by ACME: GET /acme and metrics. */
#include "base/log.h"
#include "control/acme_parts.h"
#include "control/options.h"
#include "model/row.h"

/* "ordering" wins over the others, and a failure over what it keeps from happening. */
static const char *state_of(const struct acme *acme, const struct acme_host *host,
                            const json_t *failure)
{
    static const char *const names[] = {
        [ACME_HOST_MISSING] = "missing",
        [ACME_HOST_VALID] = "valid",
        [ACME_HOST_DUE] = "due",
        [ACME_HOST_FOREIGN] = "foreign",
    };
    if (host == acme->current)
        return "ordering";
    return failure && host->state != ACME_HOST_FOREIGN ? "failing" : names[host->state];
}

static const json_t *failure_of(const struct acme *acme, const struct acme_host *host)
{
    return acme_rows_find(acme->settings.config, "acme_failures", host->name);
}

static json_t *time_or_null(time_t at)
{
    return at > 1 ? json_integer((json_int_t)at) : json_null();
}

static json_t *host_to_json(const struct acme *acme, const struct acme_host *host)
{
    const json_t *failure = failure_of(acme, host);
    const char *error = json_string_value(json_object_get(failure, "error"));
    time_t error_at = (time_t)json_integer_value(json_object_get(failure, "error_at"));
    return json_pack("{s:s, s:s, s:s?, s:o, s:o, s:o, s:I, s:s?, s:o}", "host", host->name, "state",
                     state_of(acme, host, failure), "certificate",
                     host->certificate[0] ? host->certificate : NULL, "not_before",
                     time_or_null(host->from), "not_after", time_or_null(host->until),
                     "next_attempt", time_or_null(acme_next_attempt(acme, host)), "failures",
                     json_integer_value(json_object_get(failure, "failures")), "last_error", error,
                     "last_error_at", time_or_null(error_at));
}

json_t *acme_to_json(struct acme *acme)
{
    json_t *list = json_array();
    if (!acme)
        return json_pack("{s:b, s:o}", "enabled", 0, "data", list);
    const struct options *options = acme->settings.options;
    acme_read_hosts(acme, time(NULL));
    for (unsigned i = 0; i < acme->host_count; i++)
        json_array_append_new(list, host_to_json(acme, &acme->hosts[i]));
    return json_pack("{s:b, s:s, s:s, s:s?, s:o}", "enabled", 1, "directory",
                     options->acme_directory, "challenge",
                     options->acme_by_tls ? "tls-alpn-01" : "http-01", "worked_at_by",
                     acme_lease_holder(&acme->lease), "data", list);
}

/* ---- metrics ---- */

static void print_states(const struct acme *acme, struct metrics_text *text)
{
    static const char *const states[] = {"valid",   "due",      "missing",
                                         "failing", "ordering", "foreign"};
    uint64_t counts[sizeof(states) / sizeof(*states)] = {0};
    for (unsigned i = 0; i < acme->host_count; i++) {
        const struct acme_host *host = &acme->hosts[i];
        struct str state = str_of(state_of(acme, host, failure_of(acme, host)));
        for (size_t at = 0; at < sizeof(states) / sizeof(*states); at++)
            counts[at] += str_equal(state, str_of(states[at]));
    }
    metrics_text_family(text, "weir_acme_certificates", METRICS_GAUGE,
                        "Hosts that get their certificates by ACME, by how it is with them");
    for (size_t at = 0; at < sizeof(states) / sizeof(*states); at++)
        metrics_text_count(text, &(struct metrics_label){"state", str_of(states[at])}, 1,
                           counts[at]);
}

void acme_print(struct acme *acme, struct metrics_text *text)
{
    if (!acme)
        return;
    time_t next = 0, error_at = 0;
    acme_read_hosts(acme, time(NULL));
    for (unsigned i = 0; i < acme->host_count; i++) {
        const json_t *failure = failure_of(acme, &acme->hosts[i]);
        time_t at = (time_t)json_integer_value(json_object_get(failure, "error_at"));
        time_t attempt = acme_next_attempt(acme, &acme->hosts[i]);
        error_at = at > error_at ? at : error_at;
        next = attempt > 0 && (next == 0 || attempt < next) ? attempt : next;
    }
    error_at = acme->error_at > error_at ? acme->error_at : error_at;
    print_states(acme, text);
    metrics_text_family(text, "weir_acme_orders_total", METRICS_COUNTER,
                        "Orders of certificates by ACME that this node has ended");
    metrics_text_count(text, &(struct metrics_label){"result", STR("issued")}, 1, acme->issued);
    metrics_text_count(text, &(struct metrics_label){"result", STR("failed")}, 1, acme->failed);
    metrics_text_family(text, "weir_acme_last_error_timestamp_seconds", METRICS_GAUGE,
                        "When an order failed last; 0: none that still counts");
    metrics_text_count(text, NULL, 0, (uint64_t)error_at);
    metrics_text_family(text, "weir_acme_next_attempt_timestamp_seconds", METRICS_GAUGE,
                        "When the next certificate is to be ordered; 0: never");
    metrics_text_count(text, NULL, 0, (uint64_t)(next > 1 ? next : 0));
}
