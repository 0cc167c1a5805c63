/* A client's session, against a server that is nghttp2's too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include <uv.h> /* error codes only */

#include "http/http2_client.h"

#define MAX_HEAD_BYTES 4096
#define OUR_STREAMS 4

struct pair {
    struct http2_session *client;
    nghttp2_session *server;
    struct http2_stream streams[8];
    unsigned opened;
    /* What our side was told. */
    unsigned heads, interims, ends, gone;
    bool was_all_head;
    char head[4096];
    uint16_t refused;
    size_t told_bytes;
    char trailers[128];
    bool releases_at_end;
    bool may_violate;
    bool is_sending;
    /* What the server has seen. */
    char fields[2048];
    size_t body_bytes;
    int resets;
    uint32_t reset_code;
    int ends_seen;
    size_t to_send;
};

static struct pair *current;

static void on_response(struct http2_stream *stream, const struct http2_head *head, bool is_last)
{
    (void)stream;
    current->refused = head->refused_status;
    current->was_all_head = is_last;
    if (head->refused_status)
        return;
    http2_head_write(head, current->head);
    current->head[http2_head_text_bytes(head)] = '\0';
    if (head->status < 200)
        current->interims++;
    else
        current->heads++;
}

static void on_content(struct http2_stream *stream, const char *bytes, size_t len)
{
    (void)stream, (void)bytes;
    current->told_bytes += len;
}

static void on_end(struct http2_stream *stream, struct str trailers)
{
    current->ends++;
    snprintf(current->trailers, sizeof(current->trailers), "%.*s", STR_ARG(trailers));
    if (current->releases_at_end)
        http2_stream_release(stream);
}

static void on_drained(struct http2_stream *stream)
{
    (void)stream;
}

static void on_gone(struct http2_stream *stream)
{
    (void)stream;
    assert_false(current->is_sending);
    current->gone++;
}

static void on_violation(void *owner, const char *reason, bool is_fatal)
{
    struct pair *pair = owner;
    (void)is_fatal;
    if (!pair->may_violate)
        fail_msg("%s", reason);
}

static const struct http2_events events = {
    .on_response = on_response,
    .on_content = on_content,
    .on_request_end = on_end,
    .on_drained = on_drained,
    .on_gone = on_gone,
    .on_violation = on_violation,
};

/* --- the server --- */

static int on_server_header(nghttp2_session *server, const nghttp2_frame *frame,
                            const uint8_t *name, size_t name_len, const uint8_t *value,
                            size_t value_len, uint8_t flags, void *arg)
{
    struct pair *pair = arg;
    size_t len = strlen(pair->fields);
    (void)server, (void)frame, (void)flags;
    snprintf(pair->fields + len, sizeof(pair->fields) - len, "%.*s=%.*s;", (int)name_len, name,
             (int)value_len, value);
    return 0;
}

static int on_server_frame(nghttp2_session *server, const nghttp2_frame *frame, void *arg)
{
    struct pair *pair = arg;
    (void)server;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        pair->resets++;
        pair->reset_code = frame->rst_stream.error_code;
    }
    bool has_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    pair->ends_seen += has_end && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    return 0;
}

static int on_server_data(nghttp2_session *server, uint8_t flags, int32_t id, const uint8_t *bytes,
                          size_t len, void *arg)
{
    struct pair *pair = arg;
    (void)server, (void)flags, (void)id, (void)bytes;
    pair->body_bytes += len;
    return 0;
}

static int set_up(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_server_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_server_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_server_frame);
    nghttp2_option *options;
    nghttp2_option_new(&options);
    nghttp2_option_set_max_send_header_block_length(options, 1024UL * 1024);
    nghttp2_session_server_new2(&pair->server, callbacks, pair, options);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(pair->server, NGHTTP2_FLAG_NONE, NULL, 0);
    current = pair;
    *state = pair;
    return http2_client_create(&events, pair, MAX_HEAD_BYTES, OUR_STREAMS, 1, &pair->client);
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    for (unsigned i = 0; i < pair->opened; i++)
        if (list_is_linked(&pair->streams[i].link))
            http2_stream_release(&pair->streams[i]);
    http2_session_destroy(pair->client);
    nghttp2_session_del(pair->server);
    free(pair);
    return 0;
}

