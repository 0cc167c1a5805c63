#include "http/http2.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "http/http1.h"
#include "http/http2_parts.h"

/* Fields that go on after their head was refused still have to be decoded, for those of the next
 * one refer to them; but not for ever. */
#define MAX_DECODED_FACTOR 4
/* A server's may be far longer, for others have streams on its connection. */
#define MAX_DECODED_RESPONSE_BYTES (1024u * 1024)
/* Heads that are sent have so many times the limit of those that come, for all that is added to an
 * upstream's, and what nghttp2 reckons for packing each field. */
#define MAX_SENT_FACTOR 4
#define MAX_SENT_MORE_BYTES 32768
/* CONTINUATION frames of one head. */
#define MAX_CONTINUATIONS 8
#define MAX_RESPONSE_CONTINUATIONS 128
/* Frames, but for content, that wait to be sent: far more than all streams together want, so their
 * client makes us answer and doesn't read. */
#define MAX_WAITING_FRAMES 2048
/* What each DATA frame that is sent entitles the peer to: some measure the way by a ping with each
 * that they get. */
#define WINDOW_UPDATES_A_FRAME 4
#define PINGS_A_FRAME 1
/* With less room than this for a frame, it waits for the next buffer. */
#define MIN_FRAME_BYTES 1024
/* Content is told in slices, so that who stops reading gets no more than a frame after that. */
#define SLICE_BYTES 16384

/* --- violations --- */

void http2_violate(struct http2_session *session, const char *reason, bool is_fatal)
{
    session->events->on_violation(session->owner, reason, is_fatal);
}

void http2_end(struct http2_session *session, enum http2_error code)
{
    if (session->is_ending)
        return;
    session->is_ending = true;
    session->end_code = code;
    nghttp2_session_terminate_session(session->nghttp2, code);
}

/* For a callback of nghttp2's to return: not a byte more is looked at, and what waits to be sent
 * stays behind. */
