/* http2_parts.h - what the files of http2 share; nobody else's business.
 *
 * http2.c has the session and what comes in, http2_response.c what goes out, http2_client.c what is
 * different on a client's side, http2_meter.c counts, http2_head.c puts heads down.
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
    struct list ready;                  /* streams that have something to be told */
    const struct http2_stream *telling; /* the one that content is told to; NULL: released */
    unsigned stream_count;
    struct http2_head head; /* the one that is coming */
    int32_t head_id;        /* its stream's; 0: none is */
    size_t max_head_bytes;
    unsigned max_streams;     /* a client's */
    unsigned allowed_streams; /* the same, or less since the server has refused one */
    struct http2_meter meter;
    uint64_t now_ms;
    const uint8_t *unsent; /* the rest of a frame, nghttp2's until the next one is asked for */
    size_t unsent_bytes;
    char *out; /* http2_send's, while it runs; NULL: it doesn't */
    size_t out_len;
    size_t out_size;
    uint32_t end_code; /* an error's, when the connection ends by one */
    bool is_client;
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

int http2_create(const struct http2_events *events, void *owner, size_t max_head_bytes,
                 bool is_client, uint64_t now_ms, struct http2_session **ret);
void http2_tell_gone(struct http2_stream *stream);
void http2_stream_init(struct http2_session *session, struct http2_stream *stream, int32_t id);
void http2_violate(struct http2_session *session, const char *reason, bool is_fatal);
void http2_count_nuisance(struct http2_session *session, enum http2_nuisance kind);
void http2_meter_sent_data(struct http2_session *session);
/* The end of what comes, and trailers before it, whose lines are the session's head. */
void http2_take_end(struct http2_stream *stream);
void http2_take_trailers(struct http2_stream *stream);

/* http2_client.c's part of what nghttp2 tells. */
int http2_client_greet(struct http2_session *session);
bool http2_client_awaits_trailers(struct http2_session *session, int32_t id);
void http2_client_take_head(struct http2_session *session, int32_t id, bool is_last);
void http2_client_stream_closed(struct http2_stream *stream, uint32_t code);
void http2_client_sent(struct http2_session *session, const nghttp2_frame *frame);

/* http2_response.c: what a head's lines become. */
#define HTTP2_MAX_LINES (HTTP_MAX_FIELDS + 72) /* what weir and its plugins add to a peer's */
struct str http2_cut_line(struct str *rest);
nghttp2_nv http2_make_field(struct str name, struct str value);
bool http2_find_fields(struct str lines, bool has_names, nghttp2_nv *fields, size_t *count);

/* nghttp2's callbacks for content that is to be sent: how much of it, and its frame. */
ssize_t http2_read_content(nghttp2_session *nghttp2, int32_t id, uint8_t *out, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *arg);
int http2_put_content(nghttp2_session *nghttp2, nghttp2_frame *frame, const uint8_t *head,
                      size_t len, nghttp2_data_source *source, void *arg);

#endif