static void limit_streams(struct pair *pair, uint32_t count)
{
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, count};
    nghttp2_submit_settings(pair->server, NGHTTP2_FLAG_NONE, &entry, 1);
}

/* Carries bytes until nobody has any. */
static void exchange_bytes(struct pair *pair)
{
    char out[20000];
    const uint8_t *bytes;
    ssize_t len;
    size_t sent;
    do {
        while ((len = nghttp2_session_mem_send(pair->server, &bytes)) > 0)
            assert_int_equal(http2_receive(pair->client, (const char *)bytes, (size_t)len, 1), 0);
        http2_tell(pair->client);
        pair->is_sending = true;
        sent = http2_send(pair->client, out, sizeof(out));
        pair->is_sending = false;
        if (sent > 0)
            assert_int_equal(nghttp2_session_mem_recv(pair->server, (uint8_t *)out, sent), sent);
    } while (sent > 0 || nghttp2_session_want_write(pair->server) || http2_has_news(pair->client));
}

static struct http2_stream *ask(struct pair *pair, bool is_last)
{
    char head[] = "POST /p HTTP/1.1\r\nHost: a:1\r\nX-Upper: Value\r\nTE: trailers\r\n"
                  "Connection: keep-alive, TE\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct http2_stream *stream = &pair->streams[pair->opened++];
    assert_int_equal(
        http2_client_open(pair->client, stream, str_make(head, sizeof(head) - 1), false, is_last),
        0);
    return stream;
}

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                \
            NGHTTP2_NV_FLAG_NONE                                                                   \
    }

static ssize_t read_body(nghttp2_session *server, int32_t id, uint8_t *out, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct pair *pair = arg;
    (void)id;
    size_t count = pair->to_send < size ? pair->to_send : size;
    memset(out, 'x', count);
    pair->to_send -= count;
    if (pair->to_send > 0)
        return (ssize_t)count;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (source->ptr) {
        const nghttp2_nv trailers[] = {FIELD("grpc-status", "0"), FIELD("age", "1")};
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(server, id, trailers, 2);
    }
    return (ssize_t)count;
}

static void answer(struct pair *pair, const struct http2_stream *stream, size_t bytes,
                   bool has_trailers)
{
    const nghttp2_nv fields[] = {FIELD(":status", "200"), FIELD("x-one", "two")};
    nghttp2_data_provider content = {.read_callback = read_body,
                                     .source = {.ptr = has_trailers ? pair : NULL}};
    pair->to_send = bytes;
    nghttp2_submit_response(pair->server, stream->id, fields, 2, bytes ? &content : NULL);
}

/* --- tests --- */

static void a_head_leaves_with_pseudo_fields_in_front(void **state)
{
    struct pair *pair = *state;
    ask(pair, true);
    exchange_bytes(pair);
    assert_string_equal(pair->fields, ":method=POST;:scheme=http;:path=/p;:authority=a:1;"
                                      "x-upper=Value;te=trailers;");
    assert_int_equal(pair->ends_seen, 1);
}

static void content_flows_before_and_after_the_response_begins(void **state)
{
    struct pair *pair = *state;
    const struct str piece = STR("some");
    struct http2_stream *stream = ask(pair, false);
    http2_stream_content(stream, &piece, 1);
    exchange_bytes(pair);
    assert_int_equal(pair->body_bytes, 4);
    answer(pair, stream, 10, true);
    exchange_bytes(pair);
    assert_string_equal(pair->head, "HTTP/2.0 200 \r\nx-one: two\r\n\r\n");
    assert_int_equal(pair->told_bytes, 10);
    assert_int_equal(pair->ends, 1);
    assert_string_equal(pair->trailers, "grpc-status: 0\r\n"); /* an age has no place there */
    http2_stream_content(stream, &piece, 1);
    http2_stream_end(stream, STR("X-Sum: 8\r\n"));
    exchange_bytes(pair);
    assert_int_equal(pair->body_bytes, 8);
    assert_int_equal(pair->ends_seen, 1);
    assert_non_null(strstr(pair->fields, "x-sum=8;"));
    assert_int_equal(pair->gone, 0);
}

