#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <uv.h>

#include "http/http1.h"
#include "http/uri.h"
#include "proxy/router.h"

#define COUNT(...) (sizeof((struct str[]){__VA_ARGS__}) / sizeof(struct str))
#define LIST(...)                                                                                  \
    (struct str[])                                                                                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define METHODS(...) .methods = LIST(__VA_ARGS__), .method_count = COUNT(__VA_ARGS__)
#define HOSTS(...) .hosts = LIST(__VA_ARGS__), .host_count = COUNT(__VA_ARGS__)
#define PATHS(...) .paths = LIST(__VA_ARGS__), .path_count = COUNT(__VA_ARGS__)
#define SNIS(...) .snis = LIST(__VA_ARGS__), .sni_count = COUNT(__VA_ARGS__)
#define HEADER(header_name, ...)                                                                   \
    {                                                                                              \
        .name = STR(header_name), .values = LIST(__VA_ARGS__), .value_count = COUNT(__VA_ARGS__)   \
    }
#define HEADERS(...)                                                                               \
    .headers = (struct route_header[]){__VA_ARGS__},                                               \
    .header_count = sizeof((struct route_header[]){__VA_ARGS__}) / sizeof(struct route_header)
/* Named by its id, which the checks tell. */
#define ROUTE(name, ...)                                                                           \
    {                                                                                              \
        .id = STR(name), .protocols = PROTOCOL_HTTP, __VA_ARGS__                                   \
    }
#define ROUTER(...)                                                                                \
    router_of((const struct route[]){__VA_ARGS__},                                                 \
              sizeof((const struct route[]){__VA_ARGS__}) / sizeof(struct route))

static struct router *built;

static struct router *router_of(const struct route *routes, size_t count)
{
    struct error err = {0};
    router_destroy(built);
    built = NULL;
    int rc = router_create(routes, (uint32_t)count, NULL, &built, &err);
    if (rc)
        fail_msg("%s: %s", err.field, err.sentence);
    return built;
}

static int destroy_built(void **state)
{
    (void)state;
    router_destroy(built);
    built = NULL;
    return 0;
}

static const char *find(const struct router *router, const struct router_query *query,
                        struct router_match *match)
{
    static char id[64];
    if (!router_find(router, query, match))
        return "none";
    snprintf(id, sizeof(id), "%.*s", STR_ARG(match->route->id));
    return id;
}

/* The id of the route for a request line and fields, as one would type them; "none" for none. */
static const char *route_for(const struct router *router, const char *line, const char *fields)
{
    static struct http1_parser parser;
    static struct http_head head;
    char bytes[2048];
    int len = snprintf(bytes, sizeof(bytes), "%s HTTP/1.0\r\n%s\r\n", line, fields);
    http1_begin_request(&parser, &head, sizeof(bytes));
    if (http1_read_head(&parser, bytes, (size_t)len) != HTTP1_DONE)
        fail_msg("bad request: %s", parser.reason);
    struct uri uri;
    assert_true(uri_parse(http_span_str(&head, head.target), &uri));
    const struct router_query query = {.method = http_span_str(&head, head.method_text),
                                       .host = http_span_str(&head, head.host),
                                       .port = head.port,
                                       .listener_port = 8000,
                                       .path = uri.path,
                                       .head = &head};
    struct router_match match;
    return find(router, &query, &match);
}

#define CHECK(line, fields, id) assert_string_equal(route_for(router, line, fields), id)

static void nothing_matches_in_an_empty_router(void **state)
{
    (void)state;
    struct router *router = router_of(NULL, 0);
    CHECK("GET /", "Host: a\r\n", "none");
    CHECK("GET /", "", "none");
}

static void literal_paths_are_prefixes_and_the_longest_wins(void **state)
{
    (void)state;
    struct router *router = ROUTER(ROUTE("root", PATHS(STR("/"))), ROUTE("foo", PATHS(STR("/foo"))),
                                   ROUTE("foobar", PATHS(STR("/foo/bar"), STR("/other"))),
                                   ROUTE("fool", PATHS(STR("/fool"))));
    CHECK("GET /", "", "root");
    CHECK("GET /x", "", "root");
    CHECK("GET /fo", "", "root");
    CHECK("GET /foo", "", "foo");
    CHECK("GET /foobar", "", "foo");
    CHECK("GET /foo/", "", "foo");
    CHECK("GET /foo/ba", "", "foo");
    CHECK("GET /foo/bar", "", "foobar");
    CHECK("GET /foo/bars?x", "", "foobar");
    CHECK("GET /other", "", "foobar");
    CHECK("GET /fool", "", "fool");
    CHECK("OPTIONS *", "", "none");
}

