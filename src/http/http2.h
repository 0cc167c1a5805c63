/* http2.h - an HTTP/2 connection (RFC 9113, by nghttp2), without a socket: bytes in, bytes out,
 * requests and their content told by callbacks. Here is the server's side, and what both sides
 * share; how a client's session is made, and a request sent, is http2_client.h's.
 *
 * Flow control is backpressure. What comes in for a stream that is not reading is kept, up to the
 * window that its client was given, and the window is opened again only when it has been handed on;
 * so a connection holds HTTP2_CONNECTION_WINDOW bytes at most. What goes out waits in its stream's
 * queue until the client's windows, and the owner of the socket, have room; streams take turns.
 *
 * Limits are counted here: open streams (by nghttp2), the size of heads, and what costs the client
 * less than us (resets, settings, pings, empty frames, …), which may come in bursts and then at a
 * modest rate. Who passes them is told to calm down, and the connection ends.
 *
 * Thread: one owner. Memory: one block and nghttp2's; streams are embedded in their owners. */
#ifndef HTTP_HTTP2_H
#define HTTP_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "http/http2_head.h"

#define HTTP2_PREFACE STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

#define HTTP2_MAX_STREAMS 128             /* at a time; as nginx has it */
#define HTTP2_STREAM_WINDOW 262144        /* bytes of content that a client may send ahead */
#define HTTP2_CONNECTION_WINDOW 1048576   /* all streams together */
#define HTTP2_MAX_OUT_BYTES (1024 * 1024) /* queued in a stream; its owner stops far below */
#define HTTP2_MAX_TRAILER_BYTES 16384     /* gRPC's have details of errors in them */
#define HTTP2_GOAWAY_BYTES 17

enum http2_error { /* RFC 9113, section 7 */
                   HTTP2_NO_ERROR = 0,
                   HTTP2_PROTOCOL_ERROR = 1,
                   HTTP2_INTERNAL_ERROR = 2,
                   HTTP2_REFUSED_STREAM = 7,
                   HTTP2_CANCEL = 8,
                   HTTP2_ENHANCE_YOUR_CALM = 11,
};

struct http2_session;

struct http2_stream {
    struct list link;  /* session's streams */
    struct list ready; /* session's ready ones */
    struct http2_session *session;
    int32_t id;
    bool is_reading;      /* content may be told */
    bool is_closed;       /* on the wire: nothing can be sent or comes any more */
    bool has_head;        /* a client's: the final head of its response has come */
    bool has_all;         /* a client's: the end of its response has come */
    bool has_sent_head;   /* a client's: its request's head has left */
    bool is_refused;      /* a client's that is gone: the server has not looked at its request */
    bool is_broken;       /* a client's: reset by us, for what the server sent on it */
    bool has_request_end; /* of what comes, and still to be told */
    bool has_drained;     /* the same */
    bool is_gone;         /* the same: it was closed while frames were made */
    bool has_body;        /* a head with content to follow was submitted */
    bool is_deferred;     /* nghttp2 waits for more content */
    bool is_last;         /* all that is to be sent is queued */
    bool has_sent_last;   /* and its end was taken */
    uint32_t error_code;  /* with which it was closed */
    size_t queued;        /* what waits to be sent, and one for its end */
    size_t held;          /* bytes that came and have not been told */
    struct buf in;
    struct buf out;
    struct buf trailers;     /* of what comes, until its end is told */
    struct buf out_trailers; /* until the content has left */
};

