/* stream.h - one TCP connection, with or without TLS (tls.h): reads into its thread's one buffer,
 * writes at once what the kernel takes and queues the rest, closes once.
 *
 * A connection that has nothing to say holds no memory but this struct.
 *
 * Thread: its loop's. Memory: embedded in its owner, who may free it from on_closed on, not before;
 * each queued write lives in one block with its bytes. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

struct stream;
struct ssl_st;
struct tls_io;

/* All run from the loop, never from inside a function below. None runs after stream_close, but for
 * on_closed. */
struct stream_events {
    /* Bytes came: borrowed until the call returns. */
    void (*on_bytes)(struct stream *stream, const char *bytes, size_t len);
    /* For streams with is_passing: something came, and may be taken by stream_pipe_move. False: it
     * is to be read and told as ever. */
    bool (*on_readable)(struct stream *stream);
    /* The peer ended its side (0), or reading failed (a negative UV_E…). No bytes come any more. */
    void (*on_end)(struct stream *stream, int error);
    /* All that was queued is written (0), or writing failed; that may be told more than once. */
    void (*on_drained)(struct stream *stream, int error);
    void (*on_closed)(struct stream *stream);
    /* The handshake of TLS is over (0), or failed, after which no bytes come and none can be
     * written. For streams that are given TLS. */
    void (*on_secured)(struct stream *stream, int error);
};

/* Where all streams of a thread read to. */
struct stream_buffer {
    char *bytes; /* owned by the thread */
    size_t size;
    struct tls_io *tls; /* owned by the thread; NULL: none of its streams has TLS */
};

struct stream {
    uv_tcp_t tcp; /* its data points to the stream */
    const struct stream_events *events;
    const struct stream_buffer *buffer; /* borrowed while the stream lives */
    struct ssl_st *tls;                 /* owned; NULL: plaintext */
    int fd;                             /* tcp's, once it was asked for; -1 */
    bool is_reading;
    bool is_closing;
    bool is_passing;   /* its owner is asked, by on_readable, before anything is read */
    bool has_taken;    /* ciphertext came */
    bool has_notified; /* the peer has been told that nothing more comes */
    uint8_t tls_state; /* tls.c's */
};

/* Makes the handle; it gets its socket from uv_accept, uv_tcp_open or uv_tcp_connect. 0 or a
 * negative UV_E…, after which there is nothing to close. */
int stream_init(struct stream *stream, uv_loop_t *loop, const struct stream_events *events,
                const struct stream_buffer *buffer);

/* Both may be called twice. Stopping and starting cost a system call each: for backpressure, not
 * for every message. */
int stream_start_reading(struct stream *stream);
void stream_stop_reading(struct stream *stream);

/* Bytes that the owner took too many of in on_bytes, before it gave the stream TLS: they are told
 * again, as if they came now. */
void stream_take_again(struct stream *stream, const char *bytes, size_t len);

/* Writes all the pieces in order: what the kernel takes at once needs no copy, the rest is copied
 * and queued. 0, or a negative UV_E… when the connection cannot be written to any more. */
int stream_write(struct stream *stream, const uv_buf_t *pieces, unsigned count);

/* Bytes that wait for the kernel. */
static inline size_t stream_queued(const struct stream *stream)
{
    return stream->tcp.write_queue_size;
}

/* Tells the peer that nothing more comes (close_notify, FIN). For an empty queue. */
void stream_end_writing(struct stream *stream);

/* True when the peer has closed or reset the connection, or sent something, and the loop has not
 * told so yet. Costs a system call. */
bool stream_has_news(struct stream *stream);

/* Closes, dropping what is queued; twice is harmless. With TLS the peer is told, if nothing is
 * queued in front of that. */
void stream_close(struct stream *stream);
/* The same, with a reset, so that the peer can't take what it has for the whole. */
void stream_abort(struct stream *stream);

#endif