static int give_up(struct http2_session *session, const char *reason)
{
    if (!session->is_ending)
        http2_violate(session, reason, true);
    session->is_ending = true;
    session->end_code = HTTP2_ENHANCE_YOUR_CALM;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void http2_count_nuisance(struct http2_session *session, enum http2_nuisance kind)
{
    if (session->is_ending || http2_meter_take(&session->meter, kind, session->now_ms))
        return;
    http2_violate(session, http2_meter_reason(kind), true);
    http2_end(session, HTTP2_ENHANCE_YOUR_CALM);
}

/* --- streams --- */

void http2_stream_init(struct http2_session *session, struct http2_stream *stream, int32_t id)
{
    *stream = (struct http2_stream){.session = session, .id = id};
    list_init(&stream->ready);
    list_push_back(&session->streams, &stream->link);
    buf_init(&stream->in, HTTP2_STREAM_WINDOW);
    buf_init(&stream->out, HTTP2_MAX_OUT_BYTES);
    buf_init(&stream->trailers, HTTP2_MAX_TRAILER_BYTES);
    buf_init(&stream->out_trailers, HTTP2_MAX_TRAILER_BYTES);
    session->stream_count++;
}

void http2_stream_open(struct http2_session *session, struct http2_stream *stream, int32_t id)
{
    http2_stream_init(session, stream, id);
    nghttp2_session_set_stream_user_data(session->nghttp2, id, stream);
    /* All alike, and a frame each in turn: what a client says of urgency is not taken. */
    nghttp2_extpri priority = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    nghttp2_session_change_extpri_stream_priority(session->nghttp2, id, &priority, 1);
}

static void give_window_back(struct http2_stream *stream)
{
    nghttp2_session *nghttp2 = stream->session->nghttp2;
    if (stream->held == 0)
        return;
    if (stream->is_closed)
        nghttp2_session_consume_connection(nghttp2, stream->held);
    else
        nghttp2_session_consume(nghttp2, stream->id, stream->held);
    stream->held = 0;
}

void http2_stream_release(struct http2_stream *stream)
{
    struct http2_session *session = stream->session;
    give_window_back(stream);
    if (!stream->is_closed)
        nghttp2_session_set_stream_user_data(session->nghttp2, stream->id, NULL);
    list_remove(&stream->link);
    list_remove(&stream->ready);
    buf_deinit(&stream->in);
    buf_deinit(&stream->out);
    buf_deinit(&stream->trailers);
    buf_deinit(&stream->out_trailers);
    session->stream_count--;
    if (session->telling == stream)
        session->telling = NULL;
}

void http2_refuse(struct http2_session *session, int32_t id)
{
    nghttp2_submit_rst_stream(session->nghttp2, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
}

void http2_stream_reset(struct http2_stream *stream, enum http2_error code)
{
    if (!stream->is_closed)
        nghttp2_submit_rst_stream(stream->session->nghttp2, NGHTTP2_FLAG_NONE, stream->id, code);
}

void http2_stream_read(struct http2_stream *stream, bool is_wanted)
{
    stream->is_reading = is_wanted;
    if (is_wanted && (stream->held > 0 || stream->has_request_end))
        http2_make_ready(stream);
}

static struct http2_stream *find(struct http2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->nghttp2, id);
}

/* --- what comes in --- */

static int on_begin_frame(nghttp2_session *nghttp2, const nghttp2_frame_hd *frame, void *arg)
{
    struct http2_session *session = arg;
    if (nghttp2_session_get_outbound_queue_size(nghttp2) > MAX_WAITING_FRAMES)
        return give_up(session, "too many answers wait");
    switch (frame->type) {
    case NGHTTP2_HEADERS:
        if (frame->stream_id <= nghttp2_session_get_last_proc_stream_id(nghttp2) &&
            !nghttp2_session_find_stream(nghttp2, frame->stream_id))
            http2_count_nuisance(session, HTTP2_LATE_HEADS);
        break;
    case NGHTTP2_CONTINUATION:
        if (frame->length == 0)
            http2_count_nuisance(session, HTTP2_EMPTY_FRAMES);
        break;
    case NGHTTP2_PRIORITY:
        http2_count_nuisance(session, HTTP2_PRIORITIES);
        break;
    case NGHTTP2_RST_STREAM:
        http2_count_nuisance(session, HTTP2_RESETS);
        break;
    case NGHTTP2_SETTINGS:
        http2_count_nuisance(session, HTTP2_SETTINGS);
        break;
    case NGHTTP2_PING:
        http2_count_nuisance(session, HTTP2_PINGS);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        http2_count_nuisance(session, HTTP2_WINDOW_UPDATES);
        break;
    default:
        break;
    }
    return 0;
}

static int on_begin_headers(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    struct http2_session *session = arg;
    (void)nghttp2;
    session->head_id = frame->hd.stream_id;
    http2_head_begin(&session->head,
                     session->is_client ? http2_client_awaits_trailers(session, frame->hd.stream_id)
                                        : frame->headers.cat != NGHTTP2_HCAT_REQUEST);
    return 0;
}

static int check_decoded(struct http2_session *session)
{
    size_t most = MAX_DECODED_FACTOR * session->max_head_bytes;
    if (session->is_client && most < MAX_DECODED_RESPONSE_BYTES)
        most = MAX_DECODED_RESPONSE_BYTES;
    return session->head.bytes <= most ? 0 : give_up(session, "header bomb");
}

static int on_header(nghttp2_session *nghttp2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct http2_session *session = arg;
    (void)nghttp2, (void)frame, (void)flags;
    http2_head_add(&session->head, str_make((const char *)name, name_len),
                   str_make((const char *)value, value_len));
    return check_decoded(session);
}

/* What nghttp2 would leave out: characters that may not stand in a name or value. */
static int on_invalid_header(nghttp2_session *nghttp2, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *arg)
{
    struct http2_session *session = arg;
    (void)nghttp2, (void)frame, (void)name, (void)value, (void)flags;
    session->head.bytes += name_len + value_len + HTTP2_FIELD_OVERHEAD;
    http2_head_refuse(&session->head, 400, "bad field");
    return check_decoded(session);
}

static void tell_end(struct http2_stream *stream)
{
    stream->has_request_end = false;
    stream->session->events->on_request_end(stream, buf_str(&stream->trailers));
}

void http2_take_end(struct http2_stream *stream)
{
    stream->has_all = true;
    if (stream->held == 0)
        tell_end(stream);
    else
        stream->has_request_end = true;
}

/* Trailers that are bad make the message bad. */
void http2_take_trailers(struct http2_stream *stream)
{
    struct http2_session *session = stream->session;
    struct str lines = buf_str(&session->head.lines);
    if (session->head.refused_status || buf_append(&stream->trailers, lines.ptr, lines.len)) {
        http2_violate(session, "bad trailers", false);
        http2_stream_reset(stream, HTTP2_PROTOCOL_ERROR);
        http2_count_nuisance(session, HTTP2_RESETS);
        return;
    }
    http2_take_end(stream);
}

static void take_head(struct http2_session *session, const nghttp2_frame *frame)
{
    int32_t id = frame->hd.stream_id;
    bool is_last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    session->head_id = 0;
    if (session->is_ending)
        return;
    struct http2_stream *stream = find(session, id);
    if (session->is_client) {
        http2_client_take_head(session, id, is_last);
        return;
    }
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        if (stream)
            http2_take_trailers(stream);
        return;
    }
    http2_head_end(&session->head, is_last);
    session->events->on_request(session->owner, id, &session->head, is_last);
}