static void methods_are_exact(void **state)
{
    (void)state;
    struct router *router = ROUTER(ROUTE("read", METHODS(STR("GET"), STR("HEAD"))),
                                   ROUTE("write", METHODS(STR("POST")), PATHS(STR("/a"))),
                                   ROUTE("purge", METHODS(STR("PURGE")), PATHS(STR("/a"))));
    CHECK("GET /a", "", "read");
    CHECK("HEAD /a", "", "read");
    CHECK("POST /a", "", "write");
    CHECK("PURGE /a", "", "purge");
    CHECK("POST /b", "", "none");
    CHECK("PUT /a", "", "none");
}

static void hosts_are_plain_or_wildcards_with_or_without_port(void **state)
{
    (void)state;
    struct router *router =
        ROUTER(ROUTE("plain", HOSTS(STR("a.example"))), ROUTE("left", HOSTS(STR("*.example"))),
               ROUTE("longer", HOSTS(STR("*.b.example"))), ROUTE("right", HOSTS(STR("www.*"))),
               ROUTE("port", HOSTS(STR("p.test:81"))), ROUTE("wild-port", HOSTS(STR("*.test:82"))),
               ROUTE("listener", HOSTS(STR("l.test:8000"))), ROUTE("v6", HOSTS(STR("[::1]"))));
    CHECK("GET /", "Host: a.example\r\n", "plain");
    CHECK("GET /", "Host: A.EXAMPLE:1234\r\n", "plain");
    CHECK("GET /", "Host: c.example\r\n", "left");
    CHECK("GET /", "Host: c.b.example\r\n", "left"); /* both fit and nothing else tells them apart:
                                                        the older, here the smaller id */
    CHECK("GET /", "Host: example\r\n", "none");
    CHECK("GET /", "Host: www.x.y\r\n", "right");
    CHECK("GET /", "Host: www\r\n", "none");
    CHECK("GET /", "Host: ww.x\r\n", "none");
    CHECK("GET /", "Host: p.test:81\r\n", "port");
    CHECK("GET /", "Host: p.test\r\n", "none");
    CHECK("GET /", "Host: p.test:82\r\n", "wild-port");
    CHECK("GET /", "Host: q.test:83\r\n", "none");
    CHECK("GET /", "Host: l.test\r\n", "listener");
    CHECK("GET /", "Host: l.test:81\r\n", "none");
    CHECK("GET /", "Host: [::1]:9\r\n", "v6");
    CHECK("GET /", "", "none");
    CHECK("GET http://a.example/", "Host: c.example\r\n", "plain");
}

static void what_is_too_long_for_a_name_meets_no_host(void **state)
{
    (void)state;
    static struct http_head head;
    static char name[300];
    struct str long_name = {name, sizeof(name)};
    memset(name, 'a', sizeof(name));
    memcpy(name + sizeof(name) - 8, ".example", 8);
    struct router *router =
        ROUTER(ROUTE("long", .hosts = &long_name, .host_count = 1),
               ROUTE("wild", HOSTS(STR("*.example"))), ROUTE("method", METHODS(STR("GET"))));
    struct router_query query = {
        .method = STR("GET"), .host = long_name, .path = STR("/"), .head = &head};
    struct router_match match;
    assert_string_equal(find(router, &query, &match), "method");
    query.host = str_make(name + 100, 200);
    query.method = STR("PUT");
    assert_string_equal(find(router, &query, &match), "wild");
}

static void headers_need_all_names_and_any_value(void **state)
{
    (void)state;
    struct router *router =
        ROUTER(ROUTE("one", HEADERS(HEADER("x-a", STR("1"), STR("two words")))),
               ROUTE("both", HEADERS(HEADER("x-a", STR("1")), HEADER("x-b", STR("2")))),
               ROUTE("regex", HEADERS(HEADER("x-c", STR("~*^v\\d+$")))));
    CHECK("GET /", "X-A: 1\r\n", "one");
    CHECK("GET /", "x-a: Two Words\r\n", "one");
    CHECK("GET /", "X-A: 3\r\nX-A: 1\r\n", "one");
    CHECK("GET /", "X-A: 11\r\n", "none");
    CHECK("GET /", "X-A: 1, 2\r\n", "none");
    CHECK("GET /", "X-B: 2\r\n", "none");
    CHECK("GET /", "X-B: 2\r\nX-A: 1\r\n", "both");
    CHECK("GET /", "X-C: V12\r\n", "regex");
    CHECK("GET /", "X-C: 12\r\nX-C: v1\r\n", "regex");
    CHECK("GET /", "X-C: v\r\n", "none");
    CHECK("GET /", "", "none");
}