static void a_response_may_be_all_head(void **state)
{
    struct pair *pair = *state;
    struct http2_stream *stream = ask(pair, true);
    exchange_bytes(pair);
    answer(pair, stream, 0, false);
    exchange_bytes(pair);
    assert_true(pair->was_all_head);
    assert_int_equal(pair->gone + pair->ends, 0);
}

static void interim_heads_come_before_the_final_one(void **state)
{
    struct pair *pair = *state;
    const nghttp2_nv early[] = {FIELD(":status", "103"), FIELD("link", "x")};
    struct http2_stream *stream = ask(pair, true);
    exchange_bytes(pair);
    nghttp2_submit_headers(pair->server, NGHTTP2_FLAG_NONE, stream->id, NULL, early, 2, NULL);
    answer(pair, stream, 3, false);
    exchange_bytes(pair);
    assert_int_equal(pair->interims, 1);
    assert_int_equal(pair->heads, 1);
    assert_int_equal(pair->told_bytes, 3);
}

static void what_nobody_reads_is_held_and_told_even_after_its_stream_closed(void **state)
{
    struct pair *pair = *state;
    struct http2_stream *stream = ask(pair, true);
    http2_stream_read(stream, false);
    exchange_bytes(pair);
    answer(pair, stream, HTTP2_CLIENT_STREAM_WINDOW, true);
    exchange_bytes(pair);
    assert_int_equal(stream->held, HTTP2_CLIENT_STREAM_WINDOW);
    assert_true(stream->is_closed);
    assert_int_equal(pair->gone, 0);
    http2_stream_read(stream, true);
    exchange_bytes(pair);
    assert_int_equal(pair->told_bytes, HTTP2_CLIENT_STREAM_WINDOW);
    assert_int_equal(pair->ends, 1);
    assert_string_equal(pair->trailers, "grpc-status: 0\r\n");
}

static void a_response_that_is_not_read_holds_up_no_other(void **state)
{
    struct pair *pair = *state;
    for (unsigned i = 0; i < OUR_STREAMS; i++) {
        struct http2_stream *stream = ask(pair, true);
        http2_stream_read(stream, i == OUR_STREAMS - 1);
        exchange_bytes(pair);
        pair->to_send = 0;
        answer(pair, stream, 2 * HTTP2_CLIENT_STREAM_WINDOW, false);
        exchange_bytes(pair);
    }
    assert_int_equal(pair->told_bytes, 2 * HTTP2_CLIENT_STREAM_WINDOW);
}

static void a_limit_that_a_refusal_has_set_grows_again(void **state)
{
    struct pair *pair = *state;
    struct http2_stream *streams[3];
    for (unsigned i = 0; i < 3; i++)
        streams[i] = ask(pair, true);
    exchange_bytes(pair);
    nghttp2_submit_rst_stream(pair->server, NGHTTP2_FLAG_NONE, streams[2]->id,
                              NGHTTP2_REFUSED_STREAM);
    exchange_bytes(pair);
    assert_true(streams[2]->is_refused);
    http2_client_lower_limit(pair->client);
    http2_stream_release(streams[2]);
    assert_false(http2_client_has_room(pair->client)); /* two are as many as it takes */
    answer(pair, streams[0], 0, false);
    exchange_bytes(pair);
    http2_stream_release(streams[0]);
    ask(pair, true);
    assert_true(http2_client_has_room(pair->client)); /* three */
    ask(pair, true);
    assert_false(http2_client_has_room(pair->client));
}

static void the_last_stream_being_refused_leaves_room_for_one(void **state)
{
    struct pair *pair = *state;
    struct http2_stream *stream = ask(pair, true);
    exchange_bytes(pair);
    http2_client_lower_limit(pair->client);
    assert_false(http2_client_has_room(pair->client));
    http2_stream_release(stream);
    assert_true(http2_client_has_room(pair->client));
}

static void what_the_server_breaks_is_told_from_what_it_resets(void **state)
{
    struct pair *pair = *state;
    const nghttp2_nv bad[] = {FIELD(":status", "200"), FIELD("content-length", "x")};
    struct http2_stream *broken = ask(pair, true);
    struct http2_stream *reset = ask(pair, true);
    exchange_bytes(pair);
    pair->may_violate = true;
    nghttp2_submit_headers(pair->server, NGHTTP2_FLAG_NONE, broken->id, NULL, bad, 2, NULL);
    nghttp2_submit_rst_stream(pair->server, NGHTTP2_FLAG_NONE, reset->id, NGHTTP2_PROTOCOL_ERROR);
    exchange_bytes(pair);
    assert_int_equal(pair->gone, 2);
    assert_true(broken->is_broken);
    assert_false(reset->is_broken);
}

