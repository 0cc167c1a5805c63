#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/http/feed.h"

/* A chunked body behind the head below, and what must become of it. */
struct chunked_case {
    const char *bytes;
    const char *outcome;
};

#define POST_HEAD "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define POST_OUTCOME "POST / 1.1 chunked keep host=a hop=Transfer-Encoding body="

static const struct chunked_case good[] = {
    {"0\r\n\r\n", ""},
    {"0\r\n\r\nmore", " rest=4"},
    {"5\r\nhello\r\n0\r\n\r\n", "hello"},
    {"5\r\nhello\r\n6\r\n\r\nyou!\r\n0\r\n\r\n", "hello\r\nyou!"},
    {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
    {"0000000000000001\r\nx\r\n00\r\n\r\n", "x"},
    {"1;a\r\nx\r\n0;b=c\r\n\r\n", "x"},
    {"1;a=\"q\\\"\";b\r\nx\r\n0\r\n\r\n", "x"},
    {"1 ;a\r\nx\r\n0 \t;b\r\n\r\n", "x"},
    {"1\r\nx\r\n", "x more"},
    {"1", " more"},
    {"5\r\nhel", "hel more"},
    {"0\r\n", " more"},
    {"0\r\nA: b\r\n", " trailers=A: b\r\n more"},
    /* trailers */
    {"0\r\nX-Sum: 1\r\n\r\n", " trailers=X-Sum: 1\r\n"},
    {"0\r\nX-Sum:1\r\nY:\r\nZ:  \t\r\nV: a\tb \r\n\r\nrest",
     " trailers=X-Sum: 1\r\nY:\r\nZ:\r\nV: a\tb\r\n rest=4"},
    {"0\r\nContent-Length: 5\r\nX: 1\r\n\r\n", " trailers=X: 1\r\n"},
    {"0\r\nX-Consumer-ID: 1\r\nx_consumer_groups: a\r\nX: 1\r\n\r\n", " trailers=X: 1\r\n"},
    {"0\r\nX-Credential_Identifier: 1\r\nX-Anonymous-Consumer: true\r\nX-Consumer: 1\r\n\r\n",
     " trailers=X-Consumer: 1\r\n"},
    {"0\r\nX: 1\r\ntransfer-encoding: chunked\r\nHost: evil\r\nY: 2\r\n\r\n",
     " trailers=X: 1\r\nY: 2\r\n"},
    {"0\r\nConnection: close\r\nTE: x\r\nTrailer: y\r\nUpgrade: z\r\nKeep-Alive: 1\r\n\r\n", ""},
    {"0\r\nAuthorization: x\r\nSet-Cookie: y\r\nX-Forwarded-For: z\r\nVIA: z\r\n\r\n", ""},
    {"0\r\nGrpc-Status: 0\r\nServer-Timing: a;b=\"c\"\r\n\r\n",
     " trailers=Grpc-Status: 0\r\nServer-Timing: a;b=\"c\"\r\n"},
};

static const struct chunked_case refused[] = {
    {"\r\n", " 400"},
    {"x\r\n", " 400"},
    {"g\r\n", " 400"},
    {"-1\r\n", " 400"},
    {"+1\r\nx\r\n", " 400"},
    {" 1\r\nx\r\n", " 400"},
    {"0x1\r\nx\r\n", " 400"},
    {"1 \r\nx\r\n0\r\n\r\n", " 400"},
    {"1\t\r\nx\r\n0\r\n\r\n", " 400"},
    {"1 2\r\nx\r\n", " 400"},
    {"1\nx\r\n0\r\n\r\n", " 400"},
    {"1\rx\r\n0\r\n\r\n", " 400"},
    {"1\r\r\nx\r\n0\r\n\r\n", " 400"},
    {"1;a\nx\r\n0\r\n\r\n", " 400"},
    {"1;a\x01\r\nx\r\n", " 400"},
    {"1;a\rb\r\nx\r\n", " 400"},
    {"1,2\r\nx\r\n", " 400"},
    {"1\r\nx\n0\r\n\r\n", "x 400"},
    {"1\r\nx\r0\r\n\r\n", "x 400"},
    {"1\r\nxy\r\n0\r\n\r\n", "x 400"},
    {"1\r\nx0\r\n\r\n", "x 400"},
    {"00000000000000001\r\nx\r\n0\r\n\r\n", " 400"},
    {"8000000000000000\r\n", " 400"},
    {"ffffffffffffffff\r\n", " 400"},
    {"10000000000000000\r\n", " 400"},
    {"0\n\r\n", " 400"},
    {"0\r\n\n", " 400"},
    {"0\r\n\r\r\n", " 400"},
    {"0\r\n: x\r\n\r\n", " 400"},
    {"0\r\nX : x\r\n\r\n", " 400"},
    {"0\r\n X: x\r\n\r\n", " 400"},
    {"0\r\nX\r\n\r\n", " 400"},
    {"0\r\nX: a\n\r\n", " 400"},
    {"0\r\nX: a\x01\r\n\r\n", " 400"},
    {"0\r\nX: a\rb\r\n\r\n", " 400"},
    {"0\r\nX: a\r\n b\r\n\r\n", " 400"},
    {"0\r\nX: a\r\nY: b\n\r\n", " 400"},
};

static void begin(struct feed *feed, char *bytes, const char *body)
{
    feed->kind = FEED_REQUEST;
    feed->max_head_bytes = 8192;
    feed->bytes = bytes;
    feed->len = (size_t)sprintf(bytes, POST_HEAD "%s", body);
}

static bool is_as_expected(struct feed *feed, const char *expected, size_t step, size_t cut)
{
    const char *outcome = feed_message(feed, step, cut);
    bool starts_well = strncmp(outcome, POST_OUTCOME, strlen(POST_OUTCOME)) == 0;
    if (starts_well && strcmp(outcome + strlen(POST_OUTCOME), expected) == 0)
        return true;
    print_error("%s\nfirst %zu bytes, then %zu at a time\nexpected: %s%s\ngot:      %s (%s)\n\n",
                feed->bytes, cut, step, POST_OUTCOME, expected, outcome,
                feed->parser.reason ? feed->parser.reason : "");
    return false;
}

/* Whole, byte by byte, and in two pieces at every place of the body. */
static void check_all(const struct chunked_case *cases, size_t count)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    char bytes[1024];
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        begin(feed, bytes, cases[i].bytes);
        const char *expected = cases[i].outcome;
        bool is_good =
            is_as_expected(feed, expected, feed->len, 0) && is_as_expected(feed, expected, 1, 0);
        for (size_t cut = sizeof(POST_HEAD); is_good && cut < feed->len; cut++)
            is_good = is_as_expected(feed, expected, feed->len, cut);
        wrong += !is_good;
    }
    free(feed);
    assert_int_equal(wrong, 0);
}

