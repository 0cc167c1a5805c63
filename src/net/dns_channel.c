#include "net/dns_channel.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY_TIMEOUT_MS 1000 /* of the first try at a server; c-ares doubles it for the next */
#define TRIES 2

struct watched_socket {
    struct list link;
    uv_poll_t poll;
    struct dns_channel *channel;
    ares_socket_t fd;
};

static void note_closed(struct dns_channel *channel)
{
    --*channel->open_handles;
    channel->handle_closed(channel->owner);
}

static void on_timer(uv_timer_t *timer);

void dns_channel_arm(struct dns_channel *channel)
{
    struct timeval room, *left;
    if (!channel->is_open)
        return;
    if (!(left = ares_timeout(channel->ares, NULL, &room))) {
        uv_timer_stop(&channel->timer);
        return;
    }
    uint64_t ms = (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1;
    uv_timer_start(&channel->timer, on_timer, ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct dns_channel *channel = timer->data;
    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    dns_channel_arm(channel);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watched_socket *watched = poll->data;
    struct dns_channel *channel = watched->channel;
    /* On an error let c-ares read and write: it finds the error by itself. */
    bool readable = status < 0 || events & UV_READABLE;
    bool writable = status < 0 || events & UV_WRITABLE;
    ares_socket_t fd = watched->fd;
    ares_process_fd(channel->ares, readable ? fd : ARES_SOCKET_BAD,
                    writable ? fd : ARES_SOCKET_BAD);
    dns_channel_arm(channel);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct watched_socket *watched = handle->data;
    struct dns_channel *channel = watched->channel;
    free(watched);
    note_closed(channel);
}

static void on_timer_closed(uv_handle_t *handle)
{
    note_closed(handle->data);
}

static struct watched_socket *find_watched(struct dns_channel *channel, ares_socket_t fd)
{
    LIST_EACH(node, &channel->sockets)
    {
        struct watched_socket *watched = LIST_ENTRY(node, struct watched_socket, link);
        if (watched->fd == fd)
            return watched;
    }
    return NULL;
}

static struct watched_socket *watch(struct dns_channel *channel, ares_socket_t fd)
{
    struct watched_socket *watched = calloc(1, sizeof(*watched));
    if (!watched)
        return NULL;
    if (uv_poll_init_socket(channel->loop, &watched->poll, fd)) {
        free(watched);
        return NULL;
    }
    watched->poll.data = watched;
    watched->channel = channel;
    watched->fd = fd;
    ++*channel->open_handles;
    list_push_back(&channel->sockets, &watched->link);
    return watched;
}

/* c-ares': which events of a socket it wants to hear of from now on; none: it is about to close. A
 * socket that can't be watched ends in the query's time-out. */
static void on_interest(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_channel *channel = arg;
    struct watched_socket *watched = find_watched(channel, fd);
    if (!readable && !writable) {
        if (!watched)
            return;
        list_remove(&watched->link);
        uv_close((uv_handle_t *)&watched->poll, on_socket_closed);
        return;
    }
    if (watched || (watched = watch(channel, fd)))
        uv_poll_start(&watched->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                      on_socket_ready);
}

static int make_ares(struct dns_channel *channel, const struct dns_channel_settings *settings,
                     ares_channel *ret)
{
    char lookups[] = "fb"; /* the hosts file, then DNS */
    struct ares_options options = {
        .flags = (settings->is_over_tcp ? ARES_FLAG_USEVC : ARES_FLAG_EDNS) |
                 (settings->is_bare ? ARES_FLAG_NOSEARCH : 0),
        .timeout = TRY_TIMEOUT_MS,
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = on_interest,
        .sock_state_cb_data = channel,
        .udp_port = settings->port,
        .tcp_port = settings->port,
        .ednspsz = DNS_UDP_BYTES,
        .resolvconf_path = (char *)settings->resolv_conf, /* c-ares copies it */
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ;
    if (settings->resolv_conf)
        mask |= ARES_OPT_RESOLVCONF;
    if (settings->port)
        mask |= ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT;
    if (ares_init_options(ret, &options, mask))
        return UV_ENOMEM;
    if (settings->servers && ares_set_servers_ports_csv(*ret, settings->servers)) {
        ares_destroy(*ret);
        return UV_EINVAL;
    }
    return 0;
}

int dns_channel_open(struct dns_channel *channel, const struct dns_channel_settings *settings)
{
    list_init(&channel->sockets);
    int rc = make_ares(channel, settings, &channel->ares);
    if (rc)
        return rc;
    channel->port = settings->port ? settings->port : NS_DEFAULTPORT;
    channel->is_open = true;
    return 0;
}

void dns_channel_servers(const struct dns_channel *channel, char *text, size_t size)
{
    struct ares_addr_port_node *servers = NULL;
    size_t len = 0;
    text[0] = '\0';
    if (!channel->is_open || ares_get_servers_ports(channel->ares, &servers))
        return;
    for (const struct ares_addr_port_node *at = servers; at && len < size; at = at->next) {
        char ip[INET6_ADDRSTRLEN];
        bool is_v6 = at->family == AF_INET6;
        int port = at->udp_port ? at->udp_port : channel->port;
        if (!inet_ntop(at->family, &at->addr, ip, sizeof(ip)))
            continue;
        int part = snprintf(text + len, size - len, "%s%s%s%s:%d", len ? "," : "", is_v6 ? "[" : "",
                            ip, is_v6 ? "]" : "", port);
        len += part > 0 ? (size_t)part : 0;
    }
    ares_free_data(servers);
}

void dns_channel_start(struct dns_channel *channel)
{
    uv_timer_init(channel->loop, &channel->timer);
    channel->timer.data = channel;
    ++*channel->open_handles;
    channel->is_started = true;
}

int dns_channel_reopen(struct dns_channel *channel, const struct dns_channel_settings *settings)
{
    ares_channel ares, old = channel->ares;
    int rc = make_ares(channel, settings, &ares);
    if (rc)
        return rc;
    channel->ares = ares; /* before callbacks run, which may ask anew */
    ares_cancel(old);
    ares_destroy(old);
    dns_channel_arm(channel);
    return 0;
}

void dns_channel_close(struct dns_channel *channel)
{
    if (!channel->is_open)
        return;
    channel->is_open = false;
    ares_destroy(channel->ares);
    if (channel->is_started)
        uv_close((uv_handle_t *)&channel->timer, on_timer_closed);
}