static void a_release_at_the_end_resets_nothing(void **state)
{
    struct pair *pair = *state;
    pair->releases_at_end = true;
    for (int i = 0; i < 3; i++) {
        struct http2_stream *stream = ask(pair, true);
        exchange_bytes(pair);
        answer(pair, stream, 5, true);
        exchange_bytes(pair);
    }
    assert_int_equal(pair->ends, 3);
    assert_int_equal(pair->resets, 0);
    assert_int_equal(http2_stream_count(pair->client), 0);
}

static void a_request_that_was_released_before_it_left_is_never_heard_of(void **state)
{
    struct pair *pair = *state;
    limit_streams(pair, 1);
    exchange_bytes(pair);
    struct http2_stream *first = ask(pair, true), *second = ask(pair, true);
    http2_stream_reset(second, HTTP2_CANCEL);
    http2_stream_release(second);
    exchange_bytes(pair);
    answer(pair, first, 0, false);
    exchange_bytes(pair);
    assert_int_equal(pair->heads, 1);
    assert_int_equal(pair->ends_seen, 1);
}

static void there_is_room_for_as_many_as_both_sides_want(void **state)
{
    struct pair *pair = *state;
    for (unsigned i = 0; i < OUR_STREAMS; i++) {
        assert_true(http2_client_has_room(pair->client));
        ask(pair, true);
    }
    assert_false(http2_client_has_room(pair->client));
    http2_stream_release(&pair->streams[0]);
    assert_true(http2_client_has_room(pair->client));
    limit_streams(pair, OUR_STREAMS - 1);
    exchange_bytes(pair);
    assert_false(http2_client_has_room(pair->client));
}

static void a_refused_stream_is_known_as_one_and_another_reset_is_not(void **state)
{
    struct pair *pair = *state;
    struct http2_stream *first = ask(pair, true), *second = ask(pair, true);
    exchange_bytes(pair);
    nghttp2_submit_rst_stream(pair->server, NGHTTP2_FLAG_NONE, first->id, NGHTTP2_REFUSED_STREAM);
    nghttp2_submit_rst_stream(pair->server, NGHTTP2_FLAG_NONE, second->id, NGHTTP2_INTERNAL_ERROR);
    exchange_bytes(pair);
    assert_int_equal(pair->gone, 2);
    assert_true(first->is_refused);
    assert_false(second->is_refused);
    assert_int_equal(second->error_code, NGHTTP2_INTERNAL_ERROR);
}

static void a_goaway_refuses_what_is_above_it_and_leaves_the_rest(void **state)
{
    struct pair *pair = *state;
    struct http2_stream *first = ask(pair, true), *second = ask(pair, true);
    exchange_bytes(pair);
    nghttp2_submit_goaway(pair->server, NGHTTP2_FLAG_NONE, first->id, NGHTTP2_NO_ERROR, NULL, 0);
    exchange_bytes(pair);
    assert_true(http2_client_is_leaving(pair->client));
    assert_false(http2_client_has_room(pair->client));
    assert_int_equal(pair->gone, 1);
    assert_true(second->is_refused);
    answer(pair, first, 7, false);
    exchange_bytes(pair);
    assert_int_equal(pair->told_bytes, 7);
    assert_int_equal(pair->ends, 1);
}

