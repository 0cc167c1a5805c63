#include "discovery/sources.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "discovery/dns.h"
#include "discovery/explain.h"
#include "discovery/saved.h"
#include "net/resolver.h"

#define KEY_MAX_BYTES 16384
#define TAGS_MAX 64
#define SILENT_MS 30000 /* Consul's HTTP API is away: DNS may know more by now */
#define SILENCE_LOOK_MS 1000
#define SILENCE_BATCH 256 /* that turn at once: others have their turn a second later */

#define PROPAGATION_BOUNDS 10

static const uint32_t propagation_bounds_us[PROPAGATION_BOUNDS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 1000000};
static const struct metrics_shape sources_propagation_shape = {propagation_bounds_us,
                                                               PROPAGATION_BOUNDS};

struct sources {
    struct source_owner as_owner; /* first: what sources know of us */
    uv_loop_t *loop;
    struct consul *consul; /* NULL: none configured */
    char *node, *zone;     /* owned; NULL: unknown */
    struct resolver *resolver;
    struct saved *saved; /* NULL: nothing is saved */
    uv_timer_t silence;  /* looks for sources that have been silent for long */
    struct map by_key;
    uint32_t open_count; /* sources that are not closed to the end */
    uint32_t dns_count;
    metrics_cell propagation_us[METRICS_CELLS(PROPAGATION_BOUNDS)];
    sources_news_cb on_news;
    sources_event_cb on_event; /* NULL: nobody is told */
    void *owner;
    bool reads_routes; /* of instances */
    bool closing;
    unsigned parts_open; /* of consul and resolver, while closing */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* --- closing: first all sources, then what they stand on --- */

static void on_part_closed(void *arg)
{
    struct sources *sources = arg;
    if (--sources->parts_open > 0)
        return;
    void (*closed)(void *) = sources->closed;
    void *closed_arg = sources->closed_arg;
    map_deinit(&sources->by_key);
    free(sources->node);
    free(sources->zone);
    free(sources);
    closed(closed_arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

static void close_parts(struct sources *sources)
{
    struct consul *consul = sources->consul;
    struct saved *saved = sources->saved;
    sources->parts_open = 2u + (consul != NULL) + (saved != NULL);
    uv_close((uv_handle_t *)&sources->silence, on_timer_closed);
    resolver_close(sources->resolver, on_part_closed, sources);
    if (consul)
        consul_close(consul, on_part_closed, sources);
    if (saved)
        saved_close(saved, on_part_closed, sources);
}

static void on_source_closed(struct source_owner *owner)
{
    struct sources *sources = (struct sources *)(void *)owner;
    if (--sources->open_count == 0 && sources->closing)
        close_parts(sources);
}

static void close_source(struct sources *sources, struct source *source)
{
    if (source->kind == SOURCE_DNS || source->kind == SOURCE_DNS_SRV)
        sources->dns_count--;
    source_close(source);
}

/* --- silence --- */

static uint64_t silent_ms(const struct sources *sources)
{
    uint64_t ms = consul_patience(sources->consul)->silent_ms;
    return ms ? ms : SILENT_MS;
}

static bool is_long_silent(const struct sources *sources, const struct source *source)
{
    uint64_t now_ms = uv_now(sources->loop);
    return source->silent_since_ms > 0 && now_ms - source->silent_since_ms >= silent_ms(sources);
}

static unsigned count_silent(const struct sources *sources)
{
    unsigned count = 0;
    void *value;
    for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &value);)
        count += ((const struct source *)value)->is_silent;
    return count;
}

/* One that has just fallen silent, or is silent no more without having brought news; NULL: none. */
static struct source *find_turned(const struct sources *sources)
{
    void *value;
    for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &value);) {
        struct source *source = value;
        if (source->kind == SOURCE_CONSUL && is_long_silent(sources, source) != source->is_silent)
            return source;
    }
    return NULL;
}

/* Who hears of it may open and close sources: so each time it is looked for anew. The first to fall
 * silent is logged; it tells so of Consul. */
