/* dns_zone.h - who is asked about the names of a zone: its servers, and the channels to them.
 *
 * Thread: the loop's. Memory: embedded in the resolver; owns its texts and channels. */
#ifndef NET_DNS_ZONE_H
#define NET_DNS_ZONE_H

#include "base/str.h"
#include "net/dns_channel.h"

struct dns_zone {
    char *name;              /* owned; NULL: all that no other zone has */
    char *servers;           /* owned; NULL: resolv.conf's */
    const char *resolv_conf; /* borrowed; NULL: the system's */
    uint16_t resolv_conf_port;
    /* Two, because the transport is a channel's property. */
    struct dns_channel usual;
    struct dns_channel over_tcp;
    uint64_t no_tcp_until_ms;
};

/* `zone` is zeroed but for resolv_conf and its port; the channels become like `blank`, which is as
 * dns_channel_open wants it. No handle is opened before dns_zone_start. 0; UV_EINVAL for bad
 * servers; or UV_ENOMEM. After either, close and deinit are due all the same. */
int dns_zone_open(struct dns_zone *zone, struct str name, struct str servers,
                  const struct dns_channel *blank);
void dns_zone_start(struct dns_zone *zone);
/* Reads resolv.conf anew. Queries under way are told of a failure. 0 or UV_ENOMEM. */
int dns_zone_reopen(struct dns_zone *zone);
void dns_zone_close(struct dns_zone *zone);
/* When the channels' handles are closed. */
void dns_zone_deinit(struct dns_zone *zone);

/* Of a zone with a name. */
bool dns_zone_holds(const struct dns_zone *zone, struct str name);

/* "zone=server,server,zone=server": cuts one zone off *rest. False: it is none. */
bool dns_zone_cut(struct str *rest, struct str *name, struct str *servers);

#endif
