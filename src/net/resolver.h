/* resolver.h - names to addresses and services, with c-ares on a libuv loop; never blocking.
 *
 * Looks into the hosts file, then asks DNS for A and AAAA. It caches nothing: who asks gets the
 * TTL and minds it. A zone may have servers of its own, such as Consul's DNS port for `consul`.
 * Where the servers are the system's, a changed resolv.conf is followed.
 *
 * Thread: the loop's. Memory: owns its queries. */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include <stdint.h>
#include <sys/socket.h>

#include <uv.h>

#include "base/error.h"
#include "net/dns_message.h"
#include "net/ip.h"

#define RESOLVER_MAX_ADDRESSES                                                                     \
    256 /* of one name and family; what a server lists beyond: left out */
#define RESOLVER_MAX_ZONES 8

struct resolver;
struct resolver_query;

struct resolver_settings {
    const char *servers;       /* "ip[:port],…"; NULL: the system's */
    const char *forwards;      /* "zone=ip[:port],…,zone=…"; NULL: none */
    const char *resolv_conf;   /* NULL: /etc/resolv.conf */
    uint16_t resolv_conf_port; /* of its servers; 0: 53 */
};

enum resolver_family_state {
    RESOLVER_UNDER_WAY = 0, /* another call follows */
    RESOLVER_FOUND,
    RESOLVER_NONE,   /* there is no address of that family */
    RESOLVER_FAILED, /* nobody could say */
};

struct resolver_family {
    enum resolver_family_state state;
    const union ip_address *addresses; /* port 0 */
    unsigned count;
    uint32_t ttl_s; /* the shortest; 0 also for the hosts file */
};

/* status 0: at least one family is FOUND. While the other is UNDER_WAY the query goes on, and this
 * is called once more. UV_EAI_NONAME: the name does not exist, or has no address. Other UV_E…:
 * nobody could say, and `reason` tells why; families is NULL with an error. [0] is IPv4, [1] IPv6.
 * What the hosts file says about IPv4 is all. Borrowed during the call. */
typedef void (*resolver_cb)(void *arg, int status, const char *reason,
                            const struct resolver_family families[2]);

struct resolver_services {
    const struct dns_service *items;
    unsigned count;
    uint32_t ttl_s;
    bool may_be_partial; /* servers cut long answers without saying so: as long as one that was */
    unsigned skipped_count; /* records whose target is no name of a host; and where they stand */
    const unsigned *skipped_at;
};
/* As resolver_cb, for SRV records; always once. */
typedef void (*resolver_services_cb)(void *arg, int status, const char *reason,
                                     const struct resolver_services *services);

/* 0; UV_EINVAL with *err for bad servers or forwards; or UV_ENOMEM. */
int resolver_create(uv_loop_t *loop, const struct resolver_settings *settings,
                    struct resolver **ret, struct error *err);

/* `name` is copied. *slot is the query while it is under way, and NULL again when its last callback
 * runs, which may be before return (a name in the hosts file); it must stay where it is until then.
 * 0 or UV_ENOMEM. */
int resolver_look_up(struct resolver *resolver, const char *name, resolver_cb done, void *arg,
                     struct resolver_query **slot);
/* SRV records: over TCP, as servers cut long lists over UDP without saying so; over UDP with EDNS
 * where TCP doesn't work. */
int resolver_look_up_services(struct resolver *resolver, const char *name,
                              resolver_services_cb done, void *arg, struct resolver_query **slot);
/* The servers that are asked for `name`, in their order: "ip:port,…". Cut to `size`; empty: none.
 */
void resolver_servers(const struct resolver *resolver, const char *name, char *text, size_t size);
/* The callback won't run any more; *slot becomes NULL. Harmless where it is NULL. */
void resolver_cancel(struct resolver_query **slot);

/* Queries under way end without a word. Calls back when all handles are closed. */
void resolver_close(struct resolver *resolver, void (*closed)(void *arg), void *arg);

#endif
