#include "discovery/gathering.h"

#include <stdlib.h>

#include "base/log.h"
#include "discovery/host.h"
#include "discovery/route_claims.h"
#include "model/row.h"
#include "net/ip.h"

#define TAGS_MAX 64
#define SHARE_WHOLE 10000
#define SHARE_FACTOR_MAX 840 /* divisible by 1 to 8 */

/* --- uses --- */

void source_uses_init(struct source_uses *uses, struct sources *sources)
{
    *uses = (struct source_uses){.sources = sources};
}

void source_uses_deinit(struct source_uses *uses)
{
    for (size_t i = 0; i < uses->count; i++)
        sources_release(uses->sources, uses->items[i].source);
    free(uses->items);
    *uses = (struct source_uses){.sources = uses->sources};
}

bool source_uses_has(const struct source_uses *uses, const struct source *source)
{
    for (size_t i = 0; i < uses->count; i++)
        if (uses->items[i].source == source)
            return true;
    return false;
}

/* Takes over one use of `source`, which may be among them already. NULL stays NULL. */
static struct source *need(struct source_uses *uses, struct source *source)
{
    if (!source)
        return NULL;
    for (size_t i = 0; i < uses->count; i++) {
        if (uses->items[i].source == source) {
            uses->items[i].is_needed = true;
            sources_release(uses->sources, source);
            return source;
        }
    }
    if (uses->count == uses->capacity) {
        size_t capacity = uses->capacity ? uses->capacity * 2 : 2;
        struct source_use *items = realloc(uses->items, capacity * sizeof(*items));
        if (!items) {
            sources_release(uses->sources, source);
            return NULL;
        }
        uses->items = items;
        uses->capacity = capacity;
    }
    uses->items[uses->count++] = (struct source_use){source, true};
    return source;
}

static void forget_needs(struct source_uses *uses)
{
    for (size_t i = 0; i < uses->count; i++)
        uses->items[i].is_needed = false;
}

static void release_unneeded(struct source_uses *uses)
{
    size_t kept = 0;
    for (size_t i = 0; i < uses->count; i++) {
        if (uses->items[i].is_needed)
            uses->items[kept++] = uses->items[i];
        else
            sources_release(uses->sources, uses->items[i].source);
    }
    uses->count = kept;
}

/* --- gathering --- */

struct gatherer {
    struct gathering *out;
    struct source_uses *uses;
    uint16_t default_port;        /* for those that bring none; 0: none */
    struct str near;              /* "node" or "zone": such are preferred; empty: all are alike */
    enum discovered_status worst; /* that takes traffic */
    struct str route;             /* only instances that claim it count; empty: all */
    bool is_out_of_memory;
};

static void add(struct gatherer *g, const struct candidate *candidate)
{
    struct gathering *out = g->out;
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? out->capacity * 2 : 8;
        struct candidate *candidates = realloc(out->candidates, capacity * sizeof(*candidates));
        if (!candidates) {
            g->is_out_of_memory = true;
            return;
        }
        out->candidates = candidates;
        out->capacity = capacity;
    }
    out->candidates[out->count++] = *candidate;
}

static void note_silence(struct gatherer *g, const struct source *source)
{
    bool is_consul = source && source->kind == SOURCE_CONSUL;
    if (!source)
        g->is_out_of_memory = true;
    else if (source->state == SOURCE_PENDING)
        g->out->is_pending = true;
    else if (source->state == SOURCE_ABSENT)
        g->out->why = "DNS knows no such name";
    else
        g->out->why =
            is_consul ? "Consul can't be reached or refuses the query" : "DNS can't be asked";
}

/* A name: a candidate an address. Others can't be added before DNS has answered. */
static void add_name(struct gatherer *g, struct candidate *candidate, uint16_t port)
{
    const struct source *dns = need(g->uses, sources_use_dns(g->uses->sources, candidate->host));
    if (!dns || dns->state != SOURCE_KNOWN) {
        note_silence(g, dns);
        return;
    }
    candidate->sibling_count = dns->last->count;
    for (uint32_t i = 0; i < dns->last->count; i++) {
        candidate->address = dns->last->items[i].address;
        ip_set_port(&candidate->address, port);
        add(g, candidate);
    }
}

