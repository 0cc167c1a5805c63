#include "http/http2_parts.h"

#include <errno.h>

#include <uv.h> /* error codes only */

#include "http/message.h"

/* Below this more is asked for: the client shall not wait for it. */
#define LOW_BYTES 32768

#define FRAME_HEAD_BYTES 9

/* --- heads --- */

/* Of the connection, which here is not the message's (RFC 9113, section 8.2.2). */
static bool is_of_connection(enum header_id id)
{
    switch (id) {
    case HEADER_CONNECTION:
    case HEADER_KEEP_ALIVE:
    case HEADER_PROXY_CONNECTION:
    case HEADER_TRANSFER_ENCODING:
    case HEADER_UPGRADE:
        return true;
    default:
        return false;
    }
}

nghttp2_nv http2_make_field(struct str name, struct str value)
{
    return (nghttp2_nv){.name = (uint8_t *)name.ptr,
                        .namelen = name.len,
                        .value = (uint8_t *)value.ptr,
                        .valuelen = value.len};
}

/* Hardly ever the same twice: in the table of packed fields it would take the place of those that
 * come again, and be looked for among all of its kind. */
static bool is_fleeting(enum header_id id, struct str name)
{
    return id == HEADER_X_KONG_REQUEST_ID || id == HEADER_TRACEPARENT ||
           str_equal_nocase(name, STR("x-kong-upstream-latency"));
}

