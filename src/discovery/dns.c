#include "discovery/dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "discovery/backoff.h"
#include "discovery/dns_partial.h"
#include "discovery/dns_srv.h"
#include "discovery/protection.h"
#include "net/ip.h"

/*   open --> WAITING <--> LOOKING_UP          any --> closed
 * The timer runs in the one, the query in the other. */

#define REFRESH_MIN_MS 1000 /* whatever the TTL says */
#define REFRESH_MAX_MS 30000
#define CONFIRM_MS 1000     /* a name is asked for again so long after "does not exist" */
#define CONFIRM_SOON_MS 250 /* an answer that takes much away, likewise */
#define RETRY_BASE_MS 250
#define RETRY_CAP_MS 5000
#define SKIPPED_WHY "its target is no name of a host"

struct dns_source {
    struct source source; /* first */
    struct resolver *resolver;
    struct resolver_query *query; /* NULL: none under way */
    uv_timer_t timer;
    struct backoff backoff;
    struct dns_partial partial;
    struct discovered_list *doubtful; /* owned; takes much away, and is asked for again; or NULL */
    bool is_failing;                  /* as logged */
    bool was_denied;                  /* the last answer was that the name does not exist */
    unsigned skipped_count;           /* records of the last answer that were left out */
    uint64_t skipped_total;
    unsigned skipped_at[DNS_MESSAGE_SKIPPED_MAX]; /* the first of them, by place */
};

static void on_due(uv_timer_t *timer);

static void ask_after(struct dns_source *dns, uint64_t delay_ms)
{
    if (!dns->source.is_closing)
        uv_timer_start(&dns->timer, on_due, delay_ms, 0);
}

static void note_answer(struct dns_source *dns)
{
    source_note_answer(&dns->source, uv_now(dns->timer.loop));
    if (dns->is_failing)
        source_tell(&dns->source, "watch.recovered", "");
    if (dns->is_failing)
        log_info("dns answers again", LOG_CSTR("name", dns->source.name));
    dns->is_failing = false;
    backoff_reset(&dns->backoff);
}

static uint64_t refresh_ms(const struct dns_source *dns, uint32_t ttl_s)
{
    uint64_t ms = (uint64_t)ttl_s * 1000;
    if (ms > REFRESH_MAX_MS)
        ms = REFRESH_MAX_MS;
    return ms < REFRESH_MIN_MS || dns->source.is_partial ? REFRESH_MIN_MS : ms;
}

static void forget_doubt(struct dns_source *dns)
{
    discovered_list_destroy(dns->doubtful);
    dns->doubtful = NULL;
}

/* An answer that would take half of the targets away, or the last, is believed when the next one
 * says the same. Takes over the list, which is published or kept. True: published. */
static bool publish_believed(struct dns_source *dns, struct discovered_list *list)
{
    const struct discovered_list *last = dns->source.last;
    bool is_confirmed = dns->doubtful && protection_agrees(last, dns->doubtful, list);
    forget_doubt(dns);
    if (!is_confirmed && protection_is_mass_removal(last, list)) {
        dns->doubtful = list;
        return false;
    }
    source_publish(&dns->source, SOURCE_KNOWN, list);
    return true;
}

static void set_partial(struct dns_source *dns, bool is_partial, uint32_t count)
{
    if (is_partial && !dns->source.is_partial)
        log_warn("dns answers may be cut", LOG_CSTR("name", dns->source.name),
                 LOG_INT("count", count), LOG_CSTR("effect", "several answers are put together"),
                 LOG_CSTR("advice", "discovery by consul's HTTP API shows all"));
    if (!is_partial)
        dns_partial_reset(&dns->partial);
    dns->source.is_partial = is_partial;
}

static void note_skipped(struct dns_source *dns, const struct resolver_services *services)
{
    unsigned shown = services->skipped_count < DNS_MESSAGE_SKIPPED_MAX ? services->skipped_count
                                                                       : DNS_MESSAGE_SKIPPED_MAX;
    if (services->skipped_count > 0 && services->skipped_count != dns->skipped_count) {
        log_warn("dns records left out", LOG_CSTR("name", dns->source.name),
                 LOG_INT("count", services->skipped_count), LOG_CSTR("why", SKIPPED_WHY));
        source_tell(&dns->source, "watch.skipped", SKIPPED_WHY);
    }
    dns->skipped_count = services->skipped_count;
    dns->skipped_total += services->skipped_count;
    if (shown > 0)
        memcpy(dns->skipped_at, services->skipped_at, shown * sizeof(*dns->skipped_at));
}

