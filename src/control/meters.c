#include "control/meters.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "model/meter.h"

#define MAX_KEY_BYTES 4096
#define OTHERS STR("(others)")

void meters_init(struct meters *meters, uint32_t worker_count)
{
    *meters = (struct meters){.worker_count = worker_count, .by_labels.borrows_keys = true};
}

static void let_go(struct map *by_labels)
{
    void *value;
    for (size_t at = 0; map_each(by_labels, &at, NULL, &value);)
        meter_unref(value);
    map_deinit(by_labels);
}

void meters_deinit(struct meters *meters)
{
    let_go(&meters->by_labels);
}

/* --- following the snapshot --- */

static struct str or_else(struct str name, struct str otherwise)
{
    return name.len > 0 ? name : otherwise;
}

/* The meter of these labels, which may be new. Borrowed; NULL without memory. */
static struct meter *want(struct meters *meters, struct str service, struct str route,
                          bool is_of_streams)
{
    struct buf key;
    buf_init(&key, MAX_KEY_BYTES);
    struct meter *meter = NULL;
    if (buf_printf(&key, "%.*s\n%.*s%s", STR_ARG(service), STR_ARG(route),
                   is_of_streams ? "\n" : ""))
        goto done;
    if ((meter = map_get(&meters->by_labels, buf_str(&key))))
        goto done;
    if (meter_create(service, route, is_of_streams, meters->worker_count, &meter))
        goto done;
    if (map_put(&meters->by_labels, meter_labels(meter), meter, NULL)) {
        meter_unref(meter);
        meter = NULL;
    }
done:
    buf_deinit(&key);
    return meter;
}

static struct str label_of_service(const struct route *route)
{
    return or_else(route->service->name, route->service->host);
}

/* The meter that an unchanged route had, where the one at *at before, or the next, is that route.
 */
static struct meter *had(const struct snapshot *before, uint32_t *at,
                         const struct snapshot *snapshot, uint32_t index)
{
    for (uint32_t i = *at; before && i < before->route_count && i < *at + 2; i++) {
        if (before->compiled[i] != snapshot->compiled[index])
            continue;
        *at = i + 1;
        struct meter *meter = before->routes[i].meter;
        bool is_same =
            meter && str_equal(meter_service(meter), label_of_service(&snapshot->routes[index]));
        return is_same ? meter : NULL;
    }
    return NULL;
}

static void forget_unnamed(struct meters *meters)
{
    struct map named = {.borrows_keys = true};
    struct str key;
    void *value;
    for (size_t at = 0; map_each(&meters->by_labels, &at, &key, &value);) {
        struct meter *meter = value;
        if (meter->named_in != meters->round || map_put(&named, key, meter, NULL))
            meter_unref(meter);
    }
    map_deinit(&meters->by_labels);
    meters->by_labels = named;
}

void meters_attach(struct meters *meters, struct snapshot *snapshot, const struct snapshot *before)
{
    size_t named = 0;
    uint32_t at = 0;
    meters->round++;
    for (uint32_t i = 0; i < snapshot->route_count; i++) {
        struct route *route = &snapshot->routes[i];
        if (!route->service)
            continue;
        bool is_of_streams = (route->protocols & STREAM_PROTOCOLS) != 0;
        struct meter *meter = had(before, &at, snapshot, i);
        if (!meter && i < METERS_MAX)
            meter = want(meters, label_of_service(route), or_else(route->name, route->id),
                         is_of_streams);
        else if (!meter)
            meter = want(meters, OTHERS, OTHERS, is_of_streams);
        if (!meter)
            continue;
        named += meter->named_in != meters->round;
        meter->named_in = meters->round;
        route->meter = meter_ref(meter);
    }
    if (named < meters->by_labels.count)
        forget_unnamed(meters);
}

/* --- printing --- */

enum label { LABEL_SERVICE = 0, LABEL_ROUTE, LABEL_WORKSPACE, LABEL_COUNT };

static void fill_labels(const struct meter *meter, struct metrics_label labels[LABEL_COUNT])
{
    labels[LABEL_SERVICE] = (struct metrics_label){"service", meter_service(meter)};
    labels[LABEL_ROUTE] = (struct metrics_label){"route", meter_route(meter)};
    labels[LABEL_WORKSPACE] = (struct metrics_label){"workspace", STR("default")};
}

static const struct meter_slot *slot_of(const struct meter *meter, uint32_t worker)
{
    return atomic_load_explicit(&meter->slots[worker], memory_order_acquire);
}

/* One row for each status of any worker: `seen` are those that have been printed. */
static void print_statuses(const struct meter *meter, struct metrics_text *text)
{
    uint64_t counts[2 * 1000] = {0};
    uint64_t others = 0;
    for (uint32_t worker = 0; worker < meter->worker_count; worker++) {
        const struct meter_slot *slot = slot_of(meter, worker);
        if (!slot)
            continue;
        others += metrics_read(&slot->other_statuses);
        for (unsigned i = 0; i < METER_STATUSES; i++) {
            uint32_t key = atomic_load_explicit(&slot->statuses[i].key, memory_order_relaxed);
            if (key > 0 && key < sizeof(counts) / sizeof(*counts))
                counts[key] += metrics_read(&slot->statuses[i].count);
        }
    }
    struct metrics_label labels[LABEL_COUNT + 3];
    unsigned label_count = LABEL_COUNT + (meter->is_of_streams ? 2u : 3u);
    fill_labels(meter, labels);
    labels[LABEL_COUNT + 2] = (struct metrics_label){"consumer", STR_EMPTY};
    for (unsigned key = 0; key < sizeof(counts) / sizeof(*counts); key++) {
        char code[16];
        if (counts[key] == 0)
            continue;
        snprintf(code, sizeof(code), "%u", key / 2);
        labels[LABEL_COUNT] = (struct metrics_label){"code", str_of(code)};
        labels[LABEL_COUNT + 1] =
            (struct metrics_label){"source", key % 2 ? STR("kong") : STR("service")};
        metrics_text_count(text, labels, label_count, counts[key]);
    }
    if (others == 0)
        return;
    labels[LABEL_COUNT] = (struct metrics_label){"code", STR("other")};
    labels[LABEL_COUNT + 1] = (struct metrics_label){"source", STR("service")};
    metrics_text_count(text, labels, label_count, others);
}

