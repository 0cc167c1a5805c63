#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http1_parts.h"
#include "unit/http/feed.h"

/* What comes in, and what the parser must say of it: the status of a refusal, or
 * "METHOD target version framing connection host flags hop-by-hop body". */
struct request_case {
    const char *bytes;
    const char *outcome;
};

#define HOST "Host: a\r\n"

static const struct request_case good[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", "GET / 1.1 none keep host=a"},
    {"GET / HTTP/1.0\r\n\r\n", "GET / 1.0 none close"},
    {"GET / HTTP/1.0\r\n" HOST "\r\n", "GET / 1.0 none close host=a"},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 none keep hop=Connection"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
     "GET / 1.0 none close hop=Connection"},
    {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
     "GET / 1.1 none close host=a hop=Connection"},
    {"GET / HTTP/1.1\r\n" HOST "Connection: CLOSE\r\n\r\n",
     "GET / 1.1 none close host=a hop=Connection"},
    {"GET / HTTP/1.1\r\n" HOST "Connection: te,close\r\n\r\n",
     "GET / 1.1 none close host=a hop=Connection"},
    {"GET / HTTP/1.1\r\n" HOST "Connection: te\r\nConnection: , ,close\r\n\r\n",
     "GET / 1.1 none close host=a hop=Connection hop=Connection"},
    {"GET / HTTP/1.1\r\n" HOST "Proxy-Connection: close\r\n\r\n",
     "GET / 1.1 none keep host=a hop=Proxy-Connection"},
    {"GET / HTTP/1.1\r\n" HOST "X-A: 1\r\nConnection: x-a\r\nx-A: 2\r\n\r\n",
     "GET / 1.1 none keep host=a hop=X-A hop=Connection hop=x-A"},
    {"GET / HTTP/1.1\r\n" HOST
     "X-Real-IP: 1\r\nConnection: host, x-real-ip, Content-Length\r\n\r\n",
     "GET / 1.1 none keep host=a hop=Connection"},
    {"GET / HTTP/1.1\r\n" HOST "TE: gzip, Trailers\r\n\r\n",
     "GET / 1.1 none keep host=a te hop=TE"},
    {"GET / HTTP/1.1\r\n" HOST "Keep-Alive: timeout=5\r\nTrailer: x\r\n\r\n",
     "GET / 1.1 none keep host=a hop=Keep-Alive"},
    {"GET /ws HTTP/1.1\r\n" HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
     "GET /ws 1.1 none keep host=a upgrade hop=Connection hop=Upgrade"},
    {"GET /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n",
     "GET /ws 1.1 none keep host=a hop=Upgrade"},
    {"GET /ws HTTP/1.0\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     "GET /ws 1.0 none close host=a hop=Connection hop=Upgrade"},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / 1.1 none keep host=a"},
    {"GET /a/b?c=d&e=%20;f HTTP/1.1\r\n" HOST "\r\n", "GET /a/b?c=d&e=%20;f 1.1 none keep host=a"},
    {"GET /\"<>\\^`{|} HTTP/1.1\r\n" HOST "\r\n", "GET /\"<>\\^`{|} 1.1 none keep host=a"},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * 1.1 none keep host=a"},
    {"GET http://b.example:81/x HTTP/1.1\r\n" HOST "\r\n",
     "GET http://b.example:81/x 1.1 none keep host=b.example:81"},
    {"GET http://b HTTP/1.1\r\nHost: a:82\r\n\r\n", "GET http://b 1.1 none keep host=b"},
    {"GET HTTPS://b?q HTTP/1.0\r\n\r\n", "GET HTTPS://b?q 1.0 none close host=b"},
    {"GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n",
     "GET / 1.1 none keep host=example.com:8080"},
    {"GET / HTTP/1.1\r\nHost:[::1]:8000\r\n\r\n", "GET / 1.1 none keep host=[::1]:8000"},
    {"GET / HTTP/1.1\r\nhOsT:\t a_b.c \t\r\n\r\n", "GET / 1.1 none keep host=a_b.c"},
    {"GET / HTTP/1.1\r\n" HOST "Empty:\r\nBlank:  \t \r\nX:a\tb \xc3\xa9\r\n\r\n",
     "GET / 1.1 none keep host=a"},
    {"GET / HTTP/1.1\r\n" HOST "!#$%&'*+-.^_`|~1aZ: x\r\n\r\n", "GET / 1.1 none keep host=a"},
    {"M-SEARCH / HTTP/1.1\r\n" HOST "\r\n", "M-SEARCH / 1.1 none keep host=a"},
    {"GET / HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n", "GET / 1.1 none keep host=a rest=16"},
    {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nrest",
     "GET / 1.1 none close host=a hop=Connection rest=4"},
    /* bodies by length */
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhelloGET",
     "POST / 1.1 length=5 keep host=a body=hello rest=3"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\nGET",
     "POST / 1.1 length=0 keep host=a body= rest=3"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0005\r\n\r\nhello",
     "POST / 1.1 length=5 keep host=a body=hello"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\nx",
     "POST / 1.1 length=9223372036854775807 keep host=a body=x more"},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi",
     "GET / 1.1 length=2 keep host=a body=hi"},
    {"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "POST / 1.0 length=2 close body=hi"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-Continue\r\n\r\nhi",
     "POST / 1.1 length=2 keep host=a expect body=hi"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
     "POST / 1.1 length=0 keep host=a body="},
    {"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
     "POST / 1.0 length=2 close body=hi"},
    {"GET /ws HTTP/1.1\r\n" HOST
     "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nxy",
     "GET /ws 1.1 length=1 keep host=a upgrade hop=Connection hop=Upgrade body=x rest=1"},
    /* chunked bodies */
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET",
     "POST / 1.1 chunked keep host=a hop=Transfer-Encoding body=hello rest=3"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: CHUNKED \r\n\r\n"
     "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n0A\r\n0123456789\r\n000\r\n\r\n",
     "POST / 1.1 chunked keep host=a hop=Transfer-Encoding body=abcd0123456789"},
};

