/* The session, by a client that is nghttp2's too; what a broken client gets is the integration
 * tests' table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "http/http2.h"

#define MAX_HEAD_BYTES 4096
#define LARGE_HEAD_BYTES 131072
#define MAX_STREAMS 8

struct pair {
    struct http2_session *server;
    nghttp2_session *client;
    struct http2_stream streams[MAX_STREAMS];
    unsigned opened, gone, ended, drained;
    size_t told_bytes;
    char request[4096];
    bool may_violate;
    bool is_sending;
    const char *violation; /* the last one */
    char trailers[64];
    /* What the client has seen. */
    size_t body_bytes;
    char fields[512];
    size_t field_bytes;
    int32_t reset_stream;
    uint32_t reset_code;
    int goaways;
    uint32_t goaway_code;
    /* What it sends. */
    size_t to_send;
};

static void on_request(void *owner, int32_t id, const struct http2_head *head, bool is_last)
{
    struct pair *pair = owner;
    (void)is_last;
    if (pair->opened == MAX_STREAMS) {
        http2_refuse(pair->server, id);
        return;
    }
    assert_int_equal(head->refused_status, 0);
    http2_head_write(head, pair->request);
    pair->request[http2_head_text_bytes(head)] = '\0';
    http2_stream_open(pair->server, &pair->streams[pair->opened++], id);
}

static struct pair *current;

static void on_content(struct http2_stream *stream, const char *bytes, size_t len)
{
    (void)stream, (void)bytes;
    current->told_bytes += len;
}

static void on_request_end(struct http2_stream *stream, struct str trailers)
{
    (void)stream;
    current->ended++;
    memcpy(current->trailers, trailers.ptr ? trailers.ptr : "", trailers.len);
}

static void on_drained(struct http2_stream *stream)
{
    (void)stream;
    current->drained++;
}

static void on_gone(struct http2_stream *stream)
{
    assert_false(current->is_sending);
    current->gone++;
    http2_stream_release(stream);
}

static void on_violation(void *owner, const char *reason, bool is_fatal)
{
    struct pair *pair = owner;
    (void)is_fatal;
    if (!pair->may_violate)
        fail_msg("%s", reason);
    pair->violation = reason;
}

static const struct http2_events events = {
    .on_request = on_request,
    .on_content = on_content,
    .on_request_end = on_request_end,
    .on_drained = on_drained,
    .on_gone = on_gone,
    .on_violation = on_violation,
};

/* --- the client --- */

static int on_client_data(nghttp2_session *client, uint8_t flags, int32_t id, const uint8_t *bytes,
                          size_t len, void *arg)
{
    struct pair *pair = arg;
    (void)client, (void)flags, (void)id, (void)bytes;
    pair->body_bytes += len;
    return 0;
}

static int on_client_header(nghttp2_session *client, const nghttp2_frame *frame,
                            const uint8_t *name, size_t name_len, const uint8_t *value,
                            size_t value_len, uint8_t flags, void *arg)
{
    struct pair *pair = arg;
    size_t len = strlen(pair->fields);
    (void)client, (void)frame, (void)flags;
    pair->field_bytes += name_len + value_len;
    snprintf(pair->fields + len, sizeof(pair->fields) - len, "%.*s=%.*s;", (int)name_len, name,
             (int)value_len, value);
    return 0;
}

static int on_client_frame(nghttp2_session *client, const nghttp2_frame *frame, void *arg)
{
    struct pair *pair = arg;
    (void)client;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        pair->reset_stream = frame->hd.stream_id;
        pair->reset_code = frame->rst_stream.error_code;
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        pair->goaways++;
        pair->goaway_code = frame->goaway.error_code;
    }
    return 0;
}

static ssize_t read_upload(nghttp2_session *client, int32_t id, uint8_t *out, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct pair *pair = arg;
    (void)client, (void)id, (void)source;
    size_t count = pair->to_send < size ? pair->to_send : size;
    memset(out, 'x', count);
    pair->to_send -= count;
    if (pair->to_send == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)count;
}

