/* openloop.c - sends GET requests at a steady rate, whether or not earlier ones have been answered,
 * as many clients would, and gives up on each after a time.
 *
 * A request takes an idle connection or opens one. Latency counts from the time at which the
 * request was due. One that is not answered whole (refused, reset, given up) closes its connection
 * and is not repeated.
 *
 * Prints "start" with the first request, and at the end a line for each: when it was due and how
 * long it took in microseconds, its status (0: broken, -1: given up), and the X-Instance of its
 * answer (-1: none).
 *
 * One thread, one level-triggered epoll. usage: openloop port rate seconds give-up-ms */
#include "loopback.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT_BYTES 4096
#define MAX_FDS 65536

static const char request_text[] = "GET /hello HTTP/1.1\r\nHost: bench\r\n\r\n";

struct request {
    uint64_t due_us;
    uint64_t took_us; /* 0: not over yet */
    int status;
    int instance;
    int fd; /* while it is under way, else -1 */
};

struct conn {
    long request; /* its index; -1: idle */
    size_t used;
    int next_idle;
    char input[INPUT_BYTES + 1];
};

static struct conn *conns[MAX_FDS];
static struct request *requests;
static int first_idle = -1;
static int epoll_fd;
static uint16_t port;

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void end_request(long index, int status, int instance)
{
    struct request *request = &requests[index];
    request->took_us = now_us() - request->due_us;
    request->took_us += request->took_us == 0;
    request->status = status;
    request->instance = instance;
    request->fd = -1;
}

static void forget_idle(int fd)
{
    for (int *at = &first_idle; *at >= 0; at = &conns[*at]->next_idle)
        if (*at == fd) {
            *at = conns[fd]->next_idle;
            return;
        }
}

static void conn_close(int fd, int status)
{
    if (conns[fd]->request >= 0)
        end_request(conns[fd]->request, status, -1);
    else
        forget_idle(fd);
    close(fd);
    free(conns[fd]);
    conns[fd] = NULL;
}

static int conn_open(void)
{
    int fd = loopback_connect(port);
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
    if (fd >= MAX_FDS || !(conns[fd] = malloc(sizeof(*conns[fd]))) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        loopback_die("a connection");
    return fd;
}

static void write_request(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (send(fd, request_text, sizeof(request_text) - 1, MSG_NOSIGNAL) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
        conn_close(fd, 0);
}

static void begin_request(long index)
{
    int fd = first_idle;
    bool is_kept = fd >= 0;
    if (is_kept)
        first_idle = conns[fd]->next_idle;
    else
        fd = conn_open();
    conns[fd]->request = index;
    conns[fd]->used = 0;
    requests[index].fd = fd;
    if (is_kept)
        write_request(fd);
}

static const char *find_header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : NULL;
}

/* Whether the answer is whole. */
static bool is_whole(const struct conn *conn)
{
    const char *end = strstr(conn->input, "\r\n\r\n");
    const char *length = end ? find_header(conn->input, "\r\ncontent-length:") : NULL;
    size_t body = length ? strtoul(length, NULL, 10) : 0;
    return end && conn->used >= (size_t)(end - conn->input) + 4 + body;
}

static void on_readable(int fd)
{
    struct conn *conn = conns[fd];
    ssize_t got = recv(fd, conn->input + conn->used, INPUT_BYTES - conn->used, 0);
    if (got <= 0) {
        conn_close(fd, 0);
        return;
    }
    conn->used += (size_t)got;
    conn->input[conn->used] = '\0';
    if (conn->request < 0 || !is_whole(conn))
        return;
    const char *instance = find_header(conn->input, "\r\nx-instance:");
    end_request(conn->request, atoi(conn->input + 9), instance ? atoi(instance) : -1);
    conn->request = -1;
    if (find_header(conn->input, "\r\nconnection: close")) {
        conn->next_idle = first_idle;
        first_idle = fd;
        conn_close(fd, 0);
        return;
    }
    conn->next_idle = first_idle;
    first_idle = fd;
}

static void on_event(const struct epoll_event *event)
{
    int fd = event->data.fd;
    if (!conns[fd])
        return;
    if (event->events & (EPOLLERR | EPOLLHUP))
        conn_close(fd, 0);
    else if (event->events & EPOLLOUT)
        write_request(fd);
    else
        on_readable(fd);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        loopback_die("usage: openloop port rate seconds give-up-ms");
    port = loopback_port(argv[1]);
    long rate = atol(argv[2]), count = rate * atol(argv[3]), sent = 0, oldest = 0;
    uint64_t give_up_us = (uint64_t)atol(argv[4]) * 1000;
    requests = calloc((size_t)count, sizeof(*requests));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!requests || epoll_fd < 0)
        loopback_die("start");

    printf("start\n");
    fflush(stdout);
    uint64_t start_us = now_us();
    while (oldest < count) {
        for (; sent < count && start_us + (uint64_t)(sent * 1000000 / rate) <= now_us(); sent++) {
            requests[sent].due_us = start_us + (uint64_t)(sent * 1000000 / rate);
            begin_request(sent);
        }
        struct epoll_event events[LOOPBACK_MAX_EVENTS];
        int ready = epoll_wait(epoll_fd, events, LOOPBACK_MAX_EVENTS, 1);
        for (int i = 0; i < ready; i++)
            on_event(&events[i]);
        for (; oldest < sent; oldest++) {
            if (requests[oldest].took_us)
                continue;
            if (now_us() - requests[oldest].due_us < give_up_us)
                break;
            conn_close(requests[oldest].fd, -1);
        }
    }
    for (long i = 0; i < count; i++)
        printf("%lu %lu %d %d\n", (unsigned long)(requests[i].due_us - start_us),
               (unsigned long)requests[i].took_us, requests[i].status, requests[i].instance);
    return 0;
}