static void on_silence_look(uv_timer_t *timer)
{
    struct sources *sources = timer->data;
    struct source *source;
    if (sources->closing) /* some in the table are freed already */
        return;
    bool was_silent = count_silent(sources) > 0;
    for (unsigned i = 0; i < SILENCE_BATCH && !sources->closing && (source = find_turned(sources));
         i++) {
        source->is_silent = !source->is_silent;
        source->is_replaced = false;
        sources->on_news(sources->owner, source);
    }
    if (!sources->closing && !was_silent && count_silent(sources) > 0)
        log_warn("consul is silent", LOG_INT("seconds", silent_ms(sources) / 1000),
                 LOG_CSTR("effect", "of its names what DNS says is used; all else stays"));
}

void sources_resume(struct sources *sources)
{
    if (sources->consul)
        consul_resume(sources->consul);
}

void sources_save(struct sources *sources)
{
    if (sources->saved)
        saved_flush(sources->saved);
}

void sources_close(struct sources *sources, void (*closed)(void *arg), void *arg)
{
    assert(!sources->closing);
    sources->closing = true;
    sources->closed = closed;
    sources->closed_arg = arg;
    void *value;
    for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &value);)
        close_source(sources, value);
    if (sources->open_count == 0)
        close_parts(sources);
}

/* --- what was known before the start --- */

static void collect_saved(void *owner)
{
    struct sources *sources = owner;
    void *value;
    for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &value);) {
        const struct source *source = value;
        if (source->kind == SOURCE_CONSUL)
            saved_put(sources->saved, source);
    }
}

/* Consul has not answered yet, and may be away for long. False: nothing is known. */
static bool use_saved(struct sources *sources, struct source *source)
{
    struct discovered_list *list = saved_find(sources->saved, str_of(source->key));
    if (!list)
        return false;
    log_notice("saved targets used", LOG_CSTR("service", source->name),
               LOG_INT("count", list->count), LOG_CSTR("why", "consul has not answered yet"));
    source->is_saved = true;
    source_publish(source, SOURCE_KNOWN, list);
    return true;
}

static void on_source_news(struct source_owner *owner, struct source *source)
{
    struct sources *sources = (struct sources *)(void *)owner;
    if (sources->saved && source->kind == SOURCE_CONSUL) {
        if (source->state == SOURCE_AWAY && use_saved(sources, source))
            return; /* that was news of its own */
        if (source->state == SOURCE_KNOWN && !source->is_saved)
            saved_touch(sources->saved);
    }
    sources->on_news(sources->owner, source);
    if (source->account.heard_ns > 0)
        metrics_observe(sources_propagation_shape, sources->propagation_us,
                        (uv_hrtime() - source->account.heard_ns) / 1000);
    source->account.heard_ns = 0;
}

static void on_event(void *arg, json_t *event)
{
    struct sources *sources = arg;
    if (sources->on_event)
        sources->on_event(sources->owner, event);
    else
        json_decref(event);
}

static void on_source_event(struct source_owner *owner, json_t *event)
{
    on_event(owner, event);
}

void sources_set_listener(struct sources *sources, sources_event_cb listener)
{
    sources->on_event = listener;
}

/* Consul's nodes have their hosts' names unless somebody has said otherwise. */
static int keep_place(struct sources *sources, const struct consul_settings *settings)
{
    char host[256] = "";
    size_t size = sizeof(host);
    uv_os_gethostname(host, &size);
    sources->node = strdup(settings->node ? settings->node : host);
    sources->zone = strdup(settings->zone ? settings->zone : "");
    return sources->node && sources->zone ? 0 : UV_ENOMEM;
}

static void free_sources(void *arg)
{
    struct sources *sources = arg;
    free(sources->node);
    free(sources->zone);
    free(sources);
}