static void regexes_are_anchored_at_the_start_only(void **state)
{
    (void)state;
    struct router *router =
        ROUTER(ROUTE("user", PATHS(STR("~/users/\\d+"))), ROUTE("exact", PATHS(STR("~/exact$"))),
               ROUTE("either", PATHS(STR("~/x|/y"))), ROUTE("root", PATHS(STR("/"))));
    CHECK("GET /users/12", "", "user");
    CHECK("GET /users/12/books", "", "user");
    CHECK("GET /users/me", "", "root");
    CHECK("GET /all/users/12", "", "root");
    CHECK("GET /exact", "", "exact");
    CHECK("GET /exactly", "", "root");
    CHECK("GET /x1", "", "either");
    CHECK("GET /y1", "", "either");
    CHECK("GET /z/y1", "", "root");

    static struct http_head head;
    const struct router_query query = {
        .method = STR("GET"), .path = STR("/exact\n"), .head = &head};
    struct router_match match;
    assert_string_equal(find(router, &query, &match), "root");
}

static void the_winner_follows_the_precedence(void **state)
{
    (void)state;
    /* Each one loses to the next; a request meets all. */
    struct router *router = ROUTER(
        ROUTE("1", PATHS(STR("/a")), .created_at = 20), ROUTE("2", PATHS(STR("/b/c"))),
        ROUTE("3", PATHS(STR("~/a")), .regex_priority = -5), ROUTE("4", PATHS(STR("~/a"))),
        ROUTE("5", PATHS(STR("~/a")), .regex_priority = 7),
        ROUTE("6", HEADERS(HEADER("x-a", STR("1")))),
        ROUTE("7", HEADERS(HEADER("x-a", STR("1")), HEADER("x-b", STR("1")))),
        ROUTE("8", HOSTS(STR("a.example"))), ROUTE("9", PATHS(STR("/")), METHODS(STR("GET"))));
    CHECK("GET /a", "Host: a.example\r\nX-A: 1\r\nX-B: 1\r\n", "9");
    CHECK("PUT /a", "Host: a.example\r\nX-A: 1\r\nX-B: 1\r\n", "8");
    CHECK("PUT /a", "X-A: 1\r\nX-B: 1\r\n", "7");
    CHECK("PUT /a", "X-A: 1\r\n", "6");
    CHECK("PUT /a", "", "5");
    router =
        ROUTER(ROUTE("1", PATHS(STR("/a"))), ROUTE("2", PATHS(STR("/a/b"))),
               ROUTE("3", PATHS(STR("~/a")), .regex_priority = -5), ROUTE("4", PATHS(STR("~/a$"))));
    CHECK("GET /a", "", "4");
    CHECK("GET /a/b", "", "3");
    router = ROUTER(ROUTE("wild", HOSTS(STR("*.example"))), ROUTE("path", PATHS(STR("/"))),
                    ROUTE("mixed", HOSTS(STR("a.example"), STR("*.test"))),
                    ROUTE("plain", HOSTS(STR("a.example")), .created_at = 9));
    CHECK("GET /", "Host: a.example\r\n", "plain");
    CHECK("GET /", "Host: b.example\r\n", "path"); /* a literal path is longer than none */
    router = ROUTER(ROUTE("b", PATHS(STR("/a")), .created_at = 5),
                    ROUTE("c", PATHS(STR("/a")), .created_at = 4),
                    ROUTE("a", PATHS(STR("/a")), .created_at = 5));
    CHECK("GET /a", "", "c");
    router = ROUTER(ROUTE("b", PATHS(STR("/a"))), ROUTE("a", PATHS(STR("/a"))));
    CHECK("GET /a", "", "a");
}