/* Takes over the list, which is sealed. */
static void found(struct dns_source *dns, struct discovered_list *list, uint32_t ttl_s)
{
    note_answer(dns);
    dns->was_denied = false;
    bool is_published = publish_believed(dns, list);
    ask_after(dns, is_published ? backoff_dither(&dns->backoff, refresh_ms(dns, ttl_s))
                                : CONFIRM_SOON_MS);
}

static void denied(struct dns_source *dns)
{
    note_answer(dns);
    forget_doubt(dns);
    if (dns->source.state != SOURCE_KNOWN || dns->was_denied) {
        set_partial(dns, false, 0);
        source_publish(&dns->source, SOURCE_ABSENT, NULL);
    }
    dns->was_denied = true;
    ask_after(dns, CONFIRM_MS);
}

static void failed(struct dns_source *dns, const char *reason)
{
    if (!dns->is_failing)
        source_tell(&dns->source, "watch.failing", reason);
    if (!dns->is_failing && dns->source.state == SOURCE_KNOWN)
        log_warn("dns fails", LOG_CSTR("name", dns->source.name), LOG_CSTR("why", reason),
                 LOG_CSTR("effect", "the last known addresses stay"));
    dns->is_failing = true;
    source_note_error(&dns->source, reason, uv_now(dns->timer.loop));
    if (dns->source.state == SOURCE_PENDING)
        source_publish(&dns->source, SOURCE_AWAY, NULL);
    ask_after(dns, backoff_next_ms(&dns->backoff, RETRY_BASE_MS, RETRY_CAP_MS));
}

/* --- addresses --- */

static int add_address(struct discovered_list *list, struct str name,
                       const union ip_address *address)
{
    const struct discovered item = {
        .host = name, .weight = 1, .weight_warning = 1, .address = *address};
    return discovered_list_add(list, &item);
}