int sources_create(uv_loop_t *loop, const struct consul_settings *consul,
                   const struct resolver_settings *dns, const char *data_dir,
                   sources_news_cb on_news, void *owner, struct sources **ret)
{
    struct sources *sources = calloc(1, sizeof(*sources));
    if (!sources)
        return UV_ENOMEM;
    sources->as_owner = (struct source_owner){
        .on_news = on_source_news, .on_closed = on_source_closed, .on_event = on_source_event};
    sources->loop = loop;
    int rc = keep_place(sources, consul);
    sources->on_news = on_news;
    sources->owner = owner;
    struct error err = {.sentence = ""};
    /* A failing resolver leaves nothing behind; a failing agent neither, so it comes first. */
    if (!rc)
        rc = consul->urls ? consul_create(loop, consul, &sources->consul) : 0;
    if (sources->consul)
        consul_set_listener(sources->consul, on_event, sources);
    if (!rc)
        rc = resolver_create(loop, dns, &sources->resolver, &err);
    if (rc) {
        log_error("discovery does not start",
                  LOG_CSTR("why", rc == UV_EINVAL ? err.sentence : uv_strerror(rc)));
        goto fail;
    }
    if (data_dir && consul->urls &&
        (rc = saved_create(loop, data_dir, collect_saved, sources, 0, &sources->saved)))
        log_warn("targets are not saved", LOG_CSTR("why", uv_strerror(rc)));
    uv_timer_init(loop, &sources->silence);
    sources->silence.data = sources;
    if (sources->consul) {
        uint64_t look_ms = silent_ms(sources);
        if (look_ms > SILENCE_LOOK_MS)
            look_ms = SILENCE_LOOK_MS;
        uv_timer_start(&sources->silence, on_silence_look, look_ms, look_ms);
    }
    *ret = sources;
    return 0;
fail:
    if (sources->consul)
        consul_close(sources->consul, free_sources, sources);
    else
        free_sources(sources);
    return rc;
}

/* --- using --- */

static struct source *find(struct sources *sources, const struct buf *key)
{
    struct source *source = map_get(&sources->by_key, buf_str(key));
    if (source)
        source->use_count++;
    return source;
}

/* Takes a source that has just been opened into the table. */
static struct source *keep(struct sources *sources, const struct buf *key, struct source *source)
{
    sources->open_count++;
    source->use_count = 1;
    if (source->kind != SOURCE_CONSUL)
        sources->dns_count++;
    source->key = str_dup(buf_str(key));
    if (!source->key || map_put(&sources->by_key, str_of(source->key), source, NULL)) {
        close_source(sources, source);
        return NULL;
    }
    return source;
}

static int by_text(const void *left, const void *right)
{
    const struct str *a = left, *b = right;
    size_t common = a->len < b->len ? a->len : b->len;
    int order = common ? memcmp(a->ptr, b->ptr, common) : 0;
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int add_texts(struct buf *key, const char *before, const struct str *texts, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && !rc; i++)
        rc = buf_printf(key, "\n%s%.*s", before, STR_ARG(texts[i]));
    return rc;
}

/* Who asks for the same has the same key. Lists are sorted. */
static int consul_key(struct buf *key, const struct consul_service *service)
{
    const struct str parts[] = {service->namespace, service->partition, service->peer,
                                service->filter, service->view.tagged_address};
    int rc =
        buf_printf(key, "consul\n%.*s\n%.*s", STR_ARG(service->name), STR_ARG(service->datacenter));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !rc; i++)
        if (parts[i].len > 0)
            rc = buf_printf(key, "\n%zu=%.*s", i, STR_ARG(parts[i]));
    if (!rc && service->is_cached)
        rc = buf_printf(key, "\ncached");
    if (!rc && service->view.require_service_check)
        rc = buf_printf(key, "\nchecked");
    if (!rc)
        rc = add_texts(key, "+", service->tags, service->tag_count);
    return rc ? rc : add_texts(key, "-", service->view.excluded_tags, service->view.excluded_count);
}

static size_t sort_texts(const struct str *texts, size_t count, struct str sorted[TAGS_MAX])
{
    if (count > TAGS_MAX)
        count = TAGS_MAX;
    for (size_t i = 0; i < count; i++)
        sorted[i] = texts[i];
    if (count > 1)
        qsort(sorted, count, sizeof(sorted[0]), by_text);
    return count;
}

struct source *sources_use_consul(struct sources *sources, const struct consul_service *service)
{
    if (!sources->consul)
        return NULL;
    struct consul_service sorted = *service;
    struct str tags[TAGS_MAX] = {STR_EMPTY}, excluded[TAGS_MAX] = {STR_EMPTY};
    sorted.tag_count = sort_texts(service->tags, service->tag_count, tags);
    sorted.tags = tags;
    sorted.view.excluded_count =
        sort_texts(service->view.excluded_tags, service->view.excluded_count, excluded);
    sorted.view.excluded_tags = excluded;
    sorted.view.reads_routes = sources->reads_routes;

    struct buf key;
    buf_init(&key, KEY_MAX_BYTES);
    struct source *source = NULL;
    if (!consul_key(&key, &sorted) && !(source = find(sources, &key)) &&
        !consul_watch_open(sources->consul, &sorted, &sources->as_owner, &source))
        source = keep(sources, &key, source);
    buf_deinit(&key);
    return source;
}