static void a_better_ranked_route_must_be_met_in_full(void **state)
{
    (void)state;
    struct router *router =
        ROUTER(ROUTE("all", HOSTS(STR("a")), PATHS(STR("/x")), METHODS(STR("POST"))),
               ROUTE("two", HOSTS(STR("a")), PATHS(STR("/"))), ROUTE("one", PATHS(STR("/x/y"))));
    CHECK("POST /x/y", "Host: a\r\n", "all");
    CHECK("GET /x/y", "Host: a\r\n", "two");
    CHECK("POST /x/y", "Host: b\r\n", "one");
    CHECK("POST /z", "Host: b\r\n", "none");
}

static void snis_count_on_tls_only(void **state)
{
    (void)state;
    static struct http_head head;
    struct router *router =
        ROUTER(ROUTE("sni", PATHS(STR("/")), SNIS(STR("a.example"), STR("*.test"), STR("w.*"))),
               ROUTE("path", PATHS(STR("/"))));
    struct router_query query = {.method = STR("GET"), .path = STR("/"), .head = &head};
    struct router_match match;

    assert_string_equal(find(router, &query, &match), "sni");
    query.is_tls = true;
    assert_string_equal(find(router, &query, &match), "path");
    query.sni = STR("A.example");
    assert_string_equal(find(router, &query, &match), "sni");
    query.sni = STR("x.test");
    assert_string_equal(find(router, &query, &match), "sni");
    query.sni = STR("w.x");
    assert_string_equal(find(router, &query, &match), "sni");
    query.sni = STR("b.example");
    assert_string_equal(find(router, &query, &match), "path");
}

static void the_matched_length_is_the_path_matchers(void **state)
{
    (void)state;
    static struct http_head head;
    struct router *router = ROUTER(ROUTE("literal", PATHS(STR("/foo"))),
                                   ROUTE("regex", PATHS(STR("~/bar/\\d+"), STR("~/b[^/]*"))),
                                   ROUTE("method", METHODS(STR("POST"))));
    static const struct {
        const char *method, *path, *id;
        uint32_t len;
        bool has_path;
    } cases[] = {
        {"GET", "/foobar", "literal", 4, true},
        {"GET", "/bar/123/x", "regex", 8, true},
        {"GET", "/bar/x", "regex", 4, true},
        {"POST", "/zzz", "method", 0, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct router_query query = {
            .method = str_of(cases[i].method), .path = str_of(cases[i].path), .head = &head};
        struct router_match match;
        assert_string_equal(find(router, &query, &match), cases[i].id);
        assert_int_equal(match.matched_len, cases[i].len);
        assert_int_equal(match.has_path, cases[i].has_path);
    }
}

static void routes_of_other_protocols_are_left_out(void **state)
{
    (void)state;
    const struct route routes[] = {
        {.id = STR("tcp"), .protocols = PROTOCOL_TCP, PATHS(STR("/"))},
        {.id = STR("grpc"), .protocols = PROTOCOL_GRPC, PATHS(STR("/g"))},
    };
    struct router *router = router_of(routes, 2);
    CHECK("GET /", "", "none");
    CHECK("GET /g", "", "grpc");
}

static void a_bad_regex_names_its_route(void **state)
{
    (void)state;
    const struct route bad_path[] = {ROUTE("good", PATHS(STR("~/a"))),
                                     ROUTE("bad", PATHS(STR("~/fine"), STR("~/(open")))};
    const struct route bad_header[] = {ROUTE("bad", HEADERS(HEADER("x", STR("~*["))))};
    struct router *router = NULL;
    struct error err = {0};

    assert_int_equal(router_create(bad_path, 2, NULL, &router, &err), UV_EINVAL);
    assert_null(router);
    assert_non_null(strstr(err.sentence, "route bad"));
    assert_non_null(strstr(err.sentence, "/(open"));
    assert_int_equal(router_create(bad_header, 1, NULL, &router, &err), UV_EINVAL);
    assert_null(router);
}

static void a_router_goes_on_with_the_regexes_of_the_one_before(void **state)
{
    (void)state;
    const struct route routes[] = {
        ROUTE("path", PATHS(STR("~/(?<id>\\d+)$"))),
        ROUTE("header", PATHS(STR("/h")), HEADERS(HEADER("x", STR("~*/(?<id>\\d+)$"))))};
    struct router *before = NULL, *router = NULL;
    struct router_query query = {.method = STR("GET"), .path = STR("/17")};
    struct router_match first, second;
    struct error err = {0};
    assert_int_equal(router_create(routes, 2, NULL, &before, &err), 0);
    assert_true(router_find(before, &query, &first));
    assert_int_equal(router_create(routes, 2, before, &router, &err), 0);
    assert_true(router_find(router, &query, &second));
    assert_ptr_equal(first.regex, second.regex);
    router_destroy(before);
    assert_true(router_find(router, &query, &second)); /* it is still there */
    router_destroy(router);
}

static void a_regex_that_works_too_hard_does_not_match(void **state)
{
    (void)state;
    static struct http_head head;
    static char path[3000];
    struct router *router =
        ROUTER(ROUTE("slow", PATHS(STR("~/(a+)+$"))), ROUTE("deep", PATHS(STR("~/(?:b|c)*$"))),
               ROUTE("root", PATHS(STR("/"))));
    struct router_query query = {.method = STR("GET"), .path = {path, 60}, .head = &head};
    struct router_match match;

    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[59] = '!';
    assert_string_equal(find(router, &query, &match), "root");
    memset(path + 1, 'b', sizeof(path) - 1);
    query.path.len = sizeof(path);
    assert_string_equal(find(router, &query, &match), "deep");
}

static void *find_often(void *router)
{
    static const struct http_head head;
    const struct router_query query = {
        .method = STR("GET"), .path = STR("/users/12"), .head = &head};
    uintptr_t found = 0;
    for (int i = 0; i < 1000; i++) {
        struct router_match match;
        found += router_find(router, &query, &match) && match.matched_len == 9;
    }
    return (void *)found;
}

static void threads_share_a_router(void **state)
{
    (void)state;
    struct router *router =
        ROUTER(ROUTE("user", PATHS(STR("~/users/\\d+"))), ROUTE("root", PATHS(STR("/"))));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_often, router), 0);
    for (int i = 0; i < 4; i++) {
        void *found;
        assert_int_equal(pthread_join(threads[i], &found), 0);
        assert_int_equal((uintptr_t)found, 1000);
    }
}