static int on_frame(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream;
    (void)nghttp2;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        take_head(session, frame);
        break;
    case NGHTTP2_DATA:
        stream = find(session, frame->hd.stream_id);
        if (stream && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            http2_take_end(stream);
        else if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            break;
        else if (frame->hd.length <= frame->data.padlen)
            http2_count_nuisance(session, HTTP2_EMPTY_FRAMES);
        break;
    case NGHTTP2_SETTINGS:
        session->is_greeted = true;
        break;
    case NGHTTP2_PING:
        if (session->is_announced && (frame->hd.flags & NGHTTP2_FLAG_ACK))
            session->is_goaway_known = true;
        break;
    default:
        break;
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *nghttp2, const nghttp2_frame *frame, int error,
                            void *arg)
{
    struct http2_session *session = arg;
    (void)nghttp2;
    if (frame->hd.type == NGHTTP2_HEADERS)
        session->head_id = 0;
    /* nghttp2 ends the stream or the connection by itself. */
    http2_violate(session,
                  error == NGHTTP2_ERR_HTTP_HEADER      ? "malformed head"
                  : error == NGHTTP2_ERR_HTTP_MESSAGING ? "malformed message"
                                                        : nghttp2_strerror(error),
                  false);
    return 0;
}

static int on_data(nghttp2_session *nghttp2, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream = find(session, id);
    (void)flags;
    if (!stream) { /* nobody wants it */
        nghttp2_session_consume(nghttp2, id, len);
        return 0;
    }
    if (stream->is_reading && stream->held == 0) {
        session->events->on_content(stream, (const char *)bytes, len); /* may release it */
        nghttp2_session_consume(nghttp2, id, len);
        return 0;
    }
    if (buf_append(&stream->in, bytes, len))
        return NGHTTP2_ERR_CALLBACK_FAILURE; /* out of memory: nghttp2 keeps the window */
    stream->held += len;
    return 0;
}

/* At once, but for what nghttp2 closes as it makes a reset of its own: later. */
void http2_tell_gone(struct http2_stream *stream)
{
    if (!stream->session->out) {
        stream->session->events->on_gone(stream);
        return;
    }
    stream->is_gone = true;
    http2_make_ready(stream);
}

static int on_stream_close(nghttp2_session *nghttp2, int32_t id, uint32_t code, void *arg)
{
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(nghttp2, id);
    struct http2_session *session = arg;
    if (session->head_id == id)
        session->head_id = 0;
    if (!stream)
        return 0;
    if (session->is_client) {
        http2_client_stream_closed(stream, code);
        return 0;
    }
    bool has_all = stream->is_last && (!stream->has_body || stream->has_sent_last);
    stream->is_closed = true;
    stream->queued = 0;
    give_window_back(stream);
    if (!has_all || !stream->has_body) {
        http2_tell_gone(stream);
        return 0;
    }
    stream->has_drained = true;
    http2_make_ready(stream);
    return 0;
}

/* --- what goes out --- */

/* A reset that the client has forced costs us a request too. */
static bool is_forced(uint32_t code)
{
    return code != NGHTTP2_NO_ERROR && code != NGHTTP2_INTERNAL_ERROR && code != NGHTTP2_CANCEL;
}

void http2_meter_sent_data(struct http2_session *session)
{
    http2_meter_give(&session->meter, HTTP2_WINDOW_UPDATES, WINDOW_UPDATES_A_FRAME);
    http2_meter_give(&session->meter, HTTP2_PINGS, PINGS_A_FRAME);
}

static int on_sent(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    struct http2_session *session = arg;
    int32_t id = frame->hd.stream_id;
    if (session->is_client) {
        http2_client_sent(session, frame);
        return 0;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM && is_forced(frame->rst_stream.error_code))
        http2_count_nuisance(session, HTTP2_RESETS);
    if (frame->hd.type == NGHTTP2_DATA)
        http2_meter_sent_data(session);
    bool is_end = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                  (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    /* The client may keep what it has not sent of its request (RFC 9113, section 8.1). */
    if (is_end && nghttp2_session_get_stream_remote_close(nghttp2, id) == 0)
        nghttp2_submit_rst_stream(nghttp2, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    return 0;
}

/* A head that nghttp2 could not make a frame of would leave its stream open for ever. */
static int on_not_sent(nghttp2_session *nghttp2, const nghttp2_frame *frame, int error, void *arg)
{
    int32_t id = frame->hd.stream_id;
    const struct http2_session *session = arg;
    (void)error;
    bool is_request = session->is_client && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    /* Of a request the server hears nothing: nghttp2 ends it by itself. */
    if (frame->hd.type == NGHTTP2_HEADERS && !is_request &&
        nghttp2_session_find_stream(nghttp2, id))
        nghttp2_submit_rst_stream(nghttp2, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

/* Whole frames and parts of them, so that what leaves fills records of TLS; content goes straight
 * from its stream's queue, by http2_put_content. */
size_t http2_send(struct http2_session *session, char *out, size_t size)
{
    session->out = out;
    session->out_len = 0;
    session->out_size = size;
    for (;;) {
        if (session->unsent_bytes == 0) {
            size_t before = session->out_len;
            if (size - before < MIN_FRAME_BYTES)
                break;
            ssize_t got = nghttp2_session_mem_send(session->nghttp2, &session->unsent);
            if (got <= 0 && session->out_len == before)
                break;
            session->unsent_bytes = got > 0 ? (size_t)got : 0;
        }
        size_t room = size - session->out_len;
        size_t taken = session->unsent_bytes < room ? session->unsent_bytes : room;
        if (taken > 0) {
            memcpy(out + session->out_len, session->unsent, taken);
            session->unsent += taken;
            session->unsent_bytes -= taken;
            session->out_len += taken;
        }
        if (session->unsent_bytes > 0)
            break;
    }
    session->out = NULL;
    return session->out_len;
}

/* --- telling --- */

bool http2_has_news(const struct http2_session *session)
{
    return !list_is_empty(&session->ready);
}

static void tell_content(struct http2_stream *stream)
{
    struct http2_session *session = stream->session;
    session->telling = stream;
    while (stream->held > 0 && stream->is_reading) {
        struct str bytes = buf_str(&stream->in);
        char slice[SLICE_BYTES];
        size_t len = bytes.len < sizeof(slice) ? bytes.len : sizeof(slice);
        memcpy(slice, bytes.ptr, len); /* for the stream may go meanwhile */
        buf_consume(&stream->in, len);
        stream->held -= len;
        nghttp2_session_consume(session->nghttp2, stream->id, len);
        session->events->on_content(stream, slice, len);
        if (!session->telling)
            return;
    }
    if (stream->held == 0)
        buf_deinit(&stream->in);
    if (stream->held == 0 && stream->has_request_end)
        tell_end(stream);
}

void http2_tell(struct http2_session *session)
{
    while (!list_is_empty(&session->ready)) {
        struct http2_stream *stream = LIST_ENTRY(session->ready.next, struct http2_stream, ready);
        list_remove(&stream->ready);
        if (stream->is_gone) {
            stream->is_gone = stream->has_drained = false;
            session->events->on_gone(stream);
        } else if (stream->has_drained) {
            stream->has_drained = false;
            if ((!stream->is_closed || session->is_client) &&
                (stream->held > 0 || stream->has_request_end))
                http2_make_ready(stream);
            session->events->on_drained(stream);
        } else if (!stream->is_closed || session->is_client) {
            tell_content(stream);
        }
    }
}

/* --- the session --- */

static int set_callbacks(nghttp2_session_callbacks **ret)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks))
        return UV_ENOMEM;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, http2_put_content);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    *ret = callbacks;
    return 0;
}

static int set_options(const struct http2_session *session, nghttp2_option **ret)
{
    if (nghttp2_option_new(ret))
        return UV_ENOMEM;
    nghttp2_option_set_no_auto_window_update(*ret, 1);
    nghttp2_option_set_no_closed_streams(*ret, 1);
    nghttp2_option_set_max_continuations(*ret, session->is_client ? MAX_RESPONSE_CONTINUATIONS
                                                                  : MAX_CONTINUATIONS);
    nghttp2_option_set_max_send_header_block_length(
        *ret, MAX_SENT_FACTOR * session->max_head_bytes + MAX_SENT_MORE_BYTES);
    nghttp2_option_set_stream_reset_rate_limit(*ret, UINT32_MAX, UINT32_MAX); /* http2_meter's */
    return 0;
}

static int greet(struct http2_session *session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_MAX_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)session->max_head_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    int rc = nghttp2_submit_settings(session->nghttp2, NGHTTP2_FLAG_NONE, settings,
                                     sizeof(settings) / sizeof(settings[0]));
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(session->nghttp2, NGHTTP2_FLAG_NONE, 0,
                                                   HTTP2_CONNECTION_WINDOW);
    return rc ? UV_ENOMEM : 0;
}

