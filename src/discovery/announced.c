#include "discovery/announced.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "discovery/consul_catalog.h"
#include "discovery/consul_meta.h"
#include "discovery/route_claims.h"

#define HOLD_MS 10000 /* a claim that nobody makes any more */
#define SETTLE_MS 20  /* changes that come together are one */
#define SERVICES_MAX 2000
#define CLAIMS_MAX 20000
#define WARNED_MAX 2000

/* A service that claims routes, or did so lately. */
struct announcer {
    struct source *source; /* used */
    char *name;            /* owned */
    bool is_tagged;        /* Consul's list says that it is marked */
    bool is_in_meta;       /* Consul says that its instances' meta claims routes */
    bool has_claims;       /* lately */
};

struct kept_claim {
    struct announced_claim claim; /* its texts are owned: one block, at `claim.service.ptr` */
    uint64_t gone_ms;             /* since when nobody makes it; 0: somebody does */
    bool is_seen;
};

struct announced {
    struct sources *sources;
    struct consul_catalog *catalog;
    struct consul_meta *meta;
    struct map announcers;          /* by name */
    struct map claims;              /* of struct kept_claim, by "service\nkey" */
    struct map warned;              /* what has been complained about */
    struct announced_claim *sorted; /* owned */
    size_t sorted_count;
    uv_timer_t timer;
    announced_news_cb on_news;
    void *owner;
    bool is_closing;
    unsigned parts_open;
    void (*closed)(void *arg);
    void *closed_arg;
};

static uint64_t now_of(const struct announced *announced)
{
    return uv_now(announced->timer.loop);
}

static void on_due(uv_timer_t *timer);

static void look_after(struct announced *announced, uint64_t delay_ms)
{
    bool is_sooner = uv_is_active((uv_handle_t *)&announced->timer) &&
                     uv_timer_get_due_in(&announced->timer) <= delay_ms;
    if (!announced->is_closing && !is_sooner)
        uv_timer_start(&announced->timer, on_due, delay_ms, 0);
}

/* --- complaints, each once --- */

static void complain(struct announced *announced, const char *service, struct str line)
{
    char key[512];
    int len = snprintf(key, sizeof(key), "%s\n%.*s", service, STR_ARG(line));
    struct str name = str_make(key, len < (int)sizeof(key) ? (size_t)len : sizeof(key) - 1);
    if (announced->warned.count >= WARNED_MAX || map_get(&announced->warned, name) ||
        map_put(&announced->warned, name, announced, NULL))
        return;
    log_warn("consul route tag not understood", LOG_CSTR("service", service),
             LOG_STR("why", str_make(line.ptr + 1, line.len - 1)));
}

/* --- claims --- */

static void claim_destroy(struct kept_claim *kept)
{
    if (kept)
        free((char *)(uintptr_t)kept->claim.service.ptr);
    free(kept);
}

static struct kept_claim *claim_create(const char *service, struct str key)
{
    struct kept_claim *kept = calloc(1, sizeof(*kept));
    size_t len = strlen(service);
    char *text = malloc(len + key.len + 2);
    if (!kept || !text) {
        free(kept);
        free(text);
        return NULL;
    }
    memcpy(text, service, len);
    memcpy(text + len, key.ptr, key.len);
    kept->claim.service = str_make(text, len);
    kept->claim.key = str_make(text + len, key.len);
    return kept;
}

static void see_claim(struct announced *announced, const char *service, uint32_t total,
                      struct str key, uint32_t share)
{
    char text[1400];
    int len = snprintf(text, sizeof(text), "%s\n%.*s", service, STR_ARG(key));
    if (len < 0 || (size_t)len >= sizeof(text))
        return;
    struct str name = str_make(text, (size_t)len);
    struct kept_claim *kept = map_get(&announced->claims, name);
    if (!kept) {
        if (announced->claims.count >= CLAIMS_MAX || !(kept = claim_create(service, key)))
            return;
        if (map_put(&announced->claims, name, kept, NULL)) {
            claim_destroy(kept);
            return;
        }
    }
    if (!kept->is_seen)
        kept->claim.has_share = false;
    if (!kept->is_seen)
        kept->claim.count = 0;
    kept->is_seen = true;
    kept->claim.has_share |= share > 0;
    kept->gone_ms = 0;
    kept->claim.count++;
    kept->claim.total = total;
}

static void read_source(struct announced *announced, struct announcer *announcer)
{
    const struct source *source = announcer->source;
    const struct discovered_list *list = source->state == SOURCE_KNOWN ? source->last : NULL;
    announcer->has_claims = source->state != SOURCE_KNOWN; /* nobody knows yet */
    for (uint32_t i = 0; list && i < list->count; i++) {
        struct str lines = list->items[i].routes;
        while (lines.ptr && lines.len > 0) {
            struct str line = str_cut(&lines, '\n');
            uint32_t share;
            if (line.len > 1 && line.ptr[0] == '!') {
                complain(announced, announcer->name, line);
            } else if (line.len > 0) {
                announcer->has_claims = true;
                struct str key = route_claims_key(line, &share);
                see_claim(announced, announcer->name, list->count, key, share);
            }
        }
    }
}

