#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/stream_parts.h"

#define READS_AT_ONCE 32
#define FLAT_BYTES 2048 /* a head, and a small body with it */

struct queued_write {
    uv_write_t request; /* its data points to the stream */
    char bytes[];
};

int stream_fd(struct stream *stream)
{
    int fd;
    if (stream->fd < 0 && uv_fileno((const uv_handle_t *)&stream->tcp, &fd) == 0)
        stream->fd = fd;
    return stream->fd < 0 ? UV_EBADF : stream->fd;
}

void stream_take_again(struct stream *stream, const char *bytes, size_t len)
{
    if (stream->tls)
        tls_take(stream, bytes, len);
    else
        stream->events->on_bytes(stream, bytes, len);
}

/* libuv tells a reset that came together with the last bytes as an end; whoever takes the end for
 * the sign that all is there must not believe that. */
static int reset_behind_end(const struct stream *stream)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        return 0;
    return uv_translate_sys_error(error);
}

/* recv() and send() without being points where a thread may be cancelled, which costs libc some
 * atomic operations each time. */
static ssize_t receive(int fd, void *bytes, size_t size)
{
    return syscall(SYS_recvfrom, fd, bytes, size, MSG_DONTWAIT, NULL, NULL);
}

static ssize_t transmit(int fd, const void *bytes, size_t len)
{
    return syscall(SYS_sendto, fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
}

/* `error` as on_end has it. */
static void end(struct stream *stream, int error)
{
    stream_stop_reading(stream);
    if (stream->tls)
        tls_end(stream, error);
    else
        stream->events->on_end(stream, error);
}

/* Reads what is there, up to a limit, so that the others of the loop have their turn. Less than was
 * asked for was all. */
static void read_some(struct stream *stream)
{
    const struct stream_buffer *buffer = stream->buffer;
    for (int left = READS_AT_ONCE; left > 0 && stream->is_reading && !stream->is_closing; left--) {
        if (stream->is_passing && stream->events->on_readable(stream))
            continue;
        ssize_t count = receive(stream->fd, buffer->bytes, buffer->size);
        if (count > 0)
            stream_take_again(stream, buffer->bytes, (size_t)count);
        else if (count == 0)
            end(stream, reset_behind_end(stream));
        else if (errno == EINTR)
            continue;
        else if (errno != EAGAIN && errno != EWOULDBLOCK)
            end(stream, uv_translate_sys_error(errno));
        if (count < (ssize_t)buffer->size)
            return;
    }
}

/* libuv is asked to tell when there is something to read, and not to read: recv() costs less than
 * its read(), which passes the file layer first. A buffer of no bytes is how libuv is told so, and
 * UV_ENOBUFS how it tells. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    struct stream *stream = handle->data;
    (void)buf;
    if (count == UV_ENOBUFS)
        read_some(stream);
    else if (count < 0 && !stream->is_closing)
        end(stream, count == UV_EOF ? 0 : (int)count);
}

static void on_written(uv_write_t *request, int status)
{
    struct stream *stream = request->data;
    free((char *)request - offsetof(struct queued_write, request));
    if (stream->is_closing)
        return;
    if (status)
        stream->events->on_drained(stream, status);
    else if (stream_queued(stream) == 0)
        stream->events->on_drained(stream, 0);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    stream->events->on_closed(stream);
}

int stream_init(struct stream *stream, uv_loop_t *loop, const struct stream_events *events,
                const struct stream_buffer *buffer)
{
    int rc = uv_tcp_init(loop, &stream->tcp);
    if (rc)
        return rc;
    stream->tcp.data = stream;
    stream->events = events;
    stream->buffer = buffer;
    stream->fd = -1;
    stream->is_reading = false;
    stream->is_closing = false;
    stream->is_passing = false;
    stream->has_taken = false;
    stream->has_notified = false;
    stream->tls = NULL;
    stream->tls_state = 0;
    return 0;
}

int stream_start_reading(struct stream *stream)
{
    if (stream->is_reading || stream->is_closing)
        return 0;
    int rc = stream_fd(stream);
    if (rc >= 0)
        rc = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    stream->is_reading = rc == 0;
    return rc;
}

void stream_stop_reading(struct stream *stream)
{
    if (!stream->is_reading || stream->is_closing)
        return;
    uv_read_stop((uv_stream_t *)&stream->tcp);
    stream->is_reading = false;
}

static int queue_rest(struct stream *stream, const uv_buf_t *pieces, unsigned count, size_t total,
                      size_t done)
{
    size_t rest = total - done;
    struct queued_write *write = malloc(sizeof(*write) + rest);
    if (!write)
        return UV_ENOMEM;
    char *out = write->bytes;
    for (unsigned i = 0; i < count; i++) {
        size_t skip = done < pieces[i].len ? done : pieces[i].len;
        done -= skip;
        if (pieces[i].len > skip) {
            memcpy(out, pieces[i].base + skip, pieces[i].len - skip);
            out += pieces[i].len - skip;
        }
    }
    write->request.data = stream;
    uv_buf_t whole = uv_buf_init(write->bytes, (unsigned)rest);
    int rc = uv_write(&write->request, (uv_stream_t *)&stream->tcp, &whole, 1, on_written);
    if (rc)
        free(write);
    return rc;
}

/* send() costs less than write(), which passes the file layer first, and one piece costs a quarter
 * of a microsecond less than two: more than it takes to copy them together while they are small. */
static ssize_t send_at_once(struct stream *stream, const uv_buf_t *pieces, unsigned count,
                            size_t total)
{
    char flat[FLAT_BYTES];
    int fd = stream_fd(stream);
    if (fd < 0)
        return fd;

    struct iovec whole = {.iov_base = pieces[0].base, .iov_len = total};
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};
    if (count > 1 && total <= sizeof(flat)) {
        char *out = flat;
        for (unsigned i = 0; i < count; i++) {
            memcpy(out, pieces[i].base, pieces[i].len);
            out += pieces[i].len;
        }
        whole.iov_base = flat;
        count = 1;
    }
    ssize_t sent;
    do {
        sent = count == 1 ? transmit(fd, whole.iov_base, total)
                          : sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS
               ? 0
               : uv_translate_sys_error(errno);
}

int stream_send(struct stream *stream, const uv_buf_t *pieces, unsigned count)
{
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].len;
    if (total == 0)
        return 0;

    size_t done = 0;
    if (stream_queued(stream) == 0) {
        ssize_t sent = send_at_once(stream, pieces, count, total);
        if (sent < 0)
            return (int)sent;
        done = (size_t)sent;
    }
    return done == total ? 0 : queue_rest(stream, pieces, count, total, done);
}

int stream_write(struct stream *stream, const uv_buf_t *pieces, unsigned count)
{
    assert(!stream->is_closing);
    return stream->tls ? tls_write(stream, pieces, count) : stream_send(stream, pieces, count);
}

void stream_end_writing(struct stream *stream)
{
    int fd = stream_fd(stream);
    if (stream->tls)
        tls_notify_close(stream);
    if (fd >= 0)
        shutdown(fd, SHUT_WR); /* fails when the peer has reset: then it knows */
}

bool stream_has_news(struct stream *stream)
{
    char byte;
    int fd = stream_fd(stream);
    if (fd < 0)
        return true;
    ssize_t count = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void stream_close(struct stream *stream)
{
    if (stream->is_closing)
        return;
    stream->is_closing = true;
    if (stream->tls) {
        if (stream_queued(stream) == 0)
            tls_notify_close(stream);
        tls_forget(stream);
    }
    uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
}

void stream_abort(struct stream *stream)
{
    if (stream->is_closing)
        return;
    stream->is_closing = true;
    tls_forget(stream);
    if (uv_tcp_close_reset(&stream->tcp, on_handle_closed))
        uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
}