#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof((cases)[0]))

static void good_chunks_are_decoded(void **state)
{
    (void)state;
    CHECK_ALL(good);
}

static void bad_chunks_are_refused(void **state)
{
    (void)state;
    CHECK_ALL(refused);
}

static const char *outcome_of(struct feed *feed, const char *body)
{
    char *bytes = malloc(strlen(body) + sizeof(POST_HEAD));
    begin(feed, bytes, body);
    const char *outcome = feed_message(feed, feed->len, 0);
    free(bytes);
    return outcome + strlen(POST_OUTCOME);
}

static void endless_extensions_and_trailers_are_refused(void **state)
{
    (void)state;
    struct feed *feed = calloc(1, sizeof(*feed));
    char body[2 * HTTP1_MAX_TRAILER_BYTES];

    sprintf(body, "1;%0250d\r\nx\r\n0\r\n\r\n", 0);
    assert_string_equal(outcome_of(feed, body), "x");
    sprintf(body, "1;%0300d\r\nx\r\n0\r\n\r\n", 0);
    assert_string_equal(outcome_of(feed, body), " 400");
    sprintf(body, "0\r\nX:%04000d\r\n\r\n", 0);
    assert_non_null(strstr(outcome_of(feed, body), "trailers=X: 000"));
    sprintf(body, "0\r\nX:%04100d\r\n\r\n", 0);
    assert_string_equal(outcome_of(feed, body), " 400");
    free(feed);
}

static void endless_trailers_are_refused_even_where_nobody_wants_them(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    size_t taken;
    unsigned count;
    struct str piece;

    http1_begin_request(&parser, &head, 1000);
    assert_int_equal(http1_read_head(&parser, POST_HEAD, strlen(POST_HEAD)), HTTP1_DONE);
    assert_int_equal(http1_read_body(&parser, "0\r\n", 3, &taken, &piece, 1, &count), HTTP1_MORE);
    enum http1_result result = HTTP1_MORE;
    unsigned lines = 0;
    while (result == HTTP1_MORE && lines++ < HTTP1_MAX_TRAILER_BYTES)
        result = http1_read_body(&parser, "X: y\r\n", 6, &taken, &piece, 1, &count);
    assert_int_equal(result, HTTP1_REFUSED);
    assert_int_equal(lines, HTTP1_MAX_TRAILER_BYTES / 6 + 1);
}

static void many_chunks_come_in_several_calls(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    struct str pieces[2];
    size_t taken;
    unsigned count;
    const char *body = "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nX: y\r\n\r\nGET";

    http1_begin_request(&parser, &head, 1000);
    assert_int_equal(http1_read_head(&parser, POST_HEAD, strlen(POST_HEAD)), HTTP1_DONE);
    assert_int_equal(http1_read_body(&parser, body, strlen(body), &taken, pieces, 2, &count),
                     HTTP1_MORE);
    assert_int_equal(count, 2);
    assert_true(str_equal(pieces[1], STR("b")));
    assert_true(taken < strlen(body));
    body += taken;
    assert_int_equal(http1_read_body(&parser, body, strlen(body), &taken, pieces, 2, &count),
                     HTTP1_DONE);
    assert_int_equal(count, 1);
    assert_true(str_equal(pieces[0], STR("c")));
    assert_string_equal(body + taken, "GET");
    /* There was no space for trailers. */
    assert_int_equal(http1_trailers(&parser).len, 0);
    /* Asked again, it takes nothing. */
    assert_int_equal(http1_read_body(&parser, "GET", 3, &taken, pieces, 2, &count), HTTP1_DONE);
    assert_int_equal(taken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_chunks_are_decoded),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(endless_extensions_and_trailers_are_refused),
        cmocka_unit_test(endless_trailers_are_refused_even_where_nobody_wants_them),
        cmocka_unit_test(many_chunks_come_in_several_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