static int by_name(const void *left, const void *right)
{
    const struct announced_claim *a = left, *b = right;
    const struct str pairs[2][2] = {{a->service, b->service}, {a->key, b->key}};
    for (int i = 0; i < 2; i++) {
        size_t common = pairs[i][0].len < pairs[i][1].len ? pairs[i][0].len : pairs[i][1].len;
        int order = common ? memcmp(pairs[i][0].ptr, pairs[i][1].ptr, common) : 0;
        if (!order)
            order = (pairs[i][0].len > pairs[i][1].len) - (pairs[i][0].len < pairs[i][1].len);
        if (order)
            return order;
    }
    return 0;
}

/* Claims nobody makes any more: those that are gone for long go. Returns in how many ms the next
 * one does; 0: there is none. */
static uint64_t let_go(struct announced *announced)
{
    uint64_t next_ms = 0, now_ms = now_of(announced);
    struct map kept_ones = {0};
    struct str name;
    void *value;
    for (size_t at = 0; map_each(&announced->claims, &at, &name, &value);) {
        struct kept_claim *kept = value;
        if (!kept->is_seen) {
            kept->claim.count = 0;
            if (kept->gone_ms == 0)
                kept->gone_ms = now_ms;
        }
        uint64_t left_ms = kept->is_seen ? 0 : kept->gone_ms + HOLD_MS;
        if ((left_ms && left_ms <= now_ms) || map_put(&kept_ones, name, kept, NULL)) {
            claim_destroy(kept);
            continue;
        }
        if (left_ms && (next_ms == 0 || left_ms - now_ms < next_ms))
            next_ms = left_ms - now_ms;
        kept->is_seen = false;
    }
    map_deinit(&announced->claims);
    announced->claims = kept_ones;
    return next_ms;
}

/* Services that are marked no more, and whose instances claim nothing, are no longer followed. */
static void release_idle(struct announced *announced)
{
    struct map left = {0};
    struct str name;
    void *value;
    for (size_t at = 0; map_each(&announced->announcers, &at, &name, &value);) {
        struct announcer *announcer = value;
        bool is_listed = announcer->is_tagged || announcer->is_in_meta;
        if ((is_listed || announcer->has_claims) && map_put(&left, name, announcer, NULL) == 0)
            continue;
        sources_release(announced->sources, announcer->source);
        free(announcer->name);
        free(announcer);
    }
    map_deinit(&announced->announcers);
    announced->announcers = left;
}

/* False without memory: then what was told before counts for nothing, and nothing is told. */
static bool sort_claims(struct announced *announced)
{
    struct announced_claim *sorted = calloc(announced->claims.count + 1, sizeof(*sorted));
    size_t count = 0;
    void *value;
    for (size_t at = 0; sorted && map_each(&announced->claims, &at, NULL, &value);)
        sorted[count++] = ((struct kept_claim *)value)->claim;
    if (count > 1)
        qsort(sorted, count, sizeof(*sorted), by_name);
    free(announced->sorted);
    announced->sorted = sorted;
    announced->sorted_count = count;
    return sorted != NULL;
}

static void on_due(uv_timer_t *timer)
{
    struct announced *announced = timer->data;
    void *value;
    for (size_t at = 0; map_each(&announced->announcers, &at, NULL, &value);)
        read_source(announced, value);
    uint64_t next_ms = let_go(announced);
    release_idle(announced);
    if (next_ms)
        look_after(announced, next_ms + 1);
    if (sort_claims(announced))
        announced->on_news(announced->owner);
}

size_t announced_claims(const struct announced *announced, const struct announced_claim **ret)
{
    *ret = announced->sorted;
    return announced->sorted_count;
}

json_t *announced_describe(const struct announced *announced)
{
    json_t *body = consul_catalog_describe(announced->catalog);
    json_object_set_new(body, "meta", consul_meta_describe(announced->meta));
    json_object_set_new(body, "announcers", json_integer((json_int_t)announced->announcers.count));
    json_object_set_new(body, "claims", json_integer((json_int_t)announced->sorted_count));
    return body;
}

/* --- which services --- */

static bool is_marked(const json_t *tags)
{
    size_t i;
    const json_t *tag;
    json_array_foreach(tags, i, tag)
    {
        if (json_is_string(tag) &&
            route_claims_is_mark(str_make(json_string_value(tag), json_string_length(tag))))
            return true;
    }
    return false;
}

/* NULL: without memory, or there are too many. */
static struct announcer *follow(struct announced *announced, struct str name)
{
    const struct consul_service service = {.name = name};
    if (announced->announcers.count >= SERVICES_MAX)
        return NULL;
    struct announcer *announcer = calloc(1, sizeof(*announcer));
    if (!announcer)
        return NULL;
    announcer->has_claims = true;
    if (!(announcer->name = str_dup(name)) ||
        !(announcer->source = sources_use_consul(announced->sources, &service)))
        goto fail;
    if (map_put(&announced->announcers, name, announcer, NULL)) {
        sources_release(announced->sources, announcer->source);
        goto fail;
    }
    look_after(announced, SETTLE_MS); /* an upstream may have followed it already */
    return announcer;
fail:
    free(announcer->name);
    free(announcer);
    return NULL;
}

