/* http2_parts.h - what the files of http2 share; nobody else's business.
 *
 * http2.c has the session and what comes in, http2_response.c what goes out, http2_meter.c counts,
 * http2_head.c puts heads down.
 *
 * Thread: the session's. Memory: none. */
#ifndef HTTP_HTTP2_PARTS_H
#define HTTP_HTTP2_PARTS_H

#include <nghttp2/nghttp2.h>

#include "http/http2.h"
#include "http/http2_meter.h"

struct http2_session {
    nghttp2_session *nghttp2; /* owned */
    const struct http2_events *events;
    void *owner;
    struct list streams;
    struct list ready; /* streams that have something to be told */
    unsigned stream_count;
    struct http2_head head; /* the one that is coming */
    int32_t head_id;        /* its stream's; 0: none is */
    size_t max_head_bytes;
    struct http2_meter meter;
    uint64_t now_ms;
    const uint8_t *unsent; /* the rest of a frame, nghttp2's until the next one is asked for */
    size_t unsent_bytes;
    char *out; /* http2_send's, while it runs */
    size_t out_len;
    size_t out_size;
    uint32_t end_code; /* an error's, when the connection ends by one */
    bool is_ending;
    bool is_greeted;
    bool has_sent_head;
    bool is_announced;    /* that it is going away */
    bool is_goaway_known; /* the client has answered */
    bool is_going_away;
};

/* Its owner is told, later. */
static inline void http2_make_ready(struct http2_stream *stream)
{
    if (!list_is_linked(&stream->ready))
        list_push_back(&stream->session->ready, &stream->ready);
}

/* nghttp2's callbacks for content that is to be sent: how much of it, and its frame. */
ssize_t http2_read_content(nghttp2_session *nghttp2, int32_t id, uint8_t *out, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *arg);
int http2_put_content(nghttp2_session *nghttp2, nghttp2_frame *frame, const uint8_t *head,
                      size_t len, nghttp2_data_source *source, void *arg);

#endif
