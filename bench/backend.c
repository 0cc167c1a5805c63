/* backend.c - the upstream that every gateway of the benchmark talks to: as fast as one core
 * allows, so that the gateway is what is measured.
 *
 * The last segment of the path says what is answered, whatever the method: `128`, `16k` and `1m` a
 * body of that many bytes, `hello` one of 128, `head` the request's own head (so that the harness
 * can see which headers a gateway added), all else a 404. Responses are written from memory
 * prepared at start. A request may have a body with a Content-Length, which is read and dropped;
 * chunked ones get a 501.
 *
 * One thread, one level-triggered epoll. usage: backend [port] */
#include "loopback.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_BYTES 8192 /* a request head must fit; gateways send a few hundred bytes */
#define OUTPUT_HEAD_BYTES 160

struct response {
    char *bytes;
    size_t length;
};

/*   HEAD -- a head is whole --> BODY -- its last byte came --> REPLY -- all written --> HEAD */
enum conn_state { CONN_HEAD = 0, CONN_BODY, CONN_REPLY };

struct conn {
    int fd;
    enum conn_state state;
    bool close_after;      /* the present request is the connection's last */
    bool awaits_room;      /* epoll watches for writing, not for reading */
    size_t body_left;      /* bytes of the present request's body still to come */
    struct response reply; /* what is left to write; borrows its bytes */
    char *echo;            /* owns the bytes of a `head` reply until they are written */
    size_t used;           /* bytes of input[] that wait to be parsed */
    char input[INPUT_BYTES];
};

static int epoll_fd;
static struct response small, small_last, large, huge, unknown, unsupported;