/* Of a family that could not be asked, or has not answered yet, what was known stays. */
static int add_known(struct discovered_list *list, const struct dns_source *dns, int family)
{
    const struct discovered_list *last = dns->source.last;
    for (uint32_t i = 0; last && i < last->count; i++) {
        const struct discovered *item = &last->items[i];
        int rc = item->address.any.sa_family == family
                     ? add_address(list, str_of(dns->source.name), &item->address)
                     : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static bool is_any_routable(const struct resolver_family *family)
{
    for (unsigned i = 0; i < family->count; i++)
        if (ip_is_routable(&family->addresses[i]))
            return true;
    return false;
}

/* Where a name has addresses of both families, those that this machine has no way to are of no
 * use; where it has nothing else, who tries them is to see the error. */
static int list_addresses(const struct dns_source *dns, const struct resolver_family families[2],
                          struct discovered_list **ret)
{
    bool is_choosy = is_any_routable(&families[0]) || is_any_routable(&families[1]);
    struct discovered_list *list;
    int rc = discovered_list_create(&list);
    for (int f = 0; f < 2 && !rc; f++) {
        const struct resolver_family *family = &families[f];
        if (family->state == RESOLVER_UNDER_WAY || family->state == RESOLVER_FAILED)
            rc = add_known(list, dns, f == 0 ? AF_INET : AF_INET6);
        for (unsigned i = 0; i < family->count && !rc; i++)
            if (!is_choosy || ip_is_routable(&family->addresses[i]))
                rc = add_address(list, str_of(dns->source.name), &family->addresses[i]);
    }
    if (rc) {
        discovered_list_destroy(list);
        return rc;
    }
    discovered_list_seal(list);
    *ret = list;
    return 0;
}

/* More is to come: what is new may be used already. */
static void take_early(struct dns_source *dns, struct discovered_list *list)
{
    if (protection_is_mass_removal(dns->source.last, list))
        discovered_list_destroy(list);
    else
        source_publish(&dns->source, SOURCE_KNOWN, list);
}

static uint32_t shortest_ttl_s(const struct resolver_family families[2])
{
    uint32_t ttl_s = UINT32_MAX;
    for (int f = 0; f < 2; f++)
        if (families[f].state == RESOLVER_FOUND && families[f].ttl_s < ttl_s)
            ttl_s = families[f].ttl_s;
    return ttl_s;
}

static void on_addresses(void *arg, int status, const char *reason,
                         const struct resolver_family families[2])
{
    struct dns_source *dns = arg;
    struct discovered_list *list;
    if (status == UV_EAI_NONAME) {
        denied(dns);
        return;
    }
    int rc = status ? 0 : list_addresses(dns, families, &list);
    if (status || rc)
        failed(dns, status ? reason : uv_strerror(rc));
    else if (dns->query)
        take_early(dns, list);
    else
        found(dns, list, shortest_ttl_s(families));
}

/* --- services --- */

/* *list is replaced by what several answers say together. */
static int complete_list(struct dns_source *dns, struct discovered_list **list)
{
    struct discovered_list *merged;
    int rc =
        dns_partial_merge(&dns->partial, dns->source.last, *list, uv_now(dns->timer.loop), &merged);
    if (rc)
        return rc;
    discovered_list_destroy(*list);
    *list = merged;
    return 0;
}

static void take_services(struct dns_source *dns, const struct resolver_services *services)
{
    struct discovered_list *list;
    if (dns_srv_list(services, str_of(dns->source.name), &list)) {
        failed(dns, "out of memory");
        return;
    }
    set_partial(dns, services->may_be_partial, services->count);
    note_skipped(dns, services);
    if (services->may_be_partial && complete_list(dns, &list)) {
        discovered_list_destroy(list);
        failed(dns, "out of memory");
        return;
    }
    found(dns, list, services->ttl_s);
}

static void on_services(void *arg, int status, const char *reason,
                        const struct resolver_services *services)
{
    struct dns_source *dns = arg;
    if (status == UV_EAI_NONAME)
        denied(dns);
    else if (status)
        failed(dns, reason);
    else
        take_services(dns, services);
}

static void on_due(uv_timer_t *timer)
{
    struct dns_source *dns = timer->data;
    resolver_cancel(&dns->query); /* none, unless memory was short for its first part */
    source_note_read(&dns->source);
    int rc = dns->source.kind == SOURCE_DNS
                 ? resolver_look_up(dns->resolver, dns->source.name, on_addresses, dns, &dns->query)
                 : resolver_look_up_services(dns->resolver, dns->source.name, on_services, dns,
                                             &dns->query);
    if (rc)
        failed(dns, uv_strerror(rc));
}

/* --- opening and closing --- */

static void on_timer_closed(uv_handle_t *handle)
{
    source_free(handle->data);
}

static void dns_close(struct source *source)
{
    struct dns_source *dns = LIST_ENTRY(source, struct dns_source, source);
    resolver_cancel(&dns->query);
    forget_doubt(dns);
    dns_partial_deinit(&dns->partial);
    dns->timer.data = source;
    uv_close((uv_handle_t *)&dns->timer, on_timer_closed);
}

static void describe(const struct source *source, json_t *body)
{
    const struct dns_source *dns = (const struct dns_source *)(const void *)source;
    char servers[512];
    resolver_servers(dns->resolver, source->name, servers, sizeof(servers));
    json_t *skipped = json_array();
    for (unsigned i = 0; i < dns->skipped_count && i < DNS_MESSAGE_SKIPPED_MAX; i++) {
        char entry[32];
        snprintf(entry, sizeof(entry), "record %u", dns->skipped_at[i]);
        json_array_append_new(skipped, json_pack("{s:s, s:s}", "entry", entry, "why", SKIPPED_WHY));
    }
    json_object_set_new(body, "address", json_string(servers));
    json_object_set_new(body, "partial", json_boolean(source->is_partial || dns->skipped_count));
    json_object_set_new(body, "skipped_count", json_integer(dns->skipped_count));
    json_object_set_new(body, "skipped_total", json_integer((json_int_t)dns->skipped_total));
    json_object_set_new(body, "skipped", skipped);
    json_object_set_new(body, "may_be_partial", json_boolean(source->is_partial));
    json_object_set_new(body, "is_confirming",
                        json_boolean(dns->doubtful || dns->was_denied || source->is_doubted));
}

static int open_kind(enum source_kind kind, uv_loop_t *loop, struct resolver *resolver,
                     struct str name, struct source_owner *owner, struct source **ret)
{
    struct dns_source *dns = calloc(1, sizeof(*dns));
    if (!dns)
        return UV_ENOMEM;
    if (source_init(&dns->source, kind, name, owner, dns_close)) {
        free(dns);
        return UV_ENOMEM;
    }
    dns->source.describe = describe;
    dns->resolver = resolver;
    backoff_init(&dns->backoff);
    uv_timer_init(loop, &dns->timer);
    dns->timer.data = dns;
    ask_after(dns, 0);
    *ret = &dns->source;
    return 0;
}

int dns_open(uv_loop_t *loop, struct resolver *resolver, struct str name,
             struct source_owner *owner, struct source **ret)
{
    return open_kind(SOURCE_DNS, loop, resolver, name, owner, ret);
}

int dns_srv_open(uv_loop_t *loop, struct resolver *resolver, struct str name,
                 struct source_owner *owner, struct source **ret)
{
    return open_kind(SOURCE_DNS_SRV, loop, resolver, name, owner, ret);
}