static int set_up_with(void **state, size_t max_head_bytes)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_client_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_client_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_client_frame);
    nghttp2_session_client_new(&pair->client, callbacks, pair);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(pair->client, NGHTTP2_FLAG_NONE, NULL, 0);
    current = pair;
    *state = pair;
    return http2_session_create(&events, pair, max_head_bytes, 1, &pair->server);
}

static int set_up(void **state)
{
    return set_up_with(state, MAX_HEAD_BYTES);
}

static int set_up_for_large_heads(void **state)
{
    return set_up_with(state, LARGE_HEAD_BYTES);
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    for (unsigned i = 0; i < pair->opened; i++)
        if (list_is_linked(&pair->streams[i].link))
            http2_stream_release(&pair->streams[i]);
    http2_session_destroy(pair->server);
    nghttp2_session_del(pair->client);
    free(pair);
    return 0;
}

/* Carries bytes until nobody has any. */
static void exchange_bytes(struct pair *pair)
{
    char out[20000];
    const uint8_t *bytes;
    ssize_t len;
    size_t sent;
    do {
        while ((len = nghttp2_session_mem_send(pair->client, &bytes)) > 0)
            assert_int_equal(http2_receive(pair->server, (const char *)bytes, (size_t)len, 1), 0);
        http2_tell(pair->server);
        pair->is_sending = true;
        sent = http2_send(pair->server, out, sizeof(out));
        pair->is_sending = false;
        if (sent > 0)
            assert_int_equal(nghttp2_session_mem_recv(pair->client, (uint8_t *)out, sent), sent);
    } while (sent > 0 || nghttp2_session_want_write(pair->client) || http2_has_news(pair->server));
}

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                \
            NGHTTP2_NV_FLAG_NONE                                                                   \
    }

static int32_t ask(struct pair *pair, size_t upload)
{
    const nghttp2_nv fields[] = {FIELD(":method", "POST"), FIELD(":scheme", "http"),
                                 FIELD(":authority", "a"), FIELD(":path", "/p")};
    nghttp2_data_provider content = {.read_callback = read_upload};
    pair->to_send = upload;
    return nghttp2_submit_request(pair->client, NULL, fields, 4, upload ? &content : NULL, NULL);
}

static int answer(struct http2_stream *stream, bool is_last)
{
    char head[] = "HTTP/1.1 200 OK\r\nX-Upper: Value\r\nConnection: close\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n";
    return http2_stream_head(stream, str_make(head, sizeof(head) - 1), false, is_last);
}

/* --- tests --- */

static void a_request_comes_as_a_head_and_its_end(void **state)
{
    struct pair *pair = *state;
    ask(pair, 0);
    exchange_bytes(pair);
    assert_string_equal(pair->request, "POST /p HTTP/2.0\r\nhost: a\r\n\r\n");
    assert_int_equal(http2_stream_count(pair->server), 1);
    assert_true(http2_is_greeted(pair->server));
}

static void a_head_leaves_without_what_is_the_connections(void **state)
{
    struct pair *pair = *state;
    ask(pair, 0);
    exchange_bytes(pair);
    assert_int_equal(answer(&pair->streams[0], true), 0);
    exchange_bytes(pair);
    assert_string_equal(pair->fields, ":status=200;x-upper=Value;");
}

static void content_and_trailers_leave_behind_the_head(void **state)
{
    struct pair *pair = *state;
    const struct str pieces[] = {STR("one"), STR(""), STR("two")};
    ask(pair, 0);
    exchange_bytes(pair);
    struct http2_stream *stream = &pair->streams[0];
    assert_int_equal(answer(stream, false), 0);
    assert_int_equal(http2_stream_content(stream, pieces, 3), 0);
    assert_int_equal(stream->queued, 6);
    exchange_bytes(pair);
    assert_int_equal(stream->queued, 0);
    assert_int_equal(http2_stream_end(stream, STR("X-Sum: 6\r\n")), 0);
    assert_int_equal(stream->queued, 1); /* its end */
    exchange_bytes(pair);
    assert_int_equal(pair->body_bytes, 6);
    assert_string_equal(pair->fields, ":status=200;x-upper=Value;x-sum=6;");
    assert_int_equal(stream->queued, 0);
    assert_int_equal(pair->gone, 0); /* it was told by on_drained */
}

