/* instance.c - one of the ten instances of bench/resilience: answers every request at once, until a
 * signal makes it bad.
 *
 * SIGUSR1: answers take two seconds; SIGUSR2: they are 500s, at once; SIGHUP: all is well again. To
 * kill or to stop it is the harness's part. Each answer says by X-Instance who gave it.
 *
 * One thread, one level-triggered epoll. usage: instance address port number */
#include "loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT_BYTES 8192
#define SLOW_MS 2000
#define MAX_FDS 65536

/* A connection has one request at a time: gateways don't pipeline. */
struct conn {
    size_t used;
    unsigned generation; /* counts up with each new owner of the descriptor */
    char input[INPUT_BYTES];
};

/* Answers that wait, the oldest first, as all wait equally long. */
struct delayed {
    int fd;
    unsigned generation;
    uint64_t due_ms;
    struct delayed *next;
};

static struct conn *conns[MAX_FDS];
static unsigned generations[MAX_FDS];
static struct delayed *first_delayed, **last_delayed = &first_delayed;
static volatile sig_atomic_t mode; /* 0, SIGUSR1 or SIGUSR2 */
static int epoll_fd;
static char good[512], bad[512];

static void on_signal(int number)
{
    mode = number == SIGHUP ? 0 : number;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void conn_close(int fd)
{
    close(fd);
    free(conns[fd]);
    conns[fd] = NULL;
}

static void answer(int fd, const char *text)
{
    size_t length = strlen(text);
    if (send(fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
        conn_close(fd);
}

static void answer_later(int fd)
{
    struct delayed *one = malloc(sizeof(*one));
    if (!one)
        loopback_die("malloc");
    *one = (struct delayed){fd, conns[fd]->generation, now_ms() + SLOW_MS, NULL};
    *last_delayed = one;
    last_delayed = &one->next;
}

static void answer_due(void)
{
    while (first_delayed && first_delayed->due_ms <= now_ms()) {
        struct delayed *one = first_delayed;
        first_delayed = one->next;
        if (!first_delayed)
            last_delayed = &first_delayed;
        if (conns[one->fd] && conns[one->fd]->generation == one->generation)
            answer(one->fd, good);
        free(one);
    }
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
    if (mode == SIGUSR1)
        answer_later(fd);
    else
        answer(fd, mode == SIGUSR2 ? bad : good);
}

static void on_connections(int listener)
{
    int fd;
    while ((fd = loopback_accept(listener)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= MAX_FDS || !(conns[fd] = malloc(sizeof(*conns[fd]))) ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            loopback_die("a connection");
        conns[fd]->used = 0;
        conns[fd]->generation = ++generations[fd];
    }
}

static int listen_on(const char *address_text, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || inet_pton(AF_INET, address_text, &address.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, SOMAXCONN) != 0)
        loopback_die("listen");
    printf("%u\n", port);
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGHUP};
    if (argc != 4)
        loopback_die("usage: instance address port number");
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        signal(signals[i], on_signal);
    snprintf(good, sizeof(good),
             "HTTP/1.1 200 OK\r\nX-Instance: %s\r\nContent-Length: 128\r\n\r\n%128s", argv[3], "x");
    snprintf(
        bad, sizeof(bad),
        "HTTP/1.1 500 Internal Server Error\r\nX-Instance: %s\r\nContent-Length: 4\r\n\r\nbad\n",
        argv[3]);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(argv[1], loopback_port(argv[2]));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        loopback_die("epoll");
    for (;;) {
        struct epoll_event events[LOOPBACK_MAX_EVENTS];
        int count = epoll_wait(epoll_fd, events, LOOPBACK_MAX_EVENTS, first_delayed ? 5 : -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                on_connections(listener);
            else if (conns[events[i].data.fd])
                on_readable(events[i].data.fd);
        }
        answer_due();
    }
}
