/* forwarder.c - the floor under every gateway: carries bytes both ways and understands none.
 *
 * Each client's connection has its own connection to the backend, opened when it is accepted and
 * closed with it. A request costs two reads, two writes and its share of an epoll_wait(): what a
 * proxy pays the kernel before it has done anything useful. It is no gateway and no fair rival;
 * it shows how much of a gateway's cost is the gateway's own.
 *
 * One thread, one level-triggered epoll, one read buffer for all. usage: forwarder backend-port */
#include "loopback.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536

/* One end of a pair. Nothing is read from it while its partner owes the kernel bytes, so an end
 * never holds more than one read's worth. */
struct end {
    int fd;
    struct pair *pair;
    struct end *partner;
    char *owed; /* owns bytes from the partner that the kernel did not take yet; NULL: none */
    size_t owed_start, owed_stop;
};

struct pair {
    struct end client, backend;
    bool closed;            /* freed when the present batch of events is done */
    struct pair *next_dead; /* the list of those */
};

static int epoll_fd;
static struct pair *dead_pairs;
static char buffer[READ_BYTES];

static void pair_close(struct pair *pair)
{
    if (pair->closed)
        return;
    pair->closed = true;
    close(pair->client.fd);
    close(pair->backend.fd);
    pair->next_dead = dead_pairs; /* a later event of this batch may still point to it */
    dead_pairs = pair;
}

static void free_dead_pairs(void)
{
    while (dead_pairs) {
        struct pair *pair = dead_pairs;
        dead_pairs = pair->next_dead;
        free(pair->client.owed);
        free(pair->backend.owed);
        free(pair);
    }
}

/* Tells epoll what the end can do now: be read unless its partner is stuck, be written if it is. */
static void watch(struct end *end, int operation)
{
    struct epoll_event event = {.data.ptr = end};
    if (!end->partner->owed)
        event.events |= EPOLLIN;
    if (end->owed)
        event.events |= EPOLLOUT;
    if (epoll_ctl(epoll_fd, operation, end->fd, &event) != 0)
        loopback_die("epoll_ctl");
}

static void watch_both(struct end *end)
{
    watch(end, EPOLL_CTL_MOD);
    watch(end->partner, EPOLL_CTL_MOD);
}

/* Returns how many bytes the kernel took, or -1 when the connection is broken. */
static ssize_t try_write(struct end *end, const char *bytes, size_t length)
{
    ssize_t sent = send(end->fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -1;
    return sent;
}

static void keep_owed(struct end *end, const char *bytes, size_t length)
{
    end->owed = malloc(length);
    if (!end->owed)
        loopback_die("malloc");
    memcpy(end->owed, bytes, length);
    end->owed_start = 0;
    end->owed_stop = length;
    watch_both(end);
}

static void on_readable(struct end *end)
{
    ssize_t got = recv(end->fd, buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EAGAIN)
        return;
    ssize_t sent = got > 0 ? try_write(end->partner, buffer, (size_t)got) : -1;
    if (sent < 0)
        pair_close(end->pair);
    else if (sent < got)
        keep_owed(end->partner, buffer + sent, (size_t)(got - sent));
}

static void on_writable(struct end *end)
{
    ssize_t sent = try_write(end, end->owed + end->owed_start, end->owed_stop - end->owed_start);
    if (sent < 0) {
        pair_close(end->pair);
        return;
    }
    end->owed_start += (size_t)sent;
    if (end->owed_start < end->owed_stop)
        return;
    free(end->owed);
    end->owed = NULL;
    watch_both(end);
}

static void on_connections(int listener, uint16_t backend_port)
{
    int fd;
    while ((fd = loopback_accept(listener)) >= 0) {
        struct pair *pair = calloc(1, sizeof(*pair));
        if (!pair)
            loopback_die("calloc");
        pair->client = (struct end){.fd = fd, .pair = pair, .partner = &pair->backend};
        pair->backend = (struct end){
            .fd = loopback_connect(backend_port), .pair = pair, .partner = &pair->client};
        watch(&pair->client, EPOLL_CTL_ADD);
        watch(&pair->backend, EPOLL_CTL_ADD);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: forwarder backend-port\n");
        return 1;
    }
    uint16_t backend_port = loopback_port(argv[1]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = loopback_listen(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL: the listener */
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        loopback_die("epoll");

    for (;;) {
        struct epoll_event events[LOOPBACK_MAX_EVENTS];
        int count = epoll_wait(epoll_fd, events, LOOPBACK_MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct end *end = events[i].data.ptr;
            if (!end)
                on_connections(listener, backend_port);
            else if (!end->pair->closed && end->owed)
                on_writable(end);
            else if (!end->pair->closed && !end->partner->owed)
                on_readable(end);
        }
        free_dead_pairs();
    }
}