/* The one of that name, which is followed from now on. */
static struct announcer *announcer_of(struct announced *announced, struct str name)
{
    struct announcer *announcer = map_get(&announced->announcers, name);
    return announcer ? announcer : follow(announced, name);
}

/* Consul may be away: who claimed routes before the start is followed until its list is there. */
static void follow_saved(void *arg, struct str name)
{
    announcer_of(arg, name);
}

/* Who is on neither list any more may be let go. */
static void look_at_unlisted(struct announced *announced)
{
    void *value;
    for (size_t at = 0; map_each(&announced->announcers, &at, NULL, &value);) {
        const struct announcer *announcer = value;
        if (!announcer->is_tagged && !announcer->is_in_meta)
            look_after(announced, SETTLE_MS);
    }
    if (announced->announcers.count > 0 && announced->sorted_count == 0)
        look_after(announced, SETTLE_MS);
}

static void on_services(void *owner, const struct consul_catalog_news *news)
{
    struct announced *announced = owner;
    const char *name;
    json_t *tags;
    void *value;
    for (size_t at = 0; map_each(&announced->announcers, &at, NULL, &value);)
        ((struct announcer *)value)->is_tagged = false;
    json_object_foreach((json_t *)(uintptr_t)news->services, name, tags)
    {
        struct announcer *announcer =
            is_marked(tags) ? announcer_of(announced, str_of(name)) : NULL;
        if (announcer)
            announcer->is_tagged = true;
    }
    look_at_unlisted(announced);
    if (news->may_differ)
        consul_meta_ask(announced->meta, news->index);
}

static void on_meta(void *owner, const json_t *services)
{
    struct announced *announced = owner;
    size_t i;
    const json_t *service;
    void *value;
    for (size_t at = 0; map_each(&announced->announcers, &at, NULL, &value);)
        ((struct announcer *)value)->is_in_meta = false;
    json_array_foreach(services, i, service)
    {
        const char *name = json_string_value(json_object_get(service, "Name"));
        const char *peer = json_string_value(json_object_get(service, "PeerName"));
        struct announcer *announcer =
            name && *name && !(peer && *peer) ? announcer_of(announced, str_of(name)) : NULL;
        if (announcer)
            announcer->is_in_meta = true;
    }
    look_at_unlisted(announced);
}

void announced_hear(struct announced *announced, const struct source *source)
{
    const struct announcer *announcer = source->kind == SOURCE_CONSUL
                                            ? map_get(&announced->announcers, str_of(source->name))
                                            : NULL;
    if (announcer && announcer->source == source)
        look_after(announced, SETTLE_MS);
}

/* --- life --- */

static void on_unused_closed(void *arg)
{
    (void)arg;
}

int announced_create(uv_loop_t *loop, struct sources *sources, announced_news_cb on_news,
                     void *owner, struct announced **ret)
{
    struct announced *announced = calloc(1, sizeof(*announced));
    if (!announced)
        return UV_ENOMEM;
    announced->sources = sources;
    announced->on_news = on_news;
    announced->owner = owner;
    if (sources_search_meta(sources, on_meta, announced, &announced->meta)) {
        free(announced);
        return UV_ENOMEM;
    }
    if (sources_follow_catalog(sources, on_services, announced, &announced->catalog)) {
        consul_meta_close(announced->meta, on_unused_closed, NULL);
        free(announced);
        return UV_ENOMEM;
    }
    uv_timer_init(loop, &announced->timer);
    announced->timer.data = announced;
    sources_each_saved_announcer(sources, follow_saved, announced);
    *ret = announced;
    return 0;
}

static void on_part_closed(void *arg)
{
    struct announced *announced = arg;
    if (--announced->parts_open > 0)
        return;
    void (*closed)(void *) = announced->closed;
    void *closed_arg = announced->closed_arg;
    void *value;
    for (size_t at = 0; map_each(&announced->claims, &at, NULL, &value);)
        claim_destroy(value);
    map_deinit(&announced->claims);
    map_deinit(&announced->warned);
    free(announced->sorted);
    free(announced);
    closed(closed_arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

void announced_close(struct announced *announced, void (*closed)(void *arg), void *arg)
{
    void *value;
    announced->is_closing = true;
    announced->closed = closed;
    announced->closed_arg = arg;
    announced->parts_open = 3;
    for (size_t at = 0; map_each(&announced->announcers, &at, NULL, &value);) {
        struct announcer *announcer = value;
        announcer->is_tagged = announcer->is_in_meta = announcer->has_claims = false;
    }
    release_idle(announced);
    map_deinit(&announced->announcers);
    consul_catalog_close(announced->catalog, on_part_closed, announced);
    consul_meta_close(announced->meta, on_part_closed, announced);
    uv_close((uv_handle_t *)&announced->timer, on_timer_closed);
}