static void frames_fill_what_they_leave_in(void **state)
{
    static char content[50000], out[60000];
    struct pair *pair = *state;
    const struct str piece = str_make(content, sizeof(content));
    ask(pair, 0);
    exchange_bytes(pair);
    struct http2_stream *stream = &pair->streams[0];
    answer(stream, false);
    http2_stream_content(stream, &piece, 1);
    http2_stream_end(stream, STR_EMPTY);
    assert_int_equal(http2_send(pair->server, out, 40000), 40000);
    assert_int_equal(nghttp2_session_mem_recv(pair->client, (uint8_t *)out, 40000), 40000);
    assert_in_range(pair->body_bytes, 39900, 40000);
    assert_int_equal(stream->queued, sizeof(content) - pair->body_bytes + 1);
    exchange_bytes(pair);
    assert_int_equal(pair->body_bytes, sizeof(content));
}

static void what_is_never_the_same_again_takes_no_place_of_other_fields(void **state)
{
    struct pair *pair = *state;
    size_t first = 0;
    for (unsigned i = 0; i < MAX_STREAMS; i++) {
        char head[100];
        int len = snprintf(head, sizeof(head),
                           "HTTP/1.1 200 OK\r\nServer: s\r\nX-Kong-Request-Id: %u\r\n\r\n", i);
        ask(pair, 0);
        exchange_bytes(pair);
        http2_stream_head(&pair->streams[i], str_make(head, (size_t)len), false, true);
        exchange_bytes(pair);
        if (i == 0)
            first = nghttp2_session_get_hd_inflate_dynamic_table_size(pair->client);
    }
    assert_true(first > 0);
    assert_int_equal(nghttp2_session_get_hd_inflate_dynamic_table_size(pair->client), first);
    assert_non_null(strstr(pair->fields, "x-kong-request-id=0;"));
    assert_non_null(strstr(pair->fields, "x-kong-request-id=7;"));
}

static void content_waits_for_who_does_not_read(void **state)
{
    struct pair *pair = *state;
    size_t upload = 4 * HTTP2_STREAM_WINDOW;
    ask(pair, upload);
    exchange_bytes(pair);
    struct http2_stream *stream = &pair->streams[0];
    assert_int_equal(pair->told_bytes, 0);
    assert_int_equal(stream->held, HTTP2_STREAM_WINDOW);
    assert_int_equal(pair->to_send, upload - HTTP2_STREAM_WINDOW);

    http2_stream_read(stream, true);
    exchange_bytes(pair);
    assert_int_equal(pair->told_bytes, upload);
    assert_int_equal(stream->held, 0);
    assert_int_equal(pair->ended, 1);
}

static void the_end_of_a_request_waits_for_its_content(void **state)
{
    struct pair *pair = *state;
    ask(pair, 1000);
    exchange_bytes(pair);
    assert_int_equal(pair->ended, 0);
    http2_stream_read(&pair->streams[0], true);
    exchange_bytes(pair);
    assert_int_equal(pair->ended, 1);
    assert_int_equal(pair->told_bytes, 1000);
}

static void what_a_released_stream_held_opens_the_connection_again(void **state)
{
    struct pair *pair = *state;
    for (unsigned i = 0; i < 6; i++) { /* more than the connection's window, one by one */
        ask(pair, HTTP2_STREAM_WINDOW);
        exchange_bytes(pair);
        struct http2_stream *stream = &pair->streams[i];
        assert_int_equal(stream->held, HTTP2_STREAM_WINDOW);
        http2_stream_reset(stream, HTTP2_CANCEL);
        http2_stream_release(stream);
        exchange_bytes(pair);
    }
    assert_int_equal(pair->reset_code, HTTP2_CANCEL);
}

static void a_client_that_resets_is_gone(void **state)
{
    struct pair *pair = *state;
    int32_t id = ask(pair, 0);
    exchange_bytes(pair);
    nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    exchange_bytes(pair);
    assert_int_equal(pair->gone, 1);
    assert_int_equal(http2_stream_count(pair->server), 0);
}