/* Methods are llhttp's to know. */
static const struct request_case refused_methods[] = {
    {"get / HTTP/1.1\r\n" HOST "\r\n", "400"},    {"G=T / HTTP/1.1\r\n" HOST "\r\n", "501"},
    {"NOSUCH / HTTP/1.1\r\n" HOST "\r\n", "501"}, {"CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", "405"},
    {"TRACE / HTTP/1.1\r\n" HOST "\r\n", "405"},
};

static const struct request_case refused[] = {
    /* request line */
    {"GET /\r\n\r\n", "505"},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", "400"},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", "501"},
    {"GET / HTTP/1.1\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1\r" HOST "\r\n", "400"},
    {"\nGET / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"\rGET / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"\r\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"\x16\x03\x01\x02\x01\x01", "400"},
    {"SSH-2.0-OpenSSH_9.2\r\n", "501"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", "505"},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", "505"},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", "505"},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/11.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1,1\r\n" HOST "\r\n", "400"},
    {"GET / http/1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTP/1.1\r\n" HOST "\r\n", "400"},
    {"OPTIONS / RTSP/1.0\r\n" HOST "\r\n", "400"},
    /* target */
    {"GET * HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET a:80 HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /a\x01 HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /a\x7f HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /a\tb HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /a b HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET http:/a HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET http:///a HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET http://u@b/ HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET http://b:x/ HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET http://b/ HTTP/1.1\r\n\r\n", "400"},
    /* Host */
    {"GET / HTTP/1.1\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "hosT: b\r\n\r\n", "400"},
    {"GET / HTTP/1.0\r\n" HOST "Host: b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: [g::1]\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", "400"},
    /* fields */
    {"GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X\t: y\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST ": y\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X(: y\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X\xff: y\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n X: y\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: y\r\n z\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: y\r\n\tz\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X:\r\n z\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: y\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: y\r\n\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: y\r\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: y\rZ: w\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: \r\rContent-Length: 1\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X:\rY: z\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: a\x0b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "X: a long enough value\x7f\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n" HOST "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,"
     "1,2,3,4,5,6,7\r\n\r\n",
     "400"},
    /* framing */
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5,\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5.0\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: five\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\nhello", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "400"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", "501"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: x,gzip ,\tChunked\r\n\r\n", "501"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked,\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: ,chunked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunkedx\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chun ked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n",
     "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
     "400"},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n", "400"},
};