typedef int (*open_dns_cb)(uv_loop_t *loop, struct resolver *resolver, struct str name,
                           struct source_owner *owner, struct source **ret);

static struct source *use_dns(struct sources *sources, const char *prefix, struct str name,
                              open_dns_cb open)
{
    struct buf key;
    buf_init(&key, KEY_MAX_BYTES);
    struct source *source = NULL;
    if (!buf_printf(&key, "%s\n%.*s", prefix, STR_ARG(name)) && !(source = find(sources, &key)) &&
        !open(sources->loop, sources->resolver, name, &sources->as_owner, &source))
        source = keep(sources, &key, source);
    buf_deinit(&key);
    return source;
}

struct source *sources_use_dns(struct sources *sources, struct str name)
{
    return use_dns(sources, "dns", name, dns_open);
}

struct source *sources_use_dns_srv(struct sources *sources, struct str name)
{
    return use_dns(sources, "dns-srv", name, dns_srv_open);
}

void sources_release(struct sources *sources, struct source *source)
{
    assert(source->use_count > 0);
    if (--source->use_count > 0)
        return;
    map_remove(&sources->by_key, str_of(source->key));
    if (sources->saved && source->kind == SOURCE_CONSUL)
        saved_keep(sources->saved, source);
    close_source(sources, source);
}

json_t *sources_describe(const struct sources *sources, const json_t *users)
{
    json_t *list = json_array();
    void *value;
    for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &value);) {
        const struct source *source = value;
        json_t *body = explain_source(source, uv_now(sources->loop));
        json_t *pools = json_object_get(users, source->key);
        json_object_set_new(body, "pools", pools ? json_incref(pools) : json_array());
        json_array_append_new(list, body);
    }
    return list;
}

/* --- metrics --- */

/* A text that no other source has: what its key says, in one line. */
static struct str watch_label(const struct source *source, char *text, size_t size)
{
    const char *rest = strchr(source->key, '\n'); /* behind the kind */
    snprintf(text, size, "%s", rest ? rest + 1 : source->key);
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = ' ';
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == ' ')
        len--;
    return str_make(text, len);
}

static double seconds_since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? (double)(now_ms - then_ms) / 1000.0 : 0.0;
}

enum watch_metric {
    WATCH_AGE = 0,
    WATCH_WAKE_UPS,
    WATCH_CHANGES,
    WATCH_ERRORS,
    WATCH_TARGETS,
    WATCH_METRIC_COUNT
};

static void print_watch(const struct source *source, enum watch_metric metric, uint64_t now_ms,
                        struct metrics_text *text)
{
    const struct source_account *account = &source->account;
    char watch[256];
    const struct metrics_label labels[] = {
        {"source", str_of(explain_kind(source->kind))},
        {"watch", watch_label(source, watch, sizeof(watch))},
    };
    if (metric == WATCH_AGE && account->answered_ms > 0)
        metrics_text_real(text, labels, 2, seconds_since(account->answered_ms, now_ms));
    else if (metric == WATCH_WAKE_UPS)
        metrics_text_count(text, labels, 2, account->wake_ups);
    else if (metric == WATCH_CHANGES)
        metrics_text_count(text, labels, 2, account->changes);
    else if (metric == WATCH_ERRORS)
        metrics_text_count(text, labels, 2, account->errors);
    else if (metric == WATCH_TARGETS)
        metrics_text_count(text, labels, 2, source->last ? source->last->count : 0);
}

static void print_watches(const struct sources *sources, struct metrics_text *text)
{
    static const struct {
        const char *name;
        enum metrics_kind kind;
        const char *help;
    } families[WATCH_METRIC_COUNT] = {
        [WATCH_AGE] = {"weir_discovery_age_seconds", METRICS_GAUGE,
                       "Since the watch's last answer; up to 65 is normal for consul"},
        [WATCH_WAKE_UPS] = {"weir_discovery_wake_ups_total", METRICS_COUNTER,
                            "Answers that made sense"},
        [WATCH_CHANGES] = {"weir_discovery_changes_total", METRICS_COUNTER,
                           "Answers that brought news"},
        [WATCH_ERRORS] = {"weir_discovery_errors_total", METRICS_COUNTER, "Questions that failed"},
        [WATCH_TARGETS] = {"weir_discovery_targets", METRICS_GAUGE,
                           "Targets in the last answer that was believed"},
    };
    for (enum watch_metric metric = 0; metric < WATCH_METRIC_COUNT; metric++) {
        void *source;
        metrics_text_family(text, families[metric].name, families[metric].kind,
                            families[metric].help);
        for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &source);)
            print_watch(source, metric, uv_now(sources->loop), text);
    }
}