static void add_target(struct gatherer *g, struct candidate *candidate, uint16_t port)
{
    if (port == 0)
        port = g->default_port;
    if (port == 0) {
        g->out->portless_count++;
        return;
    }
    if (candidate->address.any.sa_family == AF_UNSPEC) {
        add_name(g, candidate, port);
        return;
    }
    ip_set_port(&candidate->address, port);
    add(g, candidate);
}

static uint32_t out_of(enum discovered_status status, enum discovered_status worst)
{
    if (status == DISCOVERED_MAINTENANCE)
        return TARGET_OUT_MAINTENANCE;
    return status > worst ? TARGET_OUT_CONSUL : 0;
}

/* 0 is the nearest. */
static uint16_t distance_of(const struct gatherer *g, const struct discovered *item)
{
    struct place here = sources_place(g->uses->sources);
    if (g->near.len == 0)
        return 0;
    if (str_equal(g->near, STR("node")) && here.node.len && str_equal_nocase(here.node, item->node))
        return 0;
    return here.zone.len && str_equal(here.zone, item->zone) ? 1 : 2;
}

static void add_known(struct gatherer *g, const struct source *source)
{
    g->out->is_known = true;
    for (uint32_t i = 0; i < source->last->count; i++) {
        const struct discovered *item = &source->last->items[i];
        bool is_warning = item->status == DISCOVERED_WARNING;
        uint32_t share = 0;
        if (g->route.len > 0 && !route_claims_find(item->routes, g->route, &share))
            continue;
        struct candidate candidate = {
            .kind = source->kind,
            .status = item->status,
            .weight = is_warning ? item->weight_warning : item->weight,
            .out = out_of(item->status, g->worst),
            .priority = source->kind == SOURCE_CONSUL ? distance_of(g, item) : item->priority,
            .share = share,
            .host = item->host,
            .instance = item->instance,
            .node = item->node,
            .datacenter = item->datacenter,
            .why = item->why,
            .address = item->address,
        };
        add_target(g, &candidate, item->port);
    }
}

static void add_source(struct gatherer *g, const struct source *source)
{
    if (source && source->state == SOURCE_KNOWN)
        add_known(g, source);
    else
        note_silence(g, source);
}

static void add_static(struct gatherer *g, const struct static_target *target)
{
    struct candidate candidate = {
        .kind = SOURCE_STATIC, .weight = target->weight, .host = target->host};
    ip_parse(target->host, target->port, &candidate.address);
    if (candidate.address.any.sa_family != AF_UNSPEC)
        g->out->is_known = true;
    add_target(g, &candidate, target->port);
}

static void add_consul(struct gatherer *g, const struct consul_service *service)
{
    if (!sources_has_consul(g->uses->sources)) {
        g->out->why = "no Consul is configured";
        return;
    }
    g->out->is_consul = true;
    add_source(g, need(g->uses, sources_use_consul(g->uses->sources, service)));
}

static void add_dns(struct gatherer *g, struct str name)
{
    add_source(g, need(g->uses, sources_use_dns(g->uses->sources, name)));
}

/* Consul and DNS are asked side by side. Once Consul has shown an instance it is the truth, also
 * when it shows none later; until then DNS helps out, but not before Consul has said a word. */
static void add_either(struct gatherer *g, struct str name)
{
    const struct consul_service service = {.name = name};
    const struct source *consul = need(g->uses, sources_use_consul(g->uses->sources, &service));
    if (consul && consul->had_targets) {
        g->out->is_consul = true;
        add_source(g, consul);
        return;
    }
    const struct source *dns = need(g->uses, sources_use_dns(g->uses->sources, name));
    if (consul && consul->state == SOURCE_PENDING) {
        g->out->is_pending = true;
        return;
    }
    add_source(g, dns);
    if (dns && dns->state == SOURCE_ABSENT && consul && consul->state == SOURCE_KNOWN)
        g->out->why = "Consul has no instance and DNS knows no such name";
    else if (dns && dns->state != SOURCE_PENDING && consul && consul->state == SOURCE_AWAY)
        g->out->why = "Consul can't be reached and DNS has no address";
}