static const struct request_case incomplete[] = {
    {"G", "more"},
    {"GET / HTTP/1.1\r\n", "more"},
    {"GET / HTTP/1.1\r\n" HOST, "more"},
    {"GET / HTTP/1.1\r\n" HOST "\r", "more"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhell",
     "POST / 1.1 length=5 keep host=a body=hell more"},
};

static bool is_as_expected(struct feed *feed, const struct request_case *its, size_t step,
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
static void check_all(const struct request_case *cases, size_t count)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        feed->kind = FEED_REQUEST;
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

static void good_requests_are_understood(void **state)
{
    (void)state;
    CHECK_ALL(good);
}

static void ambiguous_and_bad_requests_are_refused(void **state)
{
    (void)state;
    CHECK_ALL(refused);
    CHECK_ALL(refused_methods);
}

/* Neither of the two judges leans on the other. */
static void our_own_pass_refuses_them_without_llhttp(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const char *end = strstr(refused[i].bytes, "\r\n\r\n");
        size_t len = end ? (size_t)(end + 4 - refused[i].bytes) : strlen(refused[i].bytes);
        char *copy = malloc(len);
        memcpy(copy, refused[i].bytes, len);
        http1_begin_request(&parser, &head, 8192);
        if (http1_find_fields(&parser, copy, len) != HTTP1_REFUSED)
            fail_msg("taken: %s", refused[i].bytes);
        free(copy);
    }
}

static void half_a_request_waits(void **state)
{
    (void)state;
    CHECK_ALL(incomplete);
}

/* Whatever a control character stands for, the request is not what it looks like. */
static void a_control_character_anywhere_is_refused(void **state)
{
    (void)state;
    static const char plain[] = "GET /path?q HTTP/1.1\r\nHost: a\r\nX-Name: a longer value\r\n\r\n";
    static const char controls[] = "\0\1\b\v\f\r\n\x1b\x7f";
    struct feed *feed = calloc(1, sizeof(*feed));
    char bytes[sizeof(plain)];

    feed->kind = FEED_REQUEST;
    feed->max_head_bytes = 8192;
    feed->bytes = bytes;
    feed->len = sizeof(plain) - 1;
    for (size_t at = 0; at < sizeof(plain) - 1; at++) {
        for (size_t i = 0; i < sizeof(controls) - 1; i++) {
            memcpy(bytes, plain, sizeof(plain));
            if (bytes[at] == controls[i])
                continue;
            bytes[at] = controls[i];
            const char *outcome = feed_message(feed, feed->len, 0);
            /* An end that is no end leaves the head open. */
            bool is_open = at >= sizeof(plain) - 5 && strcmp(outcome, "more") == 0;
            if (outcome[0] != '4' && outcome[0] != '5' && !is_open)
                fail_msg("byte %d at %zu: %s", controls[i], at, outcome);
        }
    }
    free(feed);
}

/* Eight bytes are looked at together; without llhttp, which would refuse for us. */
static void each_byte_of_a_value_is_judged_wherever_it_stands(void **state)
{
    (void)state;
    static const char front[] = "GET / HTTP/2.0\r\nHost: a\r\nX: a";
    static const unsigned char fillers[] = {'a', '\t', 0x21, 0x80, 0xff};
    struct http1_parser parser;
    struct http_head head;
    char bytes[64];

    for (size_t filler = 0; filler < sizeof(fillers); filler++)
        for (size_t at = 0; at < 20; at++)
            for (int byte = 0; byte < 256; byte++) {
                size_t len = sizeof(front) - 1;
                memcpy(bytes, front, len);
                memset(bytes + len, fillers[filler], 20);
                bytes[len + at] = (char)byte;
                memcpy(bytes + len + 20, "a\r\n\r\n", 5);
                http1_begin_request(&parser, &head, 8192);
                bool may_stand = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
                assert_int_equal(http1_take_head(&parser, bytes, len + 25, true),
                                 may_stand ? HTTP1_DONE : HTTP1_REFUSED);
                if (may_stand)
                    assert_int_equal(head.fields[1].value_len, 22);
            }
}

static enum http1_result read_head_of(struct http1_parser *parser, struct http_head *head,
                                      const char *bytes, size_t max_head_bytes)
{
    http1_begin_request(parser, head, max_head_bytes);
    return http1_read_head(parser, bytes, strlen(bytes));
}