/* Cuts a line with its CRLF off; empty at the end. */
struct str http2_cut_line(struct str *rest)
{
    const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (!end)
        return STR_EMPTY;
    struct str line = str_make(rest->ptr, (size_t)(end - rest->ptr));
    *rest = str_make(end + 1, rest->len - line.len - 1);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static void make_lower(struct str name)
{
    char *at = (char *)name.ptr;
    for (size_t i = 0; i < name.len; i++)
        at[i] = str_lower_char(at[i]);
}

/* The fields of all lines; *count may be above 0 already. has_names: the table has had a head's
 * names. False: too many. */
bool http2_find_fields(struct str lines, bool has_names, nghttp2_nv *fields, size_t *count)
{
    for (struct str value = http2_cut_line(&lines); value.len > 0; value = http2_cut_line(&lines)) {
        struct str name = str_cut(&value, ':');
        enum header_id id = header_recognise(name);
        if (is_of_connection(id))
            continue;
        if (*count == HTTP2_MAX_LINES)
            return false;
        make_lower(name);
        fields[*count] = http2_make_field(name, str_trim(value));
        if (has_names && is_fleeting(id, name))
            fields[*count].flags = NGHTTP2_NV_FLAG_NO_INDEX;
        (*count)++;
    }
    return true;
}

static int error_of(int rc)
{
    return rc == NGHTTP2_ERR_NOMEM ? UV_ENOMEM : rc < 0 ? UV_EPIPE : 0;
}

static void count_queued(struct http2_stream *stream)
{
    bool end_waits = stream->has_body && stream->is_last && !stream->has_sent_last;
    stream->queued = stream->is_closed ? 0 : buf_len(&stream->out) + end_waits;
}

static int submit(struct http2_stream *stream, const nghttp2_nv *fields, size_t count,
                  bool is_interim, bool is_last)
{
    nghttp2_session *nghttp2 = stream->session->nghttp2;
    if (is_interim)
        return error_of(nghttp2_submit_headers(nghttp2, NGHTTP2_FLAG_NONE, stream->id, NULL, fields,
                                               count, NULL));
    nghttp2_data_provider content = {.read_callback = http2_read_content};
    stream->has_body = !is_last;
    stream->is_last = is_last;
    return error_of(
        nghttp2_submit_response(nghttp2, stream->id, fields, count, is_last ? NULL : &content));
}

int http2_stream_head(struct http2_stream *stream, struct str head, bool is_interim, bool is_last)
{
    nghttp2_nv fields[HTTP2_MAX_LINES];
    size_t count = 1;
    if (stream->is_closed)
        return UV_EPIPE;
    struct str status = http2_cut_line(&head);
    str_cut(&status, ' ');
    fields[0] = http2_make_field(STR(":status"), str_cut(&status, ' '));
    if (fields[0].valuelen != 3 ||
        !http2_find_fields(head, stream->session->has_sent_head, fields, &count))
        return UV_ENOBUFS;
    stream->session->has_sent_head = true;
    return submit(stream, fields, count, is_interim, is_last);
}

/* --- content --- */

static int go_on(struct http2_stream *stream)
{
    count_queued(stream);
    if (!stream->is_deferred)
        return 0;
    stream->is_deferred = false;
    return error_of(nghttp2_session_resume_data(stream->session->nghttp2, stream->id));
}

int http2_stream_content(struct http2_stream *stream, const struct str *pieces, unsigned count)
{
    if (stream->is_closed)
        return UV_EPIPE;
    for (unsigned i = 0; i < count; i++) {
        int rc = pieces[i].len ? buf_append(&stream->out, pieces[i].ptr, pieces[i].len) : 0;
        if (rc)
            return rc;
    }
    return buf_len(&stream->out) > 0 ? go_on(stream) : 0;
}

int http2_stream_end(struct http2_stream *stream, struct str trailers)
{
    if (stream->is_closed)
        return UV_EPIPE;
    if (stream->is_last)
        return 0;
    stream->is_last = true;
    if (trailers.len > 0 && buf_append(&stream->out_trailers, trailers.ptr, trailers.len))
        return UV_ENOMEM;
    return go_on(stream);
}

/* The content has ended. True: trailers follow. */
static bool submit_trailers(struct http2_stream *stream)
{
    nghttp2_nv fields[HTTP2_MAX_LINES];
    size_t count = 0;
    if (!http2_find_fields(buf_str(&stream->out_trailers), true, fields, &count) || count == 0)
        return false;
    return nghttp2_submit_trailer(stream->session->nghttp2, stream->id, fields, count) == 0;
}

ssize_t http2_read_content(nghttp2_session *nghttp2, int32_t id, uint8_t *out, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    const struct http2_session *session = arg;
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(nghttp2, id);
    size_t room = session->out_size - session->out_len - FRAME_HEAD_BYTES;
    (void)source, (void)out;
    if (!stream) { /* its owner wanted no more of it, and has seen to its end */
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return 0;
    }
    size_t count = buf_len(&stream->out) < size ? buf_len(&stream->out) : size;
    count = count < room ? count : room;
    bool is_end = stream->is_last && count == buf_len(&stream->out);
    if (count == 0 && !is_end) {
        stream->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (is_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        stream->has_sent_last = true;
        if (submit_trailers(stream))
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)count;
}

/* Comes right behind the other one, with what that has said. */
int http2_put_content(nghttp2_session *nghttp2, nghttp2_frame *frame, const uint8_t *head,
                      size_t len, nghttp2_data_source *source, void *arg)
{
    struct http2_session *session = arg;
    struct http2_stream *stream =
        nghttp2_session_get_stream_user_data(nghttp2, frame->hd.stream_id);
    char *out = session->out + session->out_len;
    size_t before = buf_len(&stream->out);
    (void)source;
    memcpy(out, head, FRAME_HEAD_BYTES);
    if (len > 0)
        memcpy(out + FRAME_HEAD_BYTES, buf_str(&stream->out).ptr, len);
    session->out_len += FRAME_HEAD_BYTES + len;
    buf_consume(&stream->out, len);
    if (buf_len(&stream->out) == 0 || (before >= LOW_BYTES && buf_len(&stream->out) < LOW_BYTES)) {
        stream->has_drained = true;
        http2_make_ready(stream);
    }
    count_queued(stream);
    return NGHTTP2_ERR_PAUSE; /* for how much room is left to be seen */
}
