/* The router beside a matcher that is too plain to be wrong: every candidate is tried, the winner
 * is picked by comparing. Thousands of random routers and requests must agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/http1.h"
#include "proxy/router.h"
#include "proxy/router_regex.h"

#define MAX_ROUTES 64
#define MAX_LIST 3
#define ROUTERS 400
#define REQUESTS_EACH 100

struct random_route {
    char id[16];
    struct str methods[MAX_LIST], hosts[MAX_LIST], paths[MAX_LIST], snis[MAX_LIST];
    struct str values[2][MAX_LIST];
    struct route_header headers[2];
};

static struct random_route storage[MAX_ROUTES];
static struct route routes[MAX_ROUTES];
static uint32_t route_count;

static const struct str methods[] = {STR("GET"), STR("POST"), STR("PUT")};
static const struct str hosts[] = {
    STR("a.com"), STR("b.a.com"),  STR("*.a.com"),    STR("*.com"),  STR("a.*"),  STR("b.*"),
    STR("b.a.*"), STR("a.com:81"), STR("*.a.com:81"), STR("a.*:80"), STR("x.org")};
static const struct str paths[] = {STR("/"),
                                   STR("/a"),
                                   STR("/a/"),
                                   STR("/ab"),
                                   STR("/a/b"),
                                   STR("/a/b/c"),
                                   STR("/b"),
                                   STR("/b/1"),
                                   STR("~/a"),
                                   STR("~/a/\\d+"),
                                   STR("~/[ab]+"),
                                   STR("~/a|/b/c"),
                                   STR("~/ab?c"),
                                   STR("~/(a|b)/c"),
                                   STR("~/a(?i)B"),
                                   STR("~/b/1{2,}"),
                                   STR("~/a\\/b$"),
                                   STR("~/.*c"),
                                   STR("~/[ab]+/b/c"),
                                   STR("~/.*/c/1234"),
                                   STR("~/[^/]+/(x|y)/b/c"),
                                   STR("~/.?.?/b/cde?"),
                                   STR("~/(?:a|b)/x/b/+c")};
static const struct str values[] = {STR("1"), STR("2"), STR("x y")};
static const struct str value_regexes[] = {STR("~*^[12]"), STR("~*y$")};
static const struct str snis[] = {STR("a.com"), STR("*.com"), STR("x.*")};

static uint64_t random_state;

static uint32_t roll(uint32_t sides)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % sides;
}

#define ROLL_ONE(list) (list)[roll(sizeof(list) / sizeof((list)[0]))]

static uint32_t roll_list(struct str *out, const struct str *from, uint32_t from_count)
{
    if (roll(2))
        return 0;
    uint32_t count = 1 + roll(MAX_LIST);
    for (uint32_t i = 0; i < count; i++)
        out[i] = from[roll(from_count)];
    return count;
}

#define ROLL_LIST(out, from) roll_list(out, from, sizeof(from) / sizeof((from)[0]))

static void roll_headers(struct random_route *own, struct route *route)
{
    static const struct str names[] = {STR("x-a"), STR("x-b")};
    for (uint32_t i = 0; i < 2; i++) {
        if (roll(4))
            continue;
        struct route_header *header = &own->headers[route->header_count++];
        struct str *list = own->values[i];
        uint32_t count = 1 + roll(2);
        for (uint32_t j = 0; j < count; j++)
            list[j] = ROLL_ONE(values);
        if (roll(3) == 0) {
            list[0] = ROLL_ONE(value_regexes);
            count = 1;
        }
        *header = (struct route_header){.name = names[i], .values = list, .value_count = count};
    }
}

static void roll_route(uint32_t index)
{
    struct random_route *own = &storage[index];
    struct route *route = &routes[index];
    snprintf(own->id, sizeof(own->id), "%03u", index);
    *route = (struct route){
        .id = str_of(own->id),
        .protocols = PROTOCOL_HTTP | PROTOCOL_HTTPS,
        .regex_priority = roll(3) ? 0 : (int64_t)roll(3) - 1,
        .created_at = roll(3),
        .methods = own->methods,
        .method_count = ROLL_LIST(own->methods, methods),
        .hosts = own->hosts,
        .host_count = ROLL_LIST(own->hosts, hosts),
        .paths = own->paths,
        .path_count = ROLL_LIST(own->paths, paths),
        .headers = own->headers,
        .snis = own->snis,
        .sni_count = roll(3) ? 0 : ROLL_LIST(own->snis, snis),
    };
    roll_headers(own, route);
}