int http2_create(const struct http2_events *events, void *owner, size_t max_head_bytes,
                 bool is_client, uint64_t now_ms, struct http2_session **ret)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *options = NULL;
    struct http2_session *session = calloc(1, sizeof(*session));
    if (!session)
        return UV_ENOMEM;
    session->events = events;
    session->owner = owner;
    session->is_client = is_client;
    session->max_head_bytes = max_head_bytes < UINT32_MAX / 8 ? max_head_bytes : UINT32_MAX / 8;
    session->now_ms = now_ms;
    list_init(&session->streams);
    list_init(&session->ready);
    http2_head_init(&session->head, session->max_head_bytes);
    session->head.is_response = is_client;
    http2_meter_init(&session->meter, now_ms);
    int rc = set_callbacks(&callbacks);
    if (!rc)
        rc = set_options(session, &options);
    if (!rc && (is_client ? nghttp2_session_client_new2 : nghttp2_session_server_new2)(
                   &session->nghttp2, callbacks, session, options))
        rc = UV_ENOMEM;
    if (!rc && !is_client)
        rc = greet(session);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
    if (rc)
        http2_session_destroy(session);
    else
        *ret = session;
    return rc;
}

int http2_session_create(const struct http2_events *events, void *owner, size_t max_head_bytes,
                         uint64_t now_ms, struct http2_session **ret)
{
    return http2_create(events, owner, max_head_bytes, false, now_ms, ret);
}

