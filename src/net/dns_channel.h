/* dns_channel.h - one c-ares channel on a libuv loop: its sockets and its one timer.
 *
 * Thread: the loop's. Memory: embedded; handles are counted in *open_handles. */
#ifndef NET_DNS_CHANNEL_H
#define NET_DNS_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <ares.h>
#include <uv.h>

#include "base/list.h"

#define DNS_UDP_BYTES 1232 /* as EDNS offers: crosses any path unfragmented */

struct dns_channel_settings {
    const char *servers;     /* "ip[:port],…"; NULL: resolv.conf's */
    const char *resolv_conf; /* NULL: the system's */
    uint16_t port;           /* of its servers; 0: 53 */
    bool is_over_tcp;        /* else UDP with EDNS, and TCP for an answer that came cut */
    bool is_bare;            /* names are asked as they are: no search domains */
};

struct dns_channel {
    uv_loop_t *loop;
    ares_channel ares;
    uint16_t port; /* of servers that were given without one */
    bool is_open, is_started;
    uv_timer_t timer;
    struct list sockets; /* of watched sockets */
    unsigned *open_handles;
    void (*handle_closed)(void *owner); /* after each closed handle */
    void *owner;
};

/* `channel` is zeroed but for loop, open_handles, handle_closed and owner. No handle is opened
 * before dns_channel_start. 0; UV_EINVAL for bad servers; UV_ENOMEM. */
int dns_channel_open(struct dns_channel *channel, const struct dns_channel_settings *settings);
void dns_channel_start(struct dns_channel *channel);
/* Reads the settings' files anew. Queries under way end with ARES_ECANCELLED. 0, or UV_ENOMEM: then
 * all is as it was. */
int dns_channel_reopen(struct dns_channel *channel, const struct dns_channel_settings *settings);
/* After queries have been given to `ares`. */
void dns_channel_arm(struct dns_channel *channel);
/* Its servers in their order, "ip:port,…"; cut to `size`. */
void dns_channel_servers(const struct dns_channel *channel, char *text, size_t size);
/* Queries under way end with ARES_EDESTRUCTION. Harmless where it was never opened. */
void dns_channel_close(struct dns_channel *channel);

#endif