/* The plain matcher. A candidate is a route with one path, or with none. */
struct plain_candidate {
    const struct route *route;
    int64_t path; /* index, -1: none */
    uint32_t len;
};

static bool is_host_met(struct str pattern, const struct router_query *query)
{
    const char *colon = memchr(pattern.ptr, ':', pattern.len);
    if (colon) {
        unsigned long port = strtoul(colon + 1, NULL, 10);
        if (port != (query->port ? query->port : query->listener_port))
            return false;
        pattern.len = (size_t)(colon - pattern.ptr);
    }
    if (pattern.ptr[0] == '*')
        return str_ends_with(query->host, str_make(pattern.ptr + 1, pattern.len - 1));
    if (pattern.ptr[pattern.len - 1] == '*')
        return str_starts_with(query->host, str_make(pattern.ptr, pattern.len - 1));
    return str_equal(pattern, query->host);
}

static bool is_sni_met(struct str pattern, struct str sni)
{
    struct router_query query = {.host = sni};
    return is_host_met(pattern, &query);
}

static bool is_regex_met(struct str pattern, bool is_path, struct str subject, size_t *end)
{
    struct router_regex *regex;
    char message[100];
    assert_int_equal(
        router_regex_compile(pattern, is_path, !is_path, &regex, message, sizeof(message)), 0);
    bool is_met = router_regex_match(regex, subject, end);
    router_regex_destroy(regex);
    return is_met;
}

static bool is_header_met(const struct route_header *header, const struct http_head *head)
{
    size_t end;
    for (unsigned i = 0; i < head->field_count; i++) {
        struct str value = http_field_value(head, &head->fields[i]);
        if (!str_equal_nocase(http_field_name(head, &head->fields[i]), header->name))
            continue;
        for (uint32_t j = 0; j < header->value_count; j++) {
            struct str wanted = header->values[j];
            if (str_starts_with(wanted, STR("~*"))
                    ? is_regex_met(str_make(wanted.ptr + 2, wanted.len - 2), false, value, &end)
                    : str_equal_nocase(wanted, value))
                return true;
        }
    }
    return false;
}

static bool is_path_met(struct plain_candidate *candidate, struct str path)
{
    size_t end = 0;
    if (candidate->path >= 0) {
        struct str wanted = candidate->route->paths[candidate->path];
        end = wanted.len;
        if (wanted.ptr[0] == '~') {
            if (!is_regex_met(str_make(wanted.ptr + 1, wanted.len - 1), true, path, &end))
                return false;
        } else if (!str_starts_with(path, wanted)) {
            return false;
        }
    }
    candidate->len = (uint32_t)end;
    return true;
}

static bool is_met(struct plain_candidate *candidate, const struct router_query *query)
{
    const struct route *route = candidate->route;
    bool method = route->method_count == 0, host = route->host_count == 0;
    bool sni = route->sni_count == 0 || !query->is_tls, header = true;
    for (uint32_t i = 0; i < route->method_count; i++)
        method |= str_equal(route->methods[i], query->method);
    for (uint32_t i = 0; i < route->host_count; i++)
        host |= is_host_met(route->hosts[i], query);
    for (uint32_t i = 0; i < route->sni_count; i++)
        sni |= is_sni_met(route->snis[i], query->sni);
    for (uint32_t i = 0; i < route->header_count; i++)
        header &= is_header_met(&route->headers[i], query->head);
    return method && host && sni && header && is_path_met(candidate, query->path);
}

/* The order, written as one row of numbers: the greater wins at the first difference. */
enum { RANKS = 8 };

static void rank(const struct plain_candidate *candidate, int64_t row[RANKS])
{
    const struct route *route = candidate->route;
    struct str path = candidate->path >= 0 ? route->paths[candidate->path] : STR("");
    bool is_regex = path.len && path.ptr[0] == '~';
    bool is_plain = route->host_count > 0;
    for (uint32_t i = 0; i < route->host_count; i++)
        for (size_t j = 0; j < route->hosts[i].len; j++)
            is_plain &= route->hosts[i].ptr[j] != '*';
    row[0] = !!route->method_count + !!route->host_count + !!route->path_count +
             !!route->header_count + !!route->sni_count;
    row[1] = is_plain;
    row[2] = route->header_count;
    row[3] = is_regex;
    row[4] = is_regex ? route->regex_priority : 0;
    row[5] = is_regex ? 0 : (int64_t)path.len;
    row[6] = -route->created_at;
    row[7] = -(int64_t)(route - routes); /* ids are in this order */
}