/* All may call the functions below for their stream, but not receive, send or destroy. */
struct http2_events {
    /* A request's head is whole: http2_stream_open takes it, or http2_refuse. The head is borrowed,
     * and may be one that was found bad (refused_status). */
    void (*on_request)(void *owner, int32_t id, const struct http2_head *head, bool is_last);
    /* A client's, in its place: a response's head is whole; borrowed, and may be one that was found
     * bad. Interim ones come before the final one. */
    void (*on_response)(struct http2_stream *stream, const struct http2_head *head, bool is_last);
    void (*on_content)(struct http2_stream *stream, const char *bytes, size_t len);
    /* What comes, request or response, has ended. Trailers are whole lines, or empty. Not told of
     * what was all head. */
    void (*on_request_end)(struct http2_stream *stream, struct str trailers);
    /* All, or most, that was queued has left. */
    void (*on_drained)(struct http2_stream *stream);
    /* The peer has reset the stream, or broken the protocol on it. As all of these: never told
     * within http2_send, whose buffer may be one that their owners write to. */
    void (*on_gone)(struct http2_stream *stream);
    /* The peer has broken the protocol or passed a limit. `reason` is constant. is_fatal: the
     * connection is going to end. */
    void (*on_violation)(void *owner, const char *reason, bool is_fatal);
};

/* 0, or UV_ENOMEM. `owner` and *events are borrowed. */
int http2_session_create(const struct http2_events *events, void *owner, size_t max_head_bytes,
                         uint64_t now_ms, struct http2_session **ret);
/* After its streams are released. NULL is fine. */
void http2_session_destroy(struct http2_session *session);

/* Bytes from the peer. 0, or UV_EPROTO when the connection cannot go on:
 * http2_write_goaway says why, and that is all that may be sent. It returns how many bytes that
 * are: 0 where a frame has left in part, whose rest they would be taken for. */
int http2_receive(struct http2_session *session, const char *bytes, size_t len, uint64_t now_ms);
size_t http2_write_goaway(const struct http2_session *session, char out[HTTP2_GOAWAY_BYTES]);

/* Tells what waits to be told: content to streams that read again, drained queues. */
void http2_tell(struct http2_session *session);
bool http2_has_news(const struct http2_session *session);

/* Puts frames to send into out[0..size), which is not below 1024. Returns how many bytes; 0: none
 * for now. */
size_t http2_send(struct http2_session *session, char *out, size_t size);

/* Nothing is to be sent or received any more. */
bool http2_is_over(const struct http2_session *session);
unsigned http2_stream_count(const struct http2_session *session);
/* Part of a head has come; all of it is due. */
bool http2_is_within_head(const struct http2_session *session);
/* The client's preface and first settings have come. */
bool http2_is_greeted(const struct http2_session *session);
/* An idle session needs no buffers, but for those of a head that is coming. */
void http2_rest(struct http2_session *session);

/* The client is told that no new streams will be served soon (RFC 9113, section 6.8), then, by
 * http2_goaway, none from now on: what it has sent until it knows is served. */
void http2_announce_goaway(struct http2_session *session);
/* The client has seen that. */
bool http2_is_goaway_known(const struct http2_session *session);
void http2_goaway(struct http2_session *session);
/* The connection ends here, whatever is under way. */
void http2_end(struct http2_session *session, enum http2_error code);

/* In on_request. The stream is not reading. */
void http2_stream_open(struct http2_session *session, struct http2_stream *stream, int32_t id);
/* The owner is done with it, which may be freed. */
void http2_stream_release(struct http2_stream *stream);
void http2_refuse(struct http2_session *session, int32_t id);
void http2_stream_reset(struct http2_stream *stream, enum http2_error code);
void http2_stream_read(struct http2_stream *stream, bool is_wanted);

/* A head as HTTP/1 writes it, with its empty line, in memory that is written to: names get lower
 * case, and fields of connections are left out. is_last: the response has nothing else. 0, or a
 * negative UV_E…. */
int http2_stream_head(struct http2_stream *stream, struct str head, bool is_interim, bool is_last);
int http2_stream_content(struct http2_stream *stream, const struct str *pieces, unsigned count);
/* The response ends; trailers are whole lines, or empty. */
int http2_stream_end(struct http2_stream *stream, struct str trailers);

#endif
