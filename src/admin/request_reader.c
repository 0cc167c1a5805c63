#include "admin/request_reader.h"

#include "admin/answer.h"

#define MAX_HEAD_BYTES ((size_t)16 << 10)
#define MAX_RECORD_BYTES ((size_t)17 << 10)
#define MAX_IN_BYTES (MAX_HEAD_BYTES + REQUEST_READER_READ_BYTES + MAX_RECORD_BYTES)
#define BODY_PIECES 16

/* ---- bytes ---- */

void request_reader_init(struct request_reader *reader, size_t max_body_bytes)
{
    reader->max_body_bytes = max_body_bytes;
    buf_init(&reader->in, MAX_IN_BYTES);
    buf_init(&reader->body, max_body_bytes);
    arena_init(&reader->arena, 2048, 2 * MAX_HEAD_BYTES);
}

void request_reader_deinit(struct request_reader *reader)
{
    buf_deinit(&reader->in);
    buf_deinit(&reader->body);
    arena_deinit(&reader->arena);
}

int request_reader_add(struct request_reader *reader, const char *bytes, size_t len)
{
    return buf_append(&reader->in, bytes, len);
}

void request_reader_drop(struct request_reader *reader)
{
    buf_clear(&reader->in);
}

void request_reader_trim(struct request_reader *reader)
{
    buf_deinit(&reader->body);
    buf_init(&reader->body, reader->max_body_bytes);
    if (buf_len(&reader->in) == 0) {
        buf_deinit(&reader->in);
        buf_init(&reader->in, MAX_IN_BYTES);
    }
}

/* ---- head ---- */

void request_reader_begin(struct request_reader *reader)
{
    http1_begin_request(&reader->parser, &reader->head, MAX_HEAD_BYTES);
    buf_clear(&reader->body);
    reader->kept.origin = reader->kept.wanted_headers = reader->kept.content_type = STR_EMPTY;
    reader->kept.last_event_id = STR_EMPTY;
    reader->kept.authorization = reader->kept.kong_admin_token = STR_EMPTY;
}

/* The value of a field that weir gives no number; empty when absent or longer than anything
 * that is of use. */
static struct str echoed_field(struct request_reader *reader, struct str name)
{
    for (unsigned i = 0; i < reader->head.field_count; i++) {
        const struct http_field *field = &reader->head.fields[i];
        if (str_equal_nocase(http_field_name(&reader->head, field), name) &&
            field->value_len <= ANSWER_MAX_ECHOED_BYTES)
            return arena_copy(&reader->arena, http_field_value(&reader->head, field));
    }
    return STR_EMPTY;
}

/* Copies what is needed of the head: its bytes go. */
static void keep_fields(struct request_reader *reader)
{
    const struct http_head *head = &reader->head;
    arena_reset(&reader->arena);
    reader->kept.origin = echoed_field(reader, STR("origin"));
    reader->kept.wanted_headers = echoed_field(reader, STR("access-control-request-headers"));
    reader->kept.last_event_id = echoed_field(reader, STR("last-event-id"));
    reader->kept.authorization = echoed_field(reader, STR("authorization"));
    reader->kept.kong_admin_token = echoed_field(reader, STR("kong-admin-token"));
    const struct http_field *type = http_head_find(head, HEADER_CONTENT_TYPE);
    reader->kept.content_type =
        type ? arena_copy(&reader->arena, http_field_value(head, type)) : STR_EMPTY;
}

enum http1_result request_reader_read_head(struct request_reader *reader, int *ret_status)
{
    enum http1_result result =
        http1_read_head(&reader->parser, buf_str(&reader->in).ptr, buf_len(&reader->in));
    if (result == HTTP1_REFUSED)
        *ret_status = reader->parser.refused_status;
    else if (result == HTTP1_DONE)
        keep_fields(reader);
    return result;
}

void request_reader_end_head(struct request_reader *reader)
{
    buf_consume(&reader->in, reader->head.len);
}

/* ---- body ---- */

bool request_reader_is_too_long(const struct request_reader *reader)
{
    return reader->head.framing == HTTP_BY_LENGTH &&
           reader->head.content_length > reader->max_body_bytes;
}

bool request_reader_is_waited_for(const struct request_reader *reader)
{
    return reader->head.expects_continue && buf_len(&reader->body) == 0;
}

int request_reader_read_body(struct request_reader *reader)
{
    while (!http1_body_is_done(&reader->parser) && buf_len(&reader->in) > 0) {
        struct str pieces[BODY_PIECES];
        struct str bytes = buf_str(&reader->in);
        size_t taken;
        unsigned count;
        enum http1_result result = http1_read_body(&reader->parser, bytes.ptr, bytes.len, &taken,
                                                   pieces, BODY_PIECES, &count);
        if (result == HTTP1_REFUSED)
            return reader->parser.refused_status;
        for (unsigned i = 0; i < count; i++) {
            int rc = buf_append(&reader->body, pieces[i].ptr, pieces[i].len);
            if (rc != 0)
                return rc == UV_ENOBUFS ? 413 : 500;
        }
        buf_consume(&reader->in, taken);
        if (taken == 0)
            break;
    }
    return 0;
}

struct str request_reader_body(const struct request_reader *reader)
{
    return buf_len(&reader->body) > 0 ? buf_str(&reader->body) : STR_EMPTY;
}
