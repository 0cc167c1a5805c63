/* grpc_backend.c - the gRPC service that every gateway of the benchmark talks to: a unary call of
 * any method is answered by one small message and trailers, by HTTP/2 without TLS.
 *
 * A call is answered when all of its request has come. nghttp2 does the protocol; what it wants to
 * send is gathered and leaves in one write a read. A connection whose peer doesn't take that is
 * closed: gateways do.
 *
 * One thread, one level-triggered epoll. usage: grpc_backend [port] */
#include "loopback.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536
#define OUTPUT_BYTES (1 << 20) /* far more than all that one read can make us say */
#define MAX_STREAMS 1000
#define WINDOW_BYTES (1 << 30)

#define FIELD(field_name, field_value)                                                             \
    {                                                                                              \
        .name = (uint8_t *)(field_name), .value = (uint8_t *)(field_value),                        \
        .namelen = sizeof(field_name) - 1, .valuelen = sizeof(field_value) - 1,                    \
    }

struct conn {
    int fd;
    nghttp2_session *session;
};

static nghttp2_session_callbacks *callbacks;
static char output[OUTPUT_BYTES];

/* Not compressed, 14 bytes: field 1, the text "hello, world". */
static const uint8_t message[] = "\0\0\0\0\016\012\014hello, world";

static ssize_t read_message(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    static const nghttp2_nv trailers[] = {FIELD("grpc-status", "0"), FIELD("grpc-message", "")};
    size_t length = sizeof(message) - 1; /* without the string's own end */
    (void)source, (void)arg;
    if (size < length)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(out, message, length);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return nghttp2_submit_trailer(session, stream, trailers, 2) ? NGHTTP2_ERR_CALLBACK_FAILURE
                                                                : (ssize_t)length;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    static const nghttp2_nv head[] = {FIELD(":status", "200"),
                                      FIELD("content-type", "application/grpc")};
    bool is_message = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    (void)arg;
    if (!is_message || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    nghttp2_data_provider content = {.read_callback = read_message};
    return nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &content);
}

static void conn_close(struct conn *conn)
{
    nghttp2_session_del(conn->session);
    close(conn->fd);
    free(conn);
}

/* False when the connection cannot go on. */
static bool send_all(struct conn *conn)
{
    size_t used = 0;
    const uint8_t *bytes;
    ssize_t length;
    while ((length = nghttp2_session_mem_send(conn->session, &bytes)) > 0) {
        if ((size_t)length > sizeof(output) - used)
            return false;
        memcpy(output + used, bytes, (size_t)length);
        used += (size_t)length;
    }
    return length == 0 &&
           (used == 0 || send(conn->fd, output, used, MSG_NOSIGNAL) == (ssize_t)used);
}

static void on_readable(struct conn *conn)
{
    uint8_t input[READ_BYTES];
    ssize_t got = recv(conn->fd, input, sizeof(input), 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || nghttp2_session_mem_recv(conn->session, input, (size_t)got) < 0 ||
        !send_all(conn))
        conn_close(conn);
}

static void open_conn(int epoll_fd, int fd)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
    };
    struct conn *conn = malloc(sizeof(*conn));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (!conn || nghttp2_session_server_new(&conn->session, callbacks, NULL) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
        loopback_die("connection");
    conn->fd = fd;
    if (nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, 2) ||
        nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES))
        loopback_die("settings");
    if (!send_all(conn))
        conn_close(conn);
}

int main(int argc, char **argv)
{
    if (nghttp2_session_callbacks_new(&callbacks))
        loopback_die("nghttp2");
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);

    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = loopback_listen(argc > 1 ? loopback_port(argv[1]) : 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL: the listener */
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        loopback_die("epoll");

    for (;;) {
        struct epoll_event events[LOOPBACK_MAX_EVENTS];
        int count = epoll_wait(epoll_fd, events, LOOPBACK_MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd;
            if (events[i].data.ptr)
                on_readable(events[i].data.ptr);
            else
                while ((fd = loopback_accept(listener)) >= 0)
                    open_conn(epoll_fd, fd);
        }
    }
}