static void a_head_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    static const char exact[] = "GET / HTTP/1.1\r\nHost: a\r\nX: 4567890\r\n\r\n";

    assert_int_equal(read_head_of(&parser, &head, exact, sizeof(exact) - 1), HTTP1_DONE);
    assert_int_equal(read_head_of(&parser, &head, exact, sizeof(exact) - 2), HTTP1_REFUSED);
    assert_int_equal(parser.refused_status, 431);
    assert_int_equal(read_head_of(&parser, &head, exact, 10), HTTP1_REFUSED);
    assert_int_equal(parser.refused_status, 414);
    assert_int_equal(http1_read_head(&parser, exact, sizeof(exact) - 1), HTTP1_REFUSED);

    /* What follows the head does not count. */
    static const char with_body[] =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789";
    assert_int_equal(read_head_of(&parser, &head, with_body, sizeof(with_body) - 10), HTTP1_DONE);
}

static void too_many_fields_are_refused(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    char bytes[HTTP_MAX_FIELDS * 6 + 64];

    for (unsigned extra = 0; extra < 2; extra++) {
        size_t len = (size_t)sprintf(bytes, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < HTTP_MAX_FIELDS + extra; i++)
            len += (size_t)sprintf(bytes + len, "X:%u\r\n", i % 10);
        strcpy(bytes + len, "\r\n");
        enum http1_result result = read_head_of(&parser, &head, bytes, sizeof(bytes));
        assert_int_equal(result, extra ? HTTP1_REFUSED : HTTP1_DONE);
        assert_int_equal(parser.refused_status, extra ? 431 : 0);
    }
}

static void known_fields_are_found_by_name(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    const char *bytes = "GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-FOR:  1.2.3.4 \r\nB: c\r\n"
                        "X-Forwarded-For: 5.6.7.8\r\nVia:\r\n\r\n";

    assert_int_equal(read_head_of(&parser, &head, bytes, 1000), HTTP1_DONE);
    assert_int_equal(head.method, HTTP_GET);
    assert_int_equal(head.field_count, 5);
    const struct http_field *field = http_head_find(&head, HEADER_X_FORWARDED_FOR);
    assert_true(str_equal(http_field_value(&head, field), STR("1.2.3.4")));
    assert_true(str_equal(http_field_name(&head, field), STR("x-forwarded-FOR")));
    assert_int_equal(http_field_value(&head, http_head_find(&head, HEADER_VIA)).len, 0);
    assert_null(http_head_find(&head, HEADER_CONNECTION));
    assert_true(str_equal(http_field_name(&head, &head.fields[2]), STR("B")));
    assert_int_equal(head.fields[2].id, HEADER_OTHER);
}

static void one_parser_reads_pipelined_requests(void **state)
{
    (void)state;
    struct http1_parser parser;
    struct http_head head;
    const char *bytes = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                        "GET /2 HTTP/1.0\r\n\r\n";
    size_t taken;
    unsigned count;
    struct str piece;

    assert_int_equal(read_head_of(&parser, &head, bytes, 1000), HTTP1_DONE);
    bytes += head.len;
    assert_false(http1_body_is_done(&parser));
    assert_int_equal(http1_read_body(&parser, bytes, strlen(bytes), &taken, &piece, 1, &count),
                     HTTP1_DONE);
    assert_true(str_equal(piece, STR("abc")));
    assert_int_equal(read_head_of(&parser, &head, bytes + taken, 1000), HTTP1_DONE);
    assert_true(str_equal(http_span_str(&head, head.target), STR("/2")));
    assert_int_equal(head.framing, HTTP_NO_BODY);
    assert_false(head.has_content_length);
    assert_false(head.keep_alive);
    assert_true(http1_body_is_done(&parser));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_requests_are_understood),
        cmocka_unit_test(ambiguous_and_bad_requests_are_refused),
        cmocka_unit_test(our_own_pass_refuses_them_without_llhttp),
        cmocka_unit_test(half_a_request_waits),
        cmocka_unit_test(a_control_character_anywhere_is_refused),
        cmocka_unit_test(each_byte_of_a_value_is_judged_wherever_it_stands),
        cmocka_unit_test(a_head_over_the_limit_is_refused),
        cmocka_unit_test(too_many_fields_are_refused),
        cmocka_unit_test(known_fields_are_found_by_name),
        cmocka_unit_test(one_parser_reads_pipelined_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