/* Consul's names in DNS: SRV records say the ports too; who has none may have addresses. */
static void add_dns_service(struct gatherer *g, struct str name)
{
    const struct source *srv = need(g->uses, sources_use_dns_srv(g->uses->sources, name));
    if (srv && srv->had_targets) {
        add_source(g, srv);
        return;
    }
    const struct source *dns = need(g->uses, sources_use_dns(g->uses->sources, name));
    if (srv && srv->state == SOURCE_PENDING)
        g->out->is_pending = true;
    else
        add_source(g, dns);
}

/* NULL: it is not among them, or `list` is NULL. */
static const struct discovered *find_address(const struct discovered_list *list,
                                             const union ip_address *address)
{
    for (uint32_t i = 0; list && i < list->count; i++) {
        union ip_address its = list->items[i].address;
        if (its.any.sa_family == AF_UNSPEC)
            continue;
        ip_set_port(&its, list->items[i].port);
        if (ip_compare(&its, address) == 0)
            return &list->items[i];
    }
    return NULL;
}

/* Those from `first` on are targets that Consul told of before: by their addresses they are known
 * again, and keep their state. */
static void recognise(struct gatherer *g, size_t first, const struct discovered_list *list)
{
    for (size_t i = first; i < g->out->count; i++) {
        struct candidate *candidate = &g->out->candidates[i];
        const struct discovered *item = find_address(list, &candidate->address);
        /* All of Consul's SRV records have one priority, which is not about what is near. */
        candidate->priority = distance_of(g, item ? item : &(struct discovered){0});
        if (!item)
            continue;
        candidate->kind = SOURCE_CONSUL;
        candidate->status = item->status == DISCOVERED_WARNING ? item->status : DISCOVERED_PASSING;
        candidate->out = out_of(candidate->status, g->worst);
        candidate->host = item->host;
        candidate->instance = item->instance;
        candidate->node = item->node;
        candidate->datacenter = item->datacenter;
    }
}

static bool is_gathered(const struct gatherer *g, size_t first, const struct discovered *item)
{
    union ip_address address = item->address;
    bool is_name = address.any.sa_family == AF_UNSPEC;
    if (!is_name)
        ip_set_port(&address, item->port ? item->port : g->default_port);
    for (size_t i = first; i < g->out->count; i++) {
        const struct candidate *candidate = &g->out->candidates[i];
        if (is_name ? str_equal_nocase(candidate->host, item->host)
                    : ip_compare(&candidate->address, &address) == 0)
            return true;
    }
    return false;
}

/* Half or more of what is usable by `list` is not among those from `first` on. */
static bool lacks_half(const struct gatherer *g, size_t first, const struct discovered_list *list)
{
    uint32_t pool = 0, missing = 0;
    for (uint32_t i = 0; list && i < list->count; i++) {
        if (list->items[i].status > DISCOVERED_WARNING)
            continue;
        pool++;
        missing += !is_gathered(g, first, &list->items[i]);
    }
    return missing > 0 && missing * 2 >= pool;
}

/* A first answer that would take much away is believed when the next one says the same. From then
 * on DNS has doubts of its own (dns.c). What may be a part takes nothing away. */
static bool is_doubtful(const struct gatherer *g, size_t first, const struct source *consul,
                        struct source *srv)
{
    if (consul->is_replaced || srv->is_partial || srv->is_repeated ||
        !lacks_half(g, first, consul->last))
        return false;
    srv->is_doubted = true;
    return true;
}

/* Consul's HTTP API has been silent for long: what its DNS port, or one that forwards to it, says
 * now is newer than what is known. False: it says nothing, not all of it yet, or what is in doubt.
 */
