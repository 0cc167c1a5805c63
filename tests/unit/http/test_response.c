#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/http/feed.h"

/* What the upstream sends, and what the parser must say of it: 502, or
 * "status 'reason' version framing connection flags hop-by-hop body". */
struct response_case {
    const char *bytes;
    const char *outcome;
    enum feed_kind kind;
};

#define GET FEED_RESPONSE
#define HEAD FEED_RESPONSE_TO_HEAD

static const struct response_case good[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 'OK' 1.1 length=2 keep body=hi", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 'OK' 1.1 length=0 keep body=", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!!",
     "200 'OK' 1.1 length=2 keep body=hi rest=2", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
     "200 'OK' 1.1 length=2 close hop=Connection body=hi", GET},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 'OK' 1.0 length=2 close body=hi", GET},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
     "200 'OK' 1.0 length=2 keep hop=Connection body=hi", GET},
    {"HTTP/1.1 200 Very Good\t\xc3\xa9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
     "200 'Very Good\t\xc3\xa9' 1.1 chunked keep hop=Transfer-Encoding body=hi", GET},
    {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", "200 '' 1.1 length=2 keep body=hi", GET},
    {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "200 '' 1.1 length=2 keep body=hi", GET},
    {"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "999 'Odd' 1.1 length=0 keep body=", GET},
    /* until the close */
    {"HTTP/1.1 200 OK\r\n\r\nall of it", "200 'OK' 1.1 until-close close body=all of it more", GET},
    {"HTTP/1.0 200 OK\r\n\r\n", "200 'OK' 1.0 until-close close body= more", GET},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx",
     "200 'OK' 1.0 until-close close hop=Connection body=x more", GET},
    /* no body, whatever the fields say */
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1", "100 'Continue' 1.1 none keep rest=8", GET},
    {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "103 'Early Hints' 1.1 none keep", GET},
    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81",
     "101 'Switching Protocols' 1.1 none keep upgrade hop=Connection hop=Upgrade rest=1", GET},
    {"HTTP/1.1 204 No Content\r\n\r\nHTTP", "204 'No Content' 1.1 none keep rest=4", GET},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 'No Content' 1.1 none keep", GET},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
     "204 'No Content' 1.1 none close rest=3", GET},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "204 'No Content' 1.1 none close hop=Transfer-Encoding rest=5", GET},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/",
     "304 'Not Modified' 1.1 none=5 keep rest=5", GET},
    {"HTTP/1.1 304 Not Modified\r\n\r\n", "304 'Not Modified' 1.1 none keep", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/", "200 'OK' 1.1 none=5 keep rest=5", HEAD},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "200 'OK' 1.1 none keep hop=Transfer-Encoding", HEAD},
    {"HTTP/1.1 200 OK\r\n\r\n", "200 'OK' 1.1 none keep", HEAD},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404 'Not Found' 1.1 none=0 keep",
     HEAD},
    /* fields */
    {"HTTP/1.1 200 OK\r\nServer: x\r\nX-A: b\r\nConnection: x-a\r\nContent-Length: 0\r\n\r\n",
     "200 'OK' 1.1 length=0 keep hop=X-A hop=Connection body=", GET},
    {"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
     "200 'OK' 1.1 length=0 keep body=", GET},
    {"HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
     "200 'OK' 1.1 length=0 keep body=", GET},
};

static const struct response_case refused[] = {
    {"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nhi", "502", GET},
    {"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"ICY 200 OK\r\n\r\n", "502", GET},
    {"220 smtp.example ESMTP\r\n", "502", GET},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\n X: y\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nX:\rContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nhi", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "502", HEAD},
    {"HTTP/1.1 304 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "502",
     GET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "502",
     GET},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "502", GET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
     "200 'OK' 1.1 chunked keep hop=Transfer-Encoding body=hello 502", GET},
};

static bool is_as_expected(struct feed *feed, const struct response_case *its, size_t step,
                           size_t cut)
{
    const char *outcome = feed_message(feed, step, cut);
    if (strcmp(outcome, its->outcome) == 0)
        return true;
    print_error("%s\nfirst %zu bytes, then %zu at a time\nexpected: %s\ngot:      %s (%s)\n\n",
                its->bytes, cut, step, its->outcome, outcome,
                feed->parser.reason ? feed->parser.reason : "");
    return false;
}

/* Whole, byte by byte, and in two pieces at every place. */
static void check_all(const struct response_case *cases, size_t count)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        feed->kind = cases[i].kind;
        feed->max_head_bytes = 8192;
        feed->bytes = cases[i].bytes;
        feed->len = strlen(cases[i].bytes);
        bool is_good =
            is_as_expected(feed, &cases[i], feed->len, 0) && is_as_expected(feed, &cases[i], 1, 0);
        for (size_t cut = 1; is_good && cut < feed->len; cut++)
            is_good = is_as_expected(feed, &cases[i], feed->len, cut);
        wrong += !is_good;
    }
    free(feed);
    assert_int_equal(wrong, 0);
}

#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof((cases)[0]))

static void good_responses_are_understood(void **state)
{
    (void)state;
    CHECK_ALL(good);
}

static void ambiguous_and_bad_responses_are_refused(void **state)
{
    (void)state;
    CHECK_ALL(refused);
}

static void the_final_response_follows_interim_ones(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    const char *bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
                        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    static const uint16_t statuses[] = {100, 103, 200};

    for (size_t i = 0; i < 3; i++) {
        http1_begin_response(&parser, &head, 1000, false);
        assert_int_equal(http1_read_head(&parser, bytes, strlen(bytes)), HTTP1_DONE);
        assert_int_equal(head.status, statuses[i]);
        assert_int_equal(http1_body_is_done(&parser), statuses[i] != 200);
        bytes += head.len;
    }
    assert_int_equal(head.field_count, 1);
    assert_string_equal(bytes, "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_responses_are_understood),
        cmocka_unit_test(ambiguous_and_bad_responses_are_refused),
        cmocka_unit_test(the_final_response_follows_interim_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
