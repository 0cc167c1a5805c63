#include "http/http2_client.h"

#include <uv.h> /* error codes only */

#include "http/http2_parts.h"

/* The pseudo fields stand in front. */
enum { FIELD_METHOD = 0, FIELD_SCHEME, FIELD_PATH, FIELD_AUTHORITY, FIELD_COUNT };

/* --- the session --- */

int http2_client_greet(struct http2_session *session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_CLIENT_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)session->max_head_bytes},
    };
    /* Twice what all streams may hold: nghttp2 opens it again when half of it was taken. */
    uint64_t window = (uint64_t)session->max_streams * HTTP2_CLIENT_STREAM_WINDOW * 2;
    int rc = nghttp2_submit_settings(session->nghttp2, NGHTTP2_FLAG_NONE, settings,
                                     sizeof(settings) / sizeof(settings[0]));
    if (rc == 0)
        rc =
            nghttp2_session_set_local_window_size(session->nghttp2, NGHTTP2_FLAG_NONE, 0,
                                                  window < INT32_MAX ? (int32_t)window : INT32_MAX);
    return rc ? UV_ENOMEM : 0;
}

int http2_client_create(const struct http2_events *events, void *owner, size_t max_head_bytes,
                        unsigned max_streams, uint64_t now_ms, struct http2_session **ret)
{
    struct http2_session *session;
    int rc = http2_create(events, owner, max_head_bytes, true, now_ms, &session);
    if (rc)
        return rc;
    session->max_streams = session->allowed_streams = max_streams;
    rc = http2_client_greet(session);
    if (rc)
        http2_session_destroy(session);
    else
        *ret = session;
    return rc;
}

bool http2_client_is_leaving(const struct http2_session *session)
{
    return session->is_ending || !nghttp2_session_check_request_allowed(session->nghttp2);
}

uint32_t http2_client_allowed(const struct http2_session *session)
{
    return nghttp2_session_get_remote_settings(session->nghttp2,
                                               NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool http2_client_has_room(const struct http2_session *session)
{
    return session->stream_count < session->allowed_streams &&
           session->stream_count < http2_client_allowed(session) &&
           !http2_client_is_leaving(session);
}

void http2_client_lower_limit(struct http2_session *session)
{
    session->allowed_streams = session->stream_count > 1 ? session->stream_count - 1 : 1;
}

/* --- requests --- */

/* Host goes to where the pseudo fields are. */
static void move_host(nghttp2_nv *fields, size_t *count)
{
    for (size_t i = FIELD_COUNT; i < *count; i++) {
        if (!str_equal(str_make((char *)fields[i].name, fields[i].namelen), STR("host")))
            continue;
        fields[FIELD_AUTHORITY].value = fields[i].value;
        fields[FIELD_AUTHORITY].valuelen = fields[i].valuelen;
        (*count)--;
        memmove(&fields[i], &fields[i + 1], (*count - i) * sizeof(*fields));
        return;
    }
}

int http2_client_open(struct http2_session *session, struct http2_stream *stream, struct str head,
                      bool is_secure, bool is_last)
{
    nghttp2_nv fields[HTTP2_MAX_LINES];
    size_t count = FIELD_COUNT;
    struct str line = http2_cut_line(&head);
    fields[FIELD_METHOD] = http2_make_field(STR(":method"), str_cut(&line, ' '));
    fields[FIELD_SCHEME] = http2_make_field(STR(":scheme"), is_secure ? STR("https") : STR("http"));
    fields[FIELD_PATH] = http2_make_field(STR(":path"), str_cut(&line, ' '));
    fields[FIELD_AUTHORITY] = http2_make_field(STR(":authority"), STR_EMPTY);
    if (!http2_find_fields(head, session->has_sent_head, fields, &count))
        return UV_ENOBUFS;
    session->has_sent_head = true;
    move_host(fields, &count);

    nghttp2_data_provider content = {.read_callback = http2_read_content};
    int32_t id = nghttp2_submit_request(session->nghttp2, NULL, fields, count,
                                        is_last ? NULL : &content, stream);
    if (id < 0)
        return id == NGHTTP2_ERR_NOMEM ? UV_ENOMEM : UV_EPIPE;
    http2_stream_init(session, stream, id);
    stream->is_reading = true;
    stream->has_body = !is_last;
    stream->is_last = is_last;
    http2_meter_give(&session->meter, HTTP2_RESETS, 1); /* each may be refused */
    return 0;
}

/* --- what comes --- */

static struct http2_stream *find(struct http2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->nghttp2, id);
}

bool http2_client_awaits_trailers(struct http2_session *session, int32_t id)
{
    const struct http2_stream *stream = find(session, id);
    return stream && stream->has_head;
}

void http2_client_take_head(struct http2_session *session, int32_t id, bool is_last)
{
    struct http2_stream *stream = find(session, id);
    if (!stream)
        return;
    if (stream->has_head) {
        http2_take_trailers(stream);
        return;
    }
    const struct http2_head *head = &session->head;
    stream->has_head = head->status >= 200 || head->refused_status;
    stream->has_all = is_last;
    session->events->on_response(stream, head, is_last);
}

void http2_client_stream_closed(struct http2_stream *stream, uint32_t code)
{
    stream->is_closed = true;
    stream->queued = 0;
    stream->error_code = code;
    if (stream->has_all) { /* what is held is told as its owner reads */
        struct http2_session *session = stream->session;
        session->allowed_streams += session->allowed_streams < session->max_streams;
        return;
    }
    stream->is_refused = !stream->has_sent_head || code == NGHTTP2_REFUSED_STREAM;
    http2_tell_gone(stream);
}

/* --- what was sent --- */

void http2_client_sent(struct http2_session *session, const nghttp2_frame *frame)
{
    if (frame->hd.type == NGHTTP2_DATA)
        http2_meter_sent_data(session);
    struct http2_stream *stream = find(session, frame->hd.stream_id);
    if (!stream)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        stream->has_sent_head = true;
    else if (frame->hd.type == NGHTTP2_RST_STREAM) /* its owner's resets come with its release */
        stream->is_broken = true;
}