static bool add_dns_instead(struct gatherer *g, struct source *consul, struct str name)
{
    struct source *srv = need(g->uses, sources_use_dns_srv(g->uses->sources, name));
    if (!srv || srv->state != SOURCE_KNOWN || srv->last->count == 0)
        return false;
    struct gathering before = *g->out;
    add_known(g, srv);
    if (g->out->count < before.count + srv->last->count ||
        is_doubtful(g, before.count, consul, srv)) {
        before.candidates = g->out->candidates;
        before.capacity = g->out->capacity;
        *g->out = before;
        return false;
    }
    recognise(g, before.count, consul->last);
    if (!srv->is_partial)
        consul->is_replaced = true;
    else if (!consul->is_replaced && consul->state == SOURCE_KNOWN)
        add_known(g, consul); /* who is told of twice is one target (endpoint_set.h) */
    return true;
}

/* A name that says itself that it is Consul's. Its DNS port, or a resolver that forwards to it, may
 * know it where the HTTP port doesn't answer and has never done so. */
static void add_consul_name(struct gatherer *g, const struct consul_service *service,
                            struct str name)
{
    struct source *consul = sources_has_consul(g->uses->sources)
                                ? need(g->uses, sources_use_consul(g->uses->sources, service))
                                : NULL;
    if (consul && consul->is_silent && add_dns_instead(g, consul, name))
        return;
    if (consul && consul->state != SOURCE_AWAY) {
        g->out->is_consul = true;
        add_source(g, consul);
        return;
    }
    add_dns_service(g, name);
    if (consul && g->out->count == 0 && !g->out->is_pending)
        g->out->why = "Consul can't be reached and DNS has no instance";
}

static void add_host(struct gatherer *g, const struct upstream_spec *spec)
{
    struct host host;
    host_classify(spec->host, &host);
    g->default_port = spec->port;
    struct consul_service service = {.name = host.service,
                                     .datacenter = host.datacenter,
                                     .namespace = host.namespace,
                                     .partition = host.partition,
                                     .peer = host.peer,
                                     .tags = &host.tag,
                                     .tag_count = host.tag.len > 0};
    struct static_target alone = {.host = spec->host, .port = spec->port, .weight = 1};
    switch (host.kind) {
    case HOST_ADDRESS:
        add_static(g, &alone);
        break;
    case HOST_DNS:
        add_dns(g, host.name);
        break;
    case HOST_CONSUL:
        add_consul_name(g, &service, host.name);
        break;
    case HOST_EITHER:
        add_either(g, host.name);
        break;
    }
}

static enum discovered_status read_worst(const json_t *record)
{
    struct str status = row_text(record, "status");
    if (str_equal(status, STR("any")))
        return DISCOVERED_CRITICAL;
    bool is_strict =
        str_equal(status, STR("passing")) || json_is_true(json_object_get(record, "passing_only"));
    return is_strict ? DISCOVERED_PASSING : DISCOVERED_WARNING;
}

static size_t read_tags(const json_t *record, const char *key, struct str tags[TAGS_MAX])
{
    size_t i, count = 0;
    const json_t *tag;
    json_array_foreach(json_object_get(record, key), i, tag)
    {
        if (json_is_string(tag) && json_string_length(tag) > 0 && count < TAGS_MAX)
            tags[count++] = str_make(json_string_value(tag), json_string_length(tag));
    }
    return count;
}