static void print_gauge(struct metrics_text *text, const char *name, const char *help,
                        uint64_t value)
{
    metrics_text_family(text, name, METRICS_GAUGE, help);
    metrics_text_count(text, NULL, 0, value);
}

void sources_print_metrics(const struct sources *sources, struct metrics_text *text)
{
    print_watches(sources, text);
    uint64_t cells[METRICS_CELLS(PROPAGATION_BOUNDS)];
    for (unsigned i = 0; i < METRICS_CELLS(PROPAGATION_BOUNDS); i++)
        cells[i] = metrics_read(&sources->propagation_us[i]);
    metrics_text_family(text, "weir_discovery_propagation_seconds", METRICS_HISTOGRAM,
                        "From an answer with news to endpoints in force in all workers");
    metrics_text_histogram(text, NULL, 0, sources_propagation_shape, cells, 1e-6);

    uint64_t saved = 0;
    void *source;
    for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &source);)
        saved += ((const struct source *)source)->is_saved;
    print_gauge(text, "weir_discovery_saved_watches", "Watches that live from saved targets",
                saved);
    json_t *consul = consul_status(sources->consul);
    if (sources->consul && consul) {
        print_gauge(text, "weir_consul_reachable", "Whether Consul answers",
                    json_is_true(json_object_get(consul, "reachable")));
        print_gauge(text, "weir_consul_refused_watches", "Watches whose token Consul refuses",
                    (uint64_t)json_integer_value(json_object_get(consul, "refused")));
        print_gauge(text, "weir_consul_held_watches", "Watches with an answer on hold",
                    (uint64_t)json_integer_value(json_object_get(consul, "held")));
    }
    json_decref(consul);
}

struct place sources_place(const struct sources *sources)
{
    return (struct place){.node = sources->node ? str_of(sources->node) : STR_EMPTY,
                          .zone = sources->zone ? str_of(sources->zone) : STR_EMPTY};
}

int sources_follow_catalog(struct sources *sources, consul_catalog_cb on_services, void *owner,
                           struct consul_catalog **ret)
{
    sources->reads_routes = true;
    return consul_catalog_open(sources->consul, on_services, owner, ret);
}

int sources_search_meta(struct sources *sources, consul_meta_cb on_services, void *owner,
                        struct consul_meta **ret)
{
    return consul_meta_open(sources->consul, on_services, owner, ret);
}

struct saved_visit {
    void (*on_service)(void *arg, struct str name);
    void *arg;
};

/* Such as announced.h follows: all instances of the own datacenter, which is a key of one name. */
static void on_saved_key(void *arg, struct str key)
{
    const struct saved_visit *visit = arg;
    struct str rest = key;
    struct str kind = str_cut(&rest, '\n');
    struct str name = str_cut(&rest, '\n');
    if (str_equal(kind, STR("consul")) && name.len > 0 && rest.ptr && rest.len == 0)
        visit->on_service(visit->arg, name);
}

void sources_each_saved_announcer(const struct sources *sources,
                                  void (*on_service)(void *arg, struct str name), void *arg)
{
    struct saved_visit visit = {on_service, arg};
    if (sources->saved)
        saved_each_claiming(sources->saved, on_saved_key, &visit);
}

bool sources_has_consul(const struct sources *sources)
{
    return sources->consul != NULL;
}

json_t *sources_status(const struct sources *sources)
{
    int saved_count = 0;
    void *value;
    for (size_t at = 0; map_each(&sources->by_key, &at, NULL, &value);)
        saved_count += ((const struct source *)value)->is_saved;
    bool is_degraded = saved_count > 0 || !consul_is_fine(sources->consul);
    return json_pack("{s:s, s:i, s:o, s:{s:i}}", "state", is_degraded ? "degraded" : "ready",
                     "saved_in_use", saved_count, "consul", consul_status(sources->consul), "dns",
                     "names", (int)sources->dns_count);
}