static void a_body_of_another_length_is_told_when_its_reset_has_been_written(void **state)
{
    struct pair *pair = *state;
    const nghttp2_nv fields[] = {FIELD(":method", "POST"), FIELD(":scheme", "http"),
                                 FIELD(":authority", "a"), FIELD(":path", "/p"),
                                 FIELD("content-length", "5")};
    nghttp2_data_provider content = {.read_callback = read_upload};
    pair->may_violate = true;
    pair->to_send = 3;
    nghttp2_submit_request(pair->client, NULL, fields, 5, &content, NULL);
    exchange_bytes(pair);
    assert_int_equal(pair->opened, 1);
    assert_int_equal(pair->gone, 1);
    assert_int_equal(pair->reset_code, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(http2_stream_count(pair->server), 0);
}

static void an_early_answer_tells_to_stop_sending(void **state)
{
    struct pair *pair = *state;
    int32_t id = ask(pair, 4 * HTTP2_STREAM_WINDOW);
    exchange_bytes(pair);
    answer(&pair->streams[0], true);
    http2_stream_release(&pair->streams[0]);
    exchange_bytes(pair);
    assert_int_equal(pair->reset_stream, id);
    assert_int_equal(pair->reset_code, HTTP2_NO_ERROR);
}

static void who_takes_leave_serves_what_was_sent_before(void **state)
{
    struct pair *pair = *state;
    ask(pair, 0);
    exchange_bytes(pair);
    assert_false(http2_is_goaway_known(pair->server));
    http2_announce_goaway(pair->server);
    exchange_bytes(pair);
    assert_true(http2_is_goaway_known(pair->server));
    assert_int_equal(pair->goaways, 1);
    http2_goaway(pair->server);
    exchange_bytes(pair);
    assert_int_equal(pair->goaways, 2);
    assert_false(http2_is_over(pair->server));
    answer(&pair->streams[0], true);
    exchange_bytes(pair);
    assert_true(http2_is_over(pair->server));
    assert_int_equal(pair->goaway_code, HTTP2_NO_ERROR);
}

static void nothing_can_be_written_to_a_stream_that_is_closed(void **state)
{
    struct pair *pair = *state;
    const struct str piece = STR("late");
    ask(pair, 0);
    exchange_bytes(pair);
    struct http2_stream *stream = &pair->streams[0];
    stream->is_closed = true;
    assert_true(answer(stream, false) < 0);
    assert_true(http2_stream_content(stream, &piece, 1) < 0);
    assert_true(http2_stream_end(stream, STR_EMPTY) < 0);
    stream->is_closed = false;
}

static void a_session_that_rests_within_a_head_loses_nothing_of_it(void **state)
{
    struct pair *pair = *state;
    char path[3001], expected[sizeof(pair->request)];
    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    const nghttp2_nv fields[] = {FIELD(":method", "GET"), FIELD(":scheme", "http"),
                                 FIELD(":path", path), FIELD(":authority", "a"),
                                 FIELD("x-late", "the part that comes late")};
    exchange_bytes(pair);
    nghttp2_submit_request(pair->client, NULL, fields, 5, NULL, NULL);
    const uint8_t *bytes;
    ssize_t len = nghttp2_session_mem_send(pair->client, &bytes);
    assert_true(len > 1000);
    size_t first = (size_t)len - 10;
    assert_int_equal(http2_receive(pair->server, (const char *)bytes, first, 1), 0);
    assert_true(http2_is_within_head(pair->server));
    http2_rest(pair->server);
    assert_int_equal(http2_receive(pair->server, (const char *)bytes + first, 10, 1), 0);
    snprintf(expected, sizeof(expected),
             "GET %s HTTP/2.0\r\nhost: a\r\nx-late: the part that comes late\r\n\r\n", path);
    assert_string_equal(pair->request, expected);
}

/* Whole lines of a thousand bytes, and what is in front of them. */
static int answer_with_lines(struct http2_stream *stream, unsigned count)
{
    static char head[LARGE_HEAD_BYTES];
    size_t len = (size_t)sprintf(head, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < count; i++)
        len += (size_t)sprintf(head + len, "x-%03u: %0993u\r\n", i, i);
    len += (size_t)sprintf(head + len, "\r\n");
    return http2_stream_head(stream, str_make(head, len), false, true);
}

static void a_head_beyond_64_kib_leaves_whole_where_such_heads_are_taken(void **state)
{
    struct pair *pair = *state;
    ask(pair, 0);
    exchange_bytes(pair);
    assert_int_equal(answer_with_lines(&pair->streams[0], 90), 0);
    exchange_bytes(pair);
    assert_int_equal(pair->field_bytes, sizeof(":status200") - 1 + 90 * (5 + 993));
    assert_int_equal(pair->reset_stream, 0);
}

static void a_head_that_is_too_large_to_leave_resets_its_stream(void **state)
{
    struct pair *pair = *state;
    int32_t id = ask(pair, 0);
    exchange_bytes(pair);
    assert_int_equal(answer_with_lines(&pair->streams[0], 80), 0);
    exchange_bytes(pair);
    assert_int_equal(pair->field_bytes, 0);
    assert_int_equal(pair->reset_stream, id);
    assert_int_equal(pair->reset_code, HTTP2_INTERNAL_ERROR);
    assert_int_equal(pair->gone, 1);
}

static void a_client_that_makes_too_many_answers_wait_is_let_go(void **state)
{
    struct pair *pair = *state;
    char request[] = {0, 0,      6,      NGHTTP2_HEADERS, 5,    0, 0,  0,
                      0, '\x82', '\x86', '\x84',          0x41, 1, 'a'};
    char goaway[HTTP2_GOAWAY_BYTES];
    int rc = 0;
    unsigned count = 0;
    const uint8_t *bytes;
    ssize_t len;
    pair->may_violate = true;
    while ((len = nghttp2_session_mem_send(pair->client, &bytes)) > 0) /* it reads nothing itself */
        assert_int_equal(http2_receive(pair->server, (const char *)bytes, (size_t)len, 1), 0);
    for (; rc == 0 && count < 10000; count++) {
        unsigned id = 2 * count + 1;
        request[7] = (char)(id >> 8);
        request[8] = (char)id;
        rc = http2_receive(pair->server, request, sizeof(request), 1);
    }
    assert_true(rc < 0);
    assert_string_equal(pair->violation, "too many answers wait");
    assert_in_range(count, 2000, 3000);
    http2_write_goaway(pair->server, goaway);
    assert_int_equal(goaway[HTTP2_GOAWAY_BYTES - 1], HTTP2_ENHANCE_YOUR_CALM);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(a_request_comes_as_a_head_and_its_end),
        PAIR_TEST(a_head_leaves_without_what_is_the_connections),
        PAIR_TEST(content_and_trailers_leave_behind_the_head),
        PAIR_TEST(frames_fill_what_they_leave_in),
        PAIR_TEST(what_is_never_the_same_again_takes_no_place_of_other_fields),
        PAIR_TEST(content_waits_for_who_does_not_read),
        PAIR_TEST(the_end_of_a_request_waits_for_its_content),
        PAIR_TEST(what_a_released_stream_held_opens_the_connection_again),
        PAIR_TEST(a_client_that_resets_is_gone),
        PAIR_TEST(a_body_of_another_length_is_told_when_its_reset_has_been_written),
        PAIR_TEST(an_early_answer_tells_to_stop_sending),
        PAIR_TEST(who_takes_leave_serves_what_was_sent_before),
        PAIR_TEST(nothing_can_be_written_to_a_stream_that_is_closed),
        PAIR_TEST(a_session_that_rests_within_a_head_loses_nothing_of_it),
        cmocka_unit_test_setup_teardown(
            a_head_beyond_64_kib_leaves_whole_where_such_heads_are_taken, set_up_for_large_heads,
            tear_down),
        PAIR_TEST(a_head_that_is_too_large_to_leave_resets_its_stream),
        PAIR_TEST(a_client_that_makes_too_many_answers_wait_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
