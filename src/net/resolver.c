#include "net/resolver.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <ares_nameser.h>

#include "base/log.h"
#include "net/dns_zone.h"
#include "net/ip.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_CONF_LOOK_MS 2000
#define TCP_PAUSE_MS 60000 /* not tried again so long after it did not work where UDP did */
#define LONG_TCP_BYTES                                                                             \
    64512 /* an answer can't be longer than 64 KiB, and Consul cuts a bit before */
#define LONG_TCP_COUNT 1000
#define LONG_UDP_ROOM_BYTES 128
#define PLAIN_UDP_MIN 3 /* Consul gives 3 to 8 to who speaks no EDNS */
#define PLAIN_UDP_MAX 8
#define ARENA_BLOCK_BYTES 8192

struct resolver {
    uv_loop_t *loop;
    struct dns_zone zones[1 + RESOLVER_MAX_ZONES]; /* the first is that of all others */
    unsigned zone_count;
    char *resolv_conf; /* owned; NULL: the system's */
    uint16_t resolv_conf_port;
    uv_fs_poll_t follow; /* resolv.conf */
    unsigned open_handles;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct family {
    struct resolver_family out;
    union ip_address *addresses; /* owned */
};

/* Lives until c-ares has called back for each part, whatever its user has been told meanwhile. */
struct resolver_query {
    struct resolver_query **slot; /* NULL: ended or cancelled, nobody wants to hear of it */
    struct resolver *resolver;
    struct dns_zone *zone;
    resolver_cb done;
    resolver_services_cb services_done;
    void *arg;
    unsigned parts; /* callbacks of c-ares to come */
    struct family families[2];
    bool is_over_tcp; /* the question for services */
    char reason[96];
    char name[]; /* of the question for services */
};

/* --- zones --- */

static void free_all(struct resolver *resolver)
{
    for (unsigned i = 0; i < resolver->zone_count; i++)
        dns_zone_deinit(&resolver->zones[i]);
    free(resolver->resolv_conf);
    free(resolver);
}

static void free_when_closed(void *owner)
{
    struct resolver *resolver = owner;
    if (!resolver->closing || resolver->open_handles > 0)
        return;
    void (*closed)(void *) = resolver->closed;
    void *arg = resolver->closed_arg;
    free_all(resolver);
    closed(arg);
}

static int open_zone(struct resolver *resolver, struct str name, struct str servers)
{
    struct dns_zone *zone = &resolver->zones[resolver->zone_count++];
    const struct dns_channel blank = {.loop = resolver->loop,
                                      .open_handles = &resolver->open_handles,
                                      .handle_closed = free_when_closed,
                                      .owner = resolver};
    zone->resolv_conf = resolver->resolv_conf;
    zone->resolv_conf_port = resolver->resolv_conf_port;
    return dns_zone_open(zone, name, servers, &blank);
}

static int open_forwards(struct resolver *resolver, const char *forwards, struct error *err)
{
    struct str rest = str_of(forwards);
    while (rest.ptr) {
        struct str name, servers;
        int rc = UV_EINVAL;
        if (resolver->zone_count <= RESOLVER_MAX_ZONES && dns_zone_cut(&rest, &name, &servers))
            rc = open_zone(resolver, name, servers);
        if (rc == UV_EINVAL)
            error_set(err, "dns_forward", "'%s' is not a comma list of <zone>=<ip>[:<port>]",
                      forwards);
        if (rc)
            return rc;
    }
    return 0;
}

/* The longest that holds the name. */
static unsigned zone_at(const struct resolver *resolver, const char *name)
{
    unsigned best = 0;
    for (unsigned i = 1; i < resolver->zone_count; i++) {
        const char *longest = resolver->zones[best].name;
        if (dns_zone_holds(&resolver->zones[i], str_of(name)) &&
            (!longest || strlen(resolver->zones[i].name) > strlen(longest)))
            best = i;
    }
    return best;
}

static struct dns_zone *zone_of(struct resolver *resolver, const char *name)
{
    return &resolver->zones[zone_at(resolver, name)];
}

void resolver_servers(const struct resolver *resolver, const char *name, char *text, size_t size)
{
    dns_channel_servers(&resolver->zones[zone_at(resolver, name)].usual, text, size);
}

/* Queries under way are told of a failure, and come again soon. */
static void on_resolv_conf(uv_fs_poll_t *poll, int status, const uv_stat_t *before,
                           const uv_stat_t *now)
{
    struct resolver *resolver = poll->data;
    (void)before;
    (void)now;
    if (status || resolver->closing) /* it is being written anew: the old servers stay */
        return;
    int rc = dns_zone_reopen(&resolver->zones[0]);
    if (rc)
        log_error("resolv.conf has changed but is not used", LOG_CSTR("why", uv_strerror(rc)));
    else
        log_notice("resolv.conf has changed", LOG_CSTR("effect", "its servers are asked now"));
}

static void on_follow_closed(uv_handle_t *handle)
{
    struct resolver *resolver = handle->data;
    resolver->open_handles--;
    free_when_closed(resolver);
}

static void start(struct resolver *resolver)
{
    for (unsigned i = 0; i < resolver->zone_count; i++)
        dns_zone_start(&resolver->zones[i]);
    uv_fs_poll_init(resolver->loop, &resolver->follow);
    resolver->follow.data = resolver;
    resolver->open_handles++;
    if (!resolver->zones[0].servers)
        uv_fs_poll_start(&resolver->follow, on_resolv_conf,
                         resolver->resolv_conf ? resolver->resolv_conf : RESOLV_CONF,
                         RESOLV_CONF_LOOK_MS);
}

static void close_zones(struct resolver *resolver)
{
    for (unsigned i = 0; i < resolver->zone_count; i++)
        dns_zone_close(&resolver->zones[i]);
}

int resolver_create(uv_loop_t *loop, const struct resolver_settings *settings,
                    struct resolver **ret, struct error *err)
{
    static bool initialised; /* the control thread's alone */
    if (!initialised && ares_library_init(ARES_LIB_INIT_ALL))
        return UV_ENOMEM;
    initialised = true;

    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (!resolver)
        return UV_ENOMEM;
    resolver->loop = loop;
    resolver->resolv_conf_port = settings->resolv_conf_port;
    int rc = UV_ENOMEM;
    if (settings->resolv_conf && !(resolver->resolv_conf = strdup(settings->resolv_conf)))
        goto fail;
    rc = open_zone(resolver, STR_EMPTY, str_of(settings->servers));
    if (rc == UV_EINVAL)
        error_set(err, "dns_resolver", "'%s' is not a comma list of <ip>[:port]",
                  settings->servers);
    if (!rc && settings->forwards)
        rc = open_forwards(resolver, settings->forwards, err);
    if (rc)
        goto fail;
    start(resolver);
    *ret = resolver;
    return 0;
fail:
    close_zones(resolver);
    free_all(resolver);
    return rc;
}

void resolver_close(struct resolver *resolver, void (*closed)(void *arg), void *arg)
{
    assert(!resolver->closing);
    resolver->closing = true;
    resolver->closed = closed;
    resolver->closed_arg = arg;
    close_zones(resolver);
    uv_close((uv_handle_t *)&resolver->follow, on_follow_closed);
}

/* --- queries --- */

static int begin_query(struct resolver *resolver, const char *name, struct resolver_query **slot,
                       void *arg, struct resolver_query **ret)
{
    size_t size = strlen(name) + 1;
    struct resolver_query *query = calloc(1, sizeof(*query) + size);
    if (!query)
        return UV_ENOMEM;
    memcpy(query->name, name, size);
    query->resolver = resolver;
    query->zone = zone_of(resolver, name);
    query->slot = slot;
    query->arg = arg;
    *slot = query;
    *ret = query;
    return 0;
}

/* From here on nobody hears of it. */
static void detach(struct resolver_query *query)
{
    if (query->slot)
        *query->slot = NULL;
    query->slot = NULL;
}

void resolver_cancel(struct resolver_query **slot)
{
    if (*slot)
        detach(*slot);
}

static void part_ended(struct resolver_query *query)
{
    if (--query->parts > 0)
        return;
    detach(query);
    free(query->families[0].addresses);
    free(query->families[1].addresses);
    free(query);
}

static bool is_denial(int status)
{
    return status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME;
}

static void note_reason(struct resolver_query *query, int status)
{
    const char *text =
        status == ARES_ECANCELLED ? "resolv.conf has changed" : ares_strerror(status);
    strncpy(query->reason, text, sizeof(query->reason) - 1);
}

/* --- addresses --- */

/* Tells of what is known, if that is enough to be told. */
static void report(struct resolver_query *query)
{
    const struct resolver_family families[2] = {query->families[0].out, query->families[1].out};
    bool is_found = false, is_over = true, has_failed = false;
    for (int i = 0; i < 2; i++) {
        is_found |= families[i].state == RESOLVER_FOUND;
        is_over &= families[i].state != RESOLVER_UNDER_WAY;
        has_failed |= families[i].state == RESOLVER_FAILED;
    }
    if (!query->slot || (!is_found && !is_over))
        return;
    if (is_over)
        detach(query);
    if (is_found)
        query->done(query->arg, 0, query->reason, families);
    else if (has_failed)
        query->done(query->arg, UV_EAI_AGAIN, query->reason, NULL);
    else
        query->done(query->arg, UV_EAI_NONAME, "the name does not exist", NULL);
}

static int copy_addresses(struct family *family, const struct ares_addrinfo *info)
{
    struct resolver_family *out = &family->out;
    unsigned count = 0;
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        count++;
    if (count == 0)
        return ARES_ENODATA;
    if (count > RESOLVER_MAX_ADDRESSES)
        count = RESOLVER_MAX_ADDRESSES;
    if (!(family->addresses = calloc(count, sizeof(*family->addresses))))
        return ARES_ENOMEM;
    out->addresses = family->addresses;
    out->ttl_s = UINT32_MAX;
    for (const struct ares_addrinfo_node *node = info->nodes; node && out->count < count;
         node = node->ai_next) {
        memcpy(&family->addresses[out->count++], node->ai_addr, node->ai_addrlen);
        uint32_t ttl_s = node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0;
        if (ttl_s < out->ttl_s)
            out->ttl_s = ttl_s;
    }
    return ARES_SUCCESS;
}

static void take_family(struct resolver_query *query, struct family *family, int status,
                        struct ares_addrinfo *info)
{
    if (status != ARES_EDESTRUCTION) {
        if (status == ARES_SUCCESS)
            status = copy_addresses(family, info);
        family->out.state = status == ARES_SUCCESS ? RESOLVER_FOUND
                            : is_denial(status)    ? RESOLVER_NONE
                                                   : RESOLVER_FAILED;
        if (family->out.state == RESOLVER_FAILED)
            note_reason(query, status);
        report(query);
    }
    if (info)
        ares_freeaddrinfo(info);
    part_ended(query);
}

static void on_v4(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct resolver_query *query = arg;
    take_family(query, &query->families[0], status, info);
}

static void on_v6(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct resolver_query *query = arg;
    take_family(query, &query->families[1], status, info);
}

int resolver_look_up(struct resolver *resolver, const char *name, resolver_cb done, void *arg,
                     struct resolver_query **slot)
{
    struct resolver_query *query;
    int rc = begin_query(resolver, "", slot, arg, &query);
    if (rc)
        return rc;
    struct dns_channel *channel = &zone_of(resolver, name)->usual;
    query->done = done;
    query->parts = 3; /* this function is one */
    /* Not sorted by c-ares, which would try the routes to each. ENVHOSTS: CARES_HOSTS may name
     * another hosts file. */
    struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT | ARES_AI_ENVHOSTS,
                                        .ai_socktype = SOCK_STREAM};
    hints.ai_family = AF_INET;
    query->slot = NULL; /* not to be told of yet */
    ares_getaddrinfo(channel->ares, name, NULL, &hints, on_v4, query);
    query->slot = slot;
    if (query->families[0].out.state == RESOLVER_FOUND) {
        /* Known at once, so from the hosts file, and that is all: "localhost" mostly is one server
         * that listens on 127.0.0.1. */
        query->families[1].out.state = RESOLVER_NONE;
        query->parts--;
        report(query);
    } else {
        hints.ai_family = AF_INET6;
        ares_getaddrinfo(channel->ares, name, NULL, &hints, on_v6, query);
    }
    part_ended(query);
    dns_channel_arm(channel);
    return 0;
}