static struct response make_response(const char *status, const char *body, size_t length)
{
    struct response made = {.bytes = malloc(OUTPUT_HEAD_BYTES + length)};
    if (!made.bytes)
        loopback_die("malloc");
    int head = snprintf(made.bytes, OUTPUT_HEAD_BYTES,
                        "HTTP/1.1 %s\r\nServer: bench\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        status, length);
    memcpy(made.bytes + head, body, length);
    made.length = (size_t)head + length;
    return made;
}

static struct response make_filled(const char *status, size_t length)
{
    char *body = malloc(length);
    if (!body)
        loopback_die("malloc");
    memset(body, 'x', length);
    struct response made = make_response(status, body, length);
    free(body);
    return made;
}

/* Returns the value of header `name` (given with its colon) in a head, or NULL. */
static const char *find_header(const char *head, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    const char *end = head + length;
    const char *line = head;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if ((size_t)(end - line) > name_length && strncasecmp(line, name, name_length) == 0) {
            line += name_length;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

static bool last_segment_is(const char *path, size_t length, const char *segment)
{
    size_t want = strlen(segment);
    return length > want && path[length - want - 1] == '/' &&
           memcmp(path + length - want, segment, want) == 0;
}

/* Chooses what answers the request with this head, and notes in `conn` what the head says of its
 * body and of the connection. */
static struct response answer_head(struct conn *conn, const char *head, size_t length)
{
    const char *line_end = memchr(head, '\r', length);
    const char *path = memchr(head, ' ', (size_t)(line_end - head));
    const char *value = find_header(head, length, "connection:");
    conn->close_after = value && strncasecmp(value, "close", 5) == 0;

    if (!path || find_header(head, length, "transfer-encoding:")) {
        conn->close_after = true;
        return unsupported;
    }
    value = find_header(head, length, "content-length:");
    conn->body_left = value ? strtoul(value, NULL, 10) : 0;

    path++;
    size_t path_length = strcspn(path, " ?\r");
    if (last_segment_is(path, path_length, "128") || last_segment_is(path, path_length, "hello"))
        return conn->close_after ? small_last : small;
    if (last_segment_is(path, path_length, "16k"))
        return large;
    if (last_segment_is(path, path_length, "1m"))
        return huge;
    if (!last_segment_is(path, path_length, "head"))
        return unknown;
    struct response echo = make_response("200 OK", head, length);
    conn->echo = echo.bytes;
    return echo;
}

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    free(conn->echo);
    free(conn);
}

static void watch(struct conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(epoll_fd, operation, conn->fd, &event) != 0)
        loopback_die("epoll_ctl");
    conn->awaits_room = events == EPOLLOUT;
}

static void drop_input(struct conn *conn, size_t count)
{
    conn->used -= count;
    if (conn->used > 0)
        memmove(conn->input, conn->input + count, conn->used);
}

/* What a step of a connection found: go on, wait for the peer, or nothing is left to do. */
enum step { STEP_NEXT = 0, STEP_WAIT, STEP_CLOSE };

static enum step read_head(struct conn *conn)
{
    const char *end = memmem(conn->input, conn->used, "\r\n\r\n", 4);
    if (!end)
        return conn->used < INPUT_BYTES ? STEP_WAIT : STEP_CLOSE;
    size_t length = (size_t)(end - conn->input) + 4;
    conn->reply = answer_head(conn, conn->input, length);
    drop_input(conn, length);
    conn->state = CONN_BODY;
    return STEP_NEXT;
}

static enum step read_body(struct conn *conn)
{
    size_t count = conn->body_left < conn->used ? conn->body_left : conn->used;
    conn->body_left -= count;
    drop_input(conn, count);
    if (conn->body_left > 0)
        return STEP_WAIT;
    conn->state = CONN_REPLY;
    return STEP_NEXT;
}

static enum step write_reply(struct conn *conn)
{
    ssize_t sent = send(conn->fd, conn->reply.bytes, conn->reply.length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return STEP_CLOSE;
    if (sent > 0) {
        conn->reply.bytes += sent;
        conn->reply.length -= (size_t)sent;
    }
    if (conn->reply.length > 0) {
        if (!conn->awaits_room)
            watch(conn, EPOLL_CTL_MOD, EPOLLOUT);
        return STEP_WAIT;
    }
    free(conn->echo);
    conn->echo = NULL;
    if (conn->close_after)
        return STEP_CLOSE;
    if (conn->awaits_room)
        watch(conn, EPOLL_CTL_MOD, EPOLLIN);
    conn->state = CONN_HEAD;
    return conn->used > 0 ? STEP_NEXT : STEP_WAIT; /* pipelined requests are in the input */
}

/* Goes as far as the bytes at hand and the kernel's room allow; may free the connection. */
static void conn_advance(struct conn *conn)
{
    static enum step (*const steps[])(struct conn *) = {
        [CONN_HEAD] = read_head,
        [CONN_BODY] = read_body,
        [CONN_REPLY] = write_reply,
    };
    enum step step;
    while ((step = steps[conn->state](conn)) == STEP_NEXT)
        ;
    if (step == STEP_CLOSE)
        conn_close(conn);
}

static void on_readable(struct conn *conn)
{
    ssize_t got = recv(conn->fd, conn->input + conn->used, INPUT_BYTES - conn->used, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        conn_close(conn);
        return;
    }
    conn->used += (size_t)got;
    conn_advance(conn);
}

static void on_connections(int listener)
{
    int fd;
    while ((fd = loopback_accept(listener)) >= 0) {
        struct conn *conn = malloc(sizeof(*conn)); /* not zeroed: most of input[] stays untouched */
        if (!conn)
            loopback_die("malloc");
        memset(conn, 0, offsetof(struct conn, input));
        conn->fd = fd;
        watch(conn, EPOLL_CTL_ADD, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    static const char not_found[] = "not found\n", chunked[] = "not supported\n";
    small = make_filled("200 OK", 128);
    small_last = make_filled("200 OK\r\nConnection: close", 128);
    large = make_filled("200 OK", 16384);
    huge = make_filled("200 OK", 1 << 20);
    unknown = make_response("404 Not Found", not_found, sizeof(not_found) - 1);
    unsupported = make_response("501 Not Implemented", chunked, sizeof(chunked) - 1);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = loopback_listen(argc > 1 ? loopback_port(argv[1]) : 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL: the listener */
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        loopback_die("epoll");

    for (;;) {
        struct epoll_event events[LOOPBACK_MAX_EVENTS];
        int count = epoll_wait(epoll_fd, events, LOOPBACK_MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (!events[i].data.ptr)
                on_connections(listener);
            else if (((struct conn *)events[i].data.ptr)->awaits_room)
                conn_advance(events[i].data.ptr);
            else
                on_readable(events[i].data.ptr);
        }
    }
}