static void add_record(struct gatherer *g, const json_t *record)
{
    struct str type = row_text(record, "type");
    struct str name = row_text(record, "name");
    json_int_t port = json_integer_value(json_object_get(record, "port"));
    g->default_port = port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
    g->worst = read_worst(record);
    g->near = row_text(record, "near");
    g->route = row_text(record, "route");
    if (str_equal(type, STR("consul"))) {
        struct str tags[TAGS_MAX], excluded[TAGS_MAX];
        struct consul_service service = {
            .name = row_text(record, "service"),
            .datacenter = row_text(record, "datacenter"),
            .namespace = row_text(record, "namespace"),
            .partition = row_text(record, "partition"),
            .peer = row_text(record, "peer"),
            .filter = row_text(record, "filter"),
            .tags = tags,
            .tag_count = read_tags(record, "tags", tags),
            .is_cached = json_is_true(json_object_get(record, "cached")),
            .view = {.excluded_tags = excluded,
                     .excluded_count = read_tags(record, "exclude_tags", excluded),
                     .tagged_address = row_text(record, "tagged_address"),
                     .require_service_check =
                         json_is_true(json_object_get(record, "require_service_check"))}};
        if (service.name.len == 0)
            service.name = name;
        add_consul(g, &service);
    } else if (str_equal(type, STR("dns"))) {
        add_dns(g, name);
    } else if (str_equal(type, STR("dns-srv"))) {
        add_source(g, need(g->uses, sources_use_dns_srv(g->uses->sources, name)));
    } else {
        g->out->why = "its discovery record has an unknown type";
    }
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* An SRV record's weight is that of its target, however many addresses that has: they share it. All
 * weights of the upstream grow by the same factor where that takes fractions. */
static void share_weights(struct gathering *gathering)
{
    uint32_t factor = 1;
    for (size_t i = 0; i < gathering->count; i++) {
        const struct candidate *candidate = &gathering->candidates[i];
        uint32_t count = candidate->sibling_count;
        if (candidate->kind != SOURCE_DNS_SRV || count < 2)
            continue;
        uint32_t multiple = factor / common_divisor(factor, count) * count;
        if (multiple <= SHARE_FACTOR_MAX)
            factor = multiple;
    }
    for (size_t i = 0; i < gathering->count && factor > 1; i++) {
        struct candidate *candidate = &gathering->candidates[i];
        bool is_sharing = candidate->kind == SOURCE_DNS_SRV && candidate->sibling_count > 1;
        bool has_weight = candidate->weight > 0;
        candidate->weight =
            candidate->weight * factor / (is_sharing ? candidate->sibling_count : 1);
        if (has_weight && candidate->weight == 0)
            candidate->weight = 1;
    }
}

/* Some instances may want a share of the traffic; the others divide the rest. */
static void apply_shares(struct gathering *gathering)
{
    uint64_t sum = 0;
    uint32_t others = 0;
    for (size_t i = 0; i < gathering->count; i++) {
        sum += gathering->candidates[i].share;
        others += gathering->candidates[i].share == 0;
    }
    if (sum == 0)
        return;
    for (size_t i = 0; i < gathering->count; i++) {
        struct candidate *candidate = &gathering->candidates[i];
        if (candidate->share > 0)
            candidate->weight = candidate->share * (others ? others : 1);
        else
            candidate->weight = sum < SHARE_WHOLE ? (uint32_t)(SHARE_WHOLE - sum) : 0;
    }
}

int gathering_make(struct gathering *gathering, const struct upstream_spec *spec,
                   struct source_uses *uses)
{
    *gathering = (struct gathering){0};
    struct gatherer g = {.out = gathering, .uses = uses, .worst = DISCOVERED_WARNING};
    forget_needs(uses);
    if (spec->host.len > 0)
        add_host(&g, spec);
    for (size_t i = 0; i < spec->target_count; i++)
        add_static(&g, &spec->targets[i]);
    if (spec->discovery)
        add_record(&g, spec->discovery);
    else if (spec->target_count == 0 && spec->host.len == 0)
        gathering->is_known = true; /* an upstream without targets, so far */
    release_unneeded(uses);
    share_weights(gathering);
    apply_shares(gathering);
    return g.is_out_of_memory ? UV_ENOMEM : 0;
}

void gathering_deinit(struct gathering *gathering)
{
    free(gathering->candidates);
    gathering->candidates = NULL;
}

enum endpoints_condition gathering_condition(const struct gathering *gathering)
{
    if (gathering->count > 0)
        return ENDPOINTS_KNOWN;
    if (gathering->is_pending)
        return ENDPOINTS_PENDING;
    return gathering->is_known ? ENDPOINTS_KNOWN : ENDPOINTS_UNRESOLVED;
}