void http2_session_destroy(struct http2_session *session)
{
    if (!session)
        return;
    nghttp2_session_del(session->nghttp2);
    http2_head_deinit(&session->head);
    free(session);
}

int http2_receive(struct http2_session *session, const char *bytes, size_t len, uint64_t now_ms)
{
    session->now_ms = now_ms;
    ssize_t rc = nghttp2_session_mem_recv(session->nghttp2, (const uint8_t *)bytes, len);
    if (rc >= 0)
        return 0;
    if (!session->is_ending) {
        session->is_ending = true;
        session->end_code = rc == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR
                            : rc == NGHTTP2_ERR_FLOODED || rc == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS
                                ? NGHTTP2_ENHANCE_YOUR_CALM
                                : NGHTTP2_INTERNAL_ERROR;
        http2_violate(session, nghttp2_strerror((int)rc), true);
    }
    return UV_EPROTO;
}

size_t http2_write_goaway(const struct http2_session *session, char out[HTTP2_GOAWAY_BYTES])
{
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(session->nghttp2);
    const char head[] = {0, 0, 8, NGHTTP2_GOAWAY, 0, 0, 0, 0, 0};
    if (session->unsent_bytes > 0)
        return 0;
    memcpy(out, head, sizeof(head));
    for (int i = 0; i < 4; i++) {
        out[9 + i] = (char)(last >> (24 - 8 * i));
        out[13 + i] = (char)(session->end_code >> (24 - 8 * i));
    }
    return HTTP2_GOAWAY_BYTES;
}

bool http2_is_over(const struct http2_session *session)
{
    return session->unsent_bytes == 0 && !nghttp2_session_want_read(session->nghttp2) &&
           !nghttp2_session_want_write(session->nghttp2);
}

unsigned http2_stream_count(const struct http2_session *session)
{
    return session->stream_count;
}

bool http2_is_within_head(const struct http2_session *session)
{
    return session->head_id != 0;
}

bool http2_is_greeted(const struct http2_session *session)
{
    return session->is_greeted;
}

void http2_rest(struct http2_session *session)
{
    if (session->head_id == 0)
        http2_head_rest(&session->head);
}

void http2_announce_goaway(struct http2_session *session)
{
    if (session->is_announced || session->is_ending)
        return;
    session->is_announced = true;
    nghttp2_submit_shutdown_notice(session->nghttp2);
    nghttp2_submit_ping(session->nghttp2, NGHTTP2_FLAG_NONE, NULL);
}

bool http2_is_goaway_known(const struct http2_session *session)
{
    return session->is_goaway_known;
}

void http2_goaway(struct http2_session *session)
{
    if (session->is_going_away || session->is_ending)
        return;
    session->is_going_away = true;
    nghttp2_submit_goaway(session->nghttp2, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session->nghttp2),
                          NGHTTP2_NO_ERROR, NULL, 0);
}