static bool outranks(const struct plain_candidate *a, const struct plain_candidate *b)
{
    int64_t left[RANKS], right[RANKS];
    rank(a, left);
    rank(b, right);
    for (int i = 0; i < RANKS; i++)
        if (left[i] != right[i])
            return left[i] > right[i];
    return a->path < b->path;
}

static bool find_plainly(const struct router_query *query, struct plain_candidate *ret)
{
    bool is_found = false;
    for (uint32_t i = 0; i < route_count; i++) {
        int64_t path = routes[i].path_count ? 0 : -1;
        for (; path < (int64_t)routes[i].path_count; path++) {
            struct plain_candidate candidate = {&routes[i], path, 0};
            if (is_met(&candidate, query) && (!is_found || outranks(&candidate, ret))) {
                *ret = candidate;
                is_found = true;
            }
        }
    }
    return is_found;
}

static void roll_query(struct router_query *query, struct http_head *head, char *bytes)
{
    static struct http1_parser parser;
    static const struct str names[] = {STR("a.com"), STR("b.a.com"), STR("c.b.a.com"),
                                       STR("a.net"), STR("b.net"),   STR("x.org"),
                                       STR("com"),   STR(".com"),    STR("a.")};
    static const struct str targets[] = {
        STR("/"),           STR("/a"),           STR("/ab"),      STR("/abc"),     STR("/a/b"),
        STR("/a/b/c"),      STR("/a/12"),        STR("/b"),       STR("/b/c"),     STR("/b/111"),
        STR("/aB"),         STR("/z"),           STR("/a/b/cde"), STR("/a/x/b/c"), STR("/b/y/b/c"),
        STR("/b/b/c/1234"), STR("/a/c/1234/b/c")};
    char *at = bytes + sprintf(bytes, "GET / HTTP/1.0\r\n");
    for (uint32_t i = roll(4); i > 0; i--)
        at += sprintf(at, "X-%c: %.*s\r\n", roll(2) ? 'A' : 'b', STR_ARG(ROLL_ONE(values)));
    at += sprintf(at, "\r\n");
    http1_begin_request(&parser, head, 1024);
    assert_int_equal(http1_read_head(&parser, bytes, (size_t)(at - bytes)), HTTP1_DONE);
    *query = (struct router_query){
        .method = ROLL_ONE(methods),
        .host = roll(6) ? ROLL_ONE(names) : STR_EMPTY,
        .port = (uint16_t)(roll(2) ? 0 : 79 + roll(4)),
        .listener_port = 80,
        .path = ROLL_ONE(targets),
        .head = head,
        .sni = roll(2) ? ROLL_ONE(names) : STR_EMPTY,
        .is_tls = roll(2),
    };
}

static void compare_once(const struct router *router)
{
    static struct http_head head;
    char bytes[256];
    struct router_query query;
    struct router_match match = {0};
    struct plain_candidate expected = {0};

    roll_query(&query, &head, bytes);
    bool is_expected = find_plainly(&query, &expected);
    bool is_found = router_find(router, &query, &match);
    bool is_same = is_expected == is_found;
    if (is_same && is_found)
        is_same = match.route == expected.route && match.matched_len == expected.len &&
                  match.has_path == (expected.path >= 0);
    if (!is_same)
        fail_msg("%.*s %.*s host %.*s port %u: expected %.*s (%u), found %.*s (%u)",
                 STR_ARG(query.method), STR_ARG(query.path), STR_ARG(query.host), query.port,
                 STR_ARG(is_expected ? expected.route->id : STR("none")), expected.len,
                 STR_ARG(is_found ? match.route->id : STR("none")), match.matched_len);
}

static void the_router_agrees_with_the_plain_matcher(void **state)
{
    (void)state;
    struct router *before = NULL;
    for (uint32_t seed = 0; seed < ROUTERS; seed++) {
        struct router *router;
        struct error err;
        random_state = seed;
        route_count = 1 + roll(MAX_ROUTES);
        for (uint32_t i = 0; i < route_count; i++)
            roll_route(i);
        assert_int_equal(router_create(routes, route_count, before, &router, &err), 0);
        router_destroy(before);
        for (uint32_t i = 0; i < REQUESTS_EACH; i++)
            compare_once(router);
        before = router;
    }
    router_destroy(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_router_agrees_with_the_plain_matcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