static void print_bandwidth(const struct meter *meter, struct metrics_text *text)
{
    uint64_t ingress = 0, egress = 0;
    bool is_used = false;
    for (uint32_t worker = 0; worker < meter->worker_count; worker++) {
        const struct meter_slot *slot = slot_of(meter, worker);
        is_used |= slot != NULL;
        ingress += slot ? metrics_read(&slot->ingress_bytes) : 0;
        egress += slot ? metrics_read(&slot->egress_bytes) : 0;
    }
    if (!is_used)
        return;
    struct metrics_label labels[LABEL_COUNT + 2];
    fill_labels(meter, labels);
    labels[LABEL_COUNT + 1] = (struct metrics_label){"consumer", STR_EMPTY};
    labels[LABEL_COUNT] = (struct metrics_label){"direction", STR("ingress")};
    metrics_text_count(text, labels, LABEL_COUNT + 2, ingress);
    labels[LABEL_COUNT] = (struct metrics_label){"direction", STR("egress")};
    metrics_text_count(text, labels, LABEL_COUNT + 2, egress);
}

static void print_histogram(const struct meter *meter, struct metrics_text *text,
                            struct metrics_shape shape, size_t offset)
{
    uint64_t sums[METRICS_CELLS(METER_GATEWAY_BOUNDS)] = {0}; /* the longer shape */
    uint64_t count = 0;
    for (uint32_t worker = 0; worker < meter->worker_count; worker++) {
        const struct meter_slot *slot = slot_of(meter, worker);
        if (!slot)
            continue;
        const metrics_cell *cells = (const metrics_cell *)((const char *)slot + offset);
        for (unsigned i = 0; i < METRICS_CELLS(shape.count); i++)
            sums[i] += metrics_read(&cells[i]);
    }
    for (unsigned i = 0; i <= shape.count; i++)
        count += sums[i];
    if (count == 0)
        return;
    struct metrics_label labels[LABEL_COUNT];
    fill_labels(meter, labels);
    metrics_text_histogram(text, labels, LABEL_COUNT, shape, sums, 1);
}

static void print_all_statuses(const struct meters *meters, bool of_streams,
                               struct metrics_text *text)
{
    void *value;
    for (size_t at = 0; map_each(&meters->by_labels, &at, NULL, &value);)
        if (((const struct meter *)value)->is_of_streams == of_streams)
            print_statuses(value, text);
}

/* Whose meters a histogram is of. */
enum kind { OF_REQUESTS = 1, OF_STREAMS = 2, OF_BOTH = 3 };

static enum kind kind_of(const struct meter *meter)
{
    return meter->is_of_streams ? OF_STREAMS : OF_REQUESTS;
}

static void print_histograms(const struct meters *meters, struct metrics_text *text)
{
    static const struct {
        const char *name, *help;
        const struct metrics_shape *shape;
        size_t offset;
        enum kind kind;
    } histograms[] = {
        {"kong_kong_latency_ms",
         "Latency added by Kong and enabled plugins for each service/route in Kong",
         &meter_gateway_shape, offsetof(struct meter_slot, gateway_ms), OF_BOTH},
        {"kong_upstream_latency_ms",
         "Latency added by upstream response for each service/route in Kong", &meter_latency_shape,
         offsetof(struct meter_slot, upstream_ms), OF_REQUESTS},
        {"kong_request_latency_ms",
         "Total latency incurred during requests for each service/route in Kong",
         &meter_latency_shape, offsetof(struct meter_slot, request_ms), OF_REQUESTS},
        {"kong_session_duration_ms", "How long streams lasted for each service/route in Kong",
         &meter_latency_shape, offsetof(struct meter_slot, request_ms), OF_STREAMS},
    };
    void *meter;
    for (size_t i = 0; i < sizeof(histograms) / sizeof(*histograms); i++) {
        metrics_text_family(text, histograms[i].name, METRICS_HISTOGRAM, histograms[i].help);
        for (size_t at = 0; map_each(&meters->by_labels, &at, NULL, &meter);)
            if (kind_of(meter) & histograms[i].kind)
                print_histogram(meter, text, *histograms[i].shape, histograms[i].offset);
    }
}

void meters_print(const struct meters *meters, struct metrics_text *text)
{
    void *meter;
    metrics_text_family(text, "kong_http_requests_total", METRICS_COUNTER,
                        "HTTP status codes per consumer/service/route in Kong");
    print_all_statuses(meters, false, text);
    metrics_text_family(text, "kong_stream_sessions_total", METRICS_COUNTER,
                        "Stream status codes per service/route in Kong");
    print_all_statuses(meters, true, text);
    metrics_text_family(text, "kong_bandwidth_bytes", METRICS_COUNTER,
                        "Total bandwidth (ingress/egress) throughput in bytes");
    for (size_t at = 0; map_each(&meters->by_labels, &at, NULL, &meter);)
        print_bandwidth(meter, text);
    print_histograms(meters, text);
}