static void many_nested_prefixes_are_compared(void **state)
{
    (void)state;
    enum { DEPTH = 60 };
    static char path[DEPTH + 2];
    struct str paths[DEPTH], method = STR("POST");
    struct route routes[DEPTH];
    static struct http_head head;

    memset(path, 'a', sizeof(path));
    path[0] = '/';
    for (size_t i = 0; i < DEPTH; i++) {
        paths[i] = str_make(path, i + 1);
        routes[i] = (struct route){
            .id = paths[i], .protocols = PROTOCOL_HTTP, .paths = &paths[i], .path_count = 1};
    }
    /* One in the middle asks for more, and so outranks all that a GET meets. */
    routes[20].methods = &method;
    routes[20].method_count = 1;
    struct router *router = router_of(routes, DEPTH);
    struct router_query query = {.method = STR("GET"), .path = {path, 50}, .head = &head};
    struct router_match match;
    assert_true(router_find(router, &query, &match));
    assert_int_equal(match.matched_len, 50);
    query.method = method;
    assert_true(router_find(router, &query, &match));
    assert_int_equal(match.matched_len, 21);
    query.path.len = 10;
    assert_true(router_find(router, &query, &match));
    assert_int_equal(match.matched_len, 10);
}

#define TEST(name) cmocka_unit_test_teardown(name, destroy_built)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_matches_in_an_empty_router),
        TEST(literal_paths_are_prefixes_and_the_longest_wins),
        TEST(methods_are_exact),
        TEST(hosts_are_plain_or_wildcards_with_or_without_port),
        TEST(what_is_too_long_for_a_name_meets_no_host),
        TEST(headers_need_all_names_and_any_value),
        TEST(regexes_are_anchored_at_the_start_only),
        TEST(the_winner_follows_the_precedence),
        TEST(a_better_ranked_route_must_be_met_in_full),
        TEST(snis_count_on_tls_only),
        TEST(the_matched_length_is_the_path_matchers),
        TEST(routes_of_other_protocols_are_left_out),
        TEST(a_bad_regex_names_its_route),
        TEST(a_router_goes_on_with_the_regexes_of_the_one_before),
        TEST(a_regex_that_works_too_hard_does_not_match),
        TEST(threads_share_a_router),
        TEST(many_nested_prefixes_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