/* --- services --- */

static bool may_be_partial(const struct resolver_query *query, const struct dns_services *services,
                           int reply_len)
{
    if (reply_len > LONG_TCP_BYTES || services->count >= LONG_TCP_COUNT)
        return true;
    if (query->is_over_tcp || reply_len > DNS_UDP_BYTES)
        return false;
    if (services->has_edns)
        return reply_len > DNS_UDP_BYTES - LONG_UDP_ROOM_BYTES;
    return services->count >= PLAIN_UDP_MIN && services->count <= PLAIN_UDP_MAX;
}

static void give_services(struct resolver_query *query, const unsigned char *reply, int reply_len)
{
    struct arena arena;
    struct dns_services found;
    arena_init(&arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    int rc = dns_message_read_services(reply, (size_t)reply_len, &arena, &found);
    detach(query);
    if (rc) {
        query->services_done(query->arg, UV_EAI_AGAIN,
                             rc == UV_ELOOP ? "its aliases lead nowhere" : uv_strerror(rc), NULL);
    } else if (found.count == 0 && found.skipped_count > 0) {
        query->services_done(query->arg, UV_EAI_AGAIN, "its targets are no names of hosts", NULL);
    } else if (found.count == 0) {
        query->services_done(query->arg, UV_EAI_NONAME, "the name has no SRV record", NULL);
    } else {
        const struct resolver_services services = {
            .items = found.items,
            .count = found.count,
            .ttl_s = found.ttl_s,
            .may_be_partial = may_be_partial(query, &found, reply_len),
            .skipped_count = found.skipped_count,
            .skipped_at = found.skipped_at,
        };
        query->services_done(query->arg, 0, "", &services);
    }
    arena_deinit(&arena);
}

static void ask_services(struct resolver_query *query, bool is_over_tcp);

/* Whether the same is worth to be asked over UDP. */
static bool is_transport_failure(int status)
{
    return status == ARES_ECONNREFUSED || status == ARES_ETIMEOUT || status == ARES_EOF;
}

static void on_services(void *arg, int status, int timeouts, unsigned char *reply, int reply_len)
{
    (void)timeouts;
    struct resolver_query *query = arg;
    if (query->slot && status != ARES_EDESTRUCTION) {
        if (query->is_over_tcp && is_transport_failure(status)) {
            ask_services(query, false);
        } else if (status == ARES_SUCCESS) {
            if (!query->is_over_tcp && query->zone->no_tcp_until_ms == 0)
                query->zone->no_tcp_until_ms = uv_now(query->resolver->loop) + TCP_PAUSE_MS;
            give_services(query, reply, reply_len);
        } else {
            note_reason(query, status);
            detach(query);
            query->services_done(query->arg, is_denial(status) ? UV_EAI_NONAME : UV_EAI_AGAIN,
                                 is_denial(status) ? "the name has no SRV record" : query->reason,
                                 NULL);
        }
    }
    part_ended(query);
}

static void ask_services(struct resolver_query *query, bool is_over_tcp)
{
    struct dns_channel *channel = is_over_tcp ? &query->zone->over_tcp : &query->zone->usual;
    query->is_over_tcp = is_over_tcp;
    query->parts++;
    ares_query(channel->ares, query->name, ns_c_in, ns_t_srv, on_services, query);
    dns_channel_arm(channel);
}

int resolver_look_up_services(struct resolver *resolver, const char *name,
                              resolver_services_cb done, void *arg, struct resolver_query **slot)
{
    struct resolver_query *query;
    int rc = begin_query(resolver, name, slot, arg, &query);
    if (rc)
        return rc;
    query->services_done = done;
    struct dns_zone *zone = query->zone;
    if (zone->no_tcp_until_ms <= uv_now(resolver->loop))
        zone->no_tcp_until_ms = 0;
    ask_services(query, zone->no_tcp_until_ms == 0);
    return 0;
}