static void a_reset_without_an_error_behind_a_whole_response_is_no_loss(void **state)
{
    struct pair *pair = *state;
    struct http2_stream *stream = ask(pair, false);
    exchange_bytes(pair);
    answer(pair, stream, 5, false);
    exchange_bytes(pair);
    nghttp2_submit_rst_stream(pair->server, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    exchange_bytes(pair);
    assert_int_equal(pair->ends, 1);
    assert_int_equal(pair->gone, 0);
    assert_int_equal(http2_stream_end(stream, STR_EMPTY), UV_EPIPE);
}

static void a_head_over_the_limit_is_refused(void **state)
{
    struct pair *pair = *state;
    static uint8_t value[MAX_HEAD_BYTES];
    memset(value, 'x', sizeof(value));
    const nghttp2_nv fields[] = {FIELD(":status", "200"),
                                 {(uint8_t *)"a", value, 1, sizeof(value), NGHTTP2_NV_FLAG_NONE}};
    struct http2_stream *stream = ask(pair, true);
    exchange_bytes(pair);
    nghttp2_submit_response(pair->server, stream->id, fields, 2, NULL);
    exchange_bytes(pair);
    assert_int_equal(pair->refused, 431);
}

static void a_head_far_over_the_limit_leaves_the_connection_alone(void **state)
{
    struct pair *pair = *state;
    static uint8_t value[15000];
    nghttp2_nv fields[31] = {FIELD(":status", "200")};
    memset(value, 'x', sizeof(value));
    for (int i = 1; i < 31; i++) /* more than 8 CONTINUATION frames, too */
        fields[i] = (nghttp2_nv){(uint8_t *)"a", value, 1, sizeof(value), NGHTTP2_NV_FLAG_NO_INDEX};
    struct http2_stream *stream = ask(pair, true), *other = ask(pair, true);
    exchange_bytes(pair);
    nghttp2_submit_response(pair->server, stream->id, fields, 31, NULL);
    exchange_bytes(pair);
    assert_int_equal(pair->refused, 431);
    answer(pair, other, 0, false);
    exchange_bytes(pair);
    assert_int_equal(pair->heads, 1);
    assert_false(http2_client_is_leaving(pair->client));
}

static void a_malformed_response_is_told_when_its_reset_has_been_written(void **state)
{
    struct pair *pair = *state;
    const nghttp2_nv fields[] = {FIELD(":status", "200"), FIELD("connection", "close")};
    pair->may_violate = true;
    struct http2_stream *stream = ask(pair, true);
    exchange_bytes(pair);
    nghttp2_submit_ping(pair->server, NGHTTP2_FLAG_NONE, NULL);
    nghttp2_submit_response(pair->server, stream->id, fields, 2, NULL);
    exchange_bytes(pair);
    assert_int_equal(pair->gone, 1);
    assert_int_equal(pair->resets, 1);
    assert_int_equal(pair->reset_code, NGHTTP2_PROTOCOL_ERROR);
}

static void a_flood_of_pings_ends_the_connection(void **state)
{
    struct pair *pair = *state;
    pair->may_violate = true;
    exchange_bytes(pair);
    for (int i = 0; i < 250; i++)
        nghttp2_submit_ping(pair->server, NGHTTP2_FLAG_NONE, NULL);
    exchange_bytes(pair);
    assert_true(http2_client_is_leaving(pair->client));
    assert_true(http2_is_over(pair->client));
}

int main(void)
{
#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PAIR_TEST(a_head_leaves_with_pseudo_fields_in_front),
        PAIR_TEST(content_flows_before_and_after_the_response_begins),
        PAIR_TEST(a_response_may_be_all_head),
        PAIR_TEST(interim_heads_come_before_the_final_one),
        PAIR_TEST(what_nobody_reads_is_held_and_told_even_after_its_stream_closed),
        PAIR_TEST(a_response_that_is_not_read_holds_up_no_other),
        PAIR_TEST(a_limit_that_a_refusal_has_set_grows_again),
        PAIR_TEST(the_last_stream_being_refused_leaves_room_for_one),
        PAIR_TEST(what_the_server_breaks_is_told_from_what_it_resets),
        PAIR_TEST(a_release_at_the_end_resets_nothing),
        PAIR_TEST(a_request_that_was_released_before_it_left_is_never_heard_of),
        PAIR_TEST(there_is_room_for_as_many_as_both_sides_want),
        PAIR_TEST(a_refused_stream_is_known_as_one_and_another_reset_is_not),
        PAIR_TEST(a_goaway_refuses_what_is_above_it_and_leaves_the_rest),
        PAIR_TEST(a_reset_without_an_error_behind_a_whole_response_is_no_loss),
        PAIR_TEST(a_head_over_the_limit_is_refused),
        PAIR_TEST(a_head_far_over_the_limit_leaves_the_connection_alone),
        PAIR_TEST(a_malformed_response_is_told_when_its_reset_has_been_written),
        PAIR_TEST(a_flood_of_pings_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
