/* stamper.c - any number of instances in one process: it listens on all of 127.0.0.0/8, answers
 * every request at once, and notes for each address when it was first and last asked.
 *
 * The stamps (CLOCK_MONOTONIC, nanoseconds) are in a file that is mapped: for each address, by its
 * last two bytes, the first request's, the last one's, and how many there were. Who sets them to 0
 * begins anew.
 *
 * One thread, one level-triggered epoll. usage: stamper port file */
#include "loopback.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES 65536
#define INPUT_BYTES 4096
#define MAX_FDS 65536

struct stamps {
    volatile uint64_t first_ns, last_ns, count;
};

struct conn {
    struct stamps *stamps;
    size_t used;
    char input[INPUT_BYTES];
};

static struct conn *conns[MAX_FDS];
static struct stamps *all;
static int epoll_fd;

static const char answer[] = "HTTP/1.1 200 OK\r\nX-Instance: 0\r\nContent-Length: 2\r\n\r\nok";

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void conn_close(int fd)
{
    close(fd);
    free(conns[fd]);
    conns[fd] = NULL;
}

static void stamp(struct stamps *stamps)
{
    uint64_t now = now_ns();
    if (stamps->first_ns == 0)
        stamps->first_ns = now;
    stamps->last_ns = now;
    stamps->count++;
}

static void on_readable(int fd)
{
    struct conn *conn = conns[fd];
    ssize_t got = recv(fd, conn->input + conn->used, INPUT_BYTES - conn->used, 0);
    if (got <= 0) {
        conn_close(fd);
        return;
    }
    conn->used += (size_t)got;
    if (conn->used < 4 || memcmp(conn->input + conn->used - 4, "\r\n\r\n", 4) != 0)
        return;
    conn->used = 0;
    stamp(conn->stamps);
    if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(answer) - 1)
        conn_close(fd);
}

static void on_connections(int listener)
{
    int fd;
    while ((fd = loopback_accept(listener)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        struct sockaddr_in own;
        socklen_t size = sizeof(own);
        if (fd >= MAX_FDS || !(conns[fd] = calloc(1, sizeof(*conns[fd]))) ||
            getsockname(fd, (struct sockaddr *)&own, &size) != 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            loopback_die("a connection");
        conns[fd]->stamps = &all[ntohl(own.sin_addr.s_addr) & (ADDRESSES - 1)];
    }
}

static int listen_on_all(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, SOMAXCONN) != 0)
        loopback_die("listen");
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        loopback_die("usage: stamper port file");
    int file = open(argv[2], O_RDWR | O_CLOEXEC);
    all = mmap(NULL, ADDRESSES * sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || all == MAP_FAILED)
        loopback_die("the file of stamps");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on_all(loopback_port(argv[1]));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        loopback_die("epoll");
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[LOOPBACK_MAX_EVENTS];
        int count = epoll_wait(epoll_fd, events, LOOPBACK_MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                on_connections(listener);
            else if (conns[events[i].data.fd])
                on_readable(events[i].data.fd);
        }
    }
}
