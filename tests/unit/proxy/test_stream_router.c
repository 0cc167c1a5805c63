#include "proxy/stream_router.h"

#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(type, ...) (sizeof((type[]){__VA_ARGS__}) / sizeof(type))
#define SNIS(...)                                                                                  \
    .snis = (const struct str[]){__VA_ARGS__}, .sni_count = COUNT(struct str, __VA_ARGS__)
#define SOURCES(...)                                                                               \
    .sources = (const struct route_peer[]){__VA_ARGS__},                                           \
    .source_count = COUNT(struct route_peer, __VA_ARGS__)
#define DESTINATIONS(...)                                                                          \
    .destinations = (const struct route_peer[]){__VA_ARGS__},                                      \
    .destination_count = COUNT(struct route_peer, __VA_ARGS__)
#define PORT(number)                                                                               \
    {                                                                                              \
        .has_port = true, .port = (number)                                                         \
    }
#define TCP(name, ...)                                                                             \
    {                                                                                              \
        .id = STR(name), .protocols = PROTOCOL_TCP, __VA_ARGS__                                    \
    }
#define TLS(name, ...)                                                                             \
    {                                                                                              \
        .id = STR(name), .protocols = PROTOCOL_TLS, __VA_ARGS__                                    \
    }
#define ROUTER(...) router_of((const struct route[]){__VA_ARGS__}, COUNT(struct route, __VA_ARGS__))

static struct stream_router *built;

static struct stream_router *router_of(const struct route *routes, size_t count)
{
    stream_router_destroy(built);
    built = NULL;
    assert_int_equal(stream_router_create(routes, (uint32_t)count, &built), 0);
    return built;
}

static int destroy_built(void **state)
{
    (void)state;
    stream_router_destroy(built);
    built = NULL;
    return 0;
}

static struct route_peer range(const char *text)
{
    struct route_peer peer = {.has_range = true};
    assert_true(cidr_read_range(str_of(text), &peer.range));
    return peer;
}

static const char *find(const struct stream_router *router, struct stream_query *query)
{
    const struct route *route = stream_router_find(router, query);
    return route ? route->id.ptr : "none";
}

/* "10.0.0.1" port 4711 to 10.9.9.9. */
static const char *tcp(const struct stream_router *router, const char *source, uint16_t port)
{
    struct stream_query query = {
        .source_port = 4711, .destination_port = port, .protocols = PROTOCOL_TCP};
    assert_true(cidr_read_address(str_of(source), &query.source));
    assert_true(cidr_read_address(STR("10.9.9.9"), &query.destination));
    return find(router, &query);
}

static const char *tls(const struct stream_router *router, const char *name)
{
    struct stream_query query = {.destination_port = 443,
                                 .protocols = PROTOCOL_TLS | PROTOCOL_TLS_PASSTHROUGH,
                                 .server_name = str_of(name),
                                 .is_tls = true};
    assert_true(cidr_read_address(STR("10.0.0.1"), &query.source));
    assert_true(cidr_read_address(STR("10.9.9.9"), &query.destination));
    return find(router, &query);
}

TEST(a_route_is_found_by_port_and_address)
{
    struct stream_router *router =
        ROUTER(TCP("mysql", DESTINATIONS(PORT(3306), PORT(3307))),
               TCP("postgres", DESTINATIONS({.range = range("10.9.9.0/24").range,
                                             .has_range = true,
                                             .has_port = true,
                                             .port = 5432})),
               TCP("elsewhere", DESTINATIONS({.range = range("10.8.0.0/16").range,
                                              .has_range = true,
                                              .has_port = true,
                                              .port = 6379})));
    assert_string_equal(tcp(router, "10.0.0.1", 3306), "mysql");
    assert_string_equal(tcp(router, "10.0.0.1", 3307), "mysql");
    assert_string_equal(tcp(router, "10.0.0.1", 5432), "postgres");
    assert_string_equal(tcp(router, "10.0.0.1", 6379), "none");
    assert_string_equal(tcp(router, "10.0.0.1", 3308), "none");
}

TEST(all_that_a_route_names_must_fit)
{
    struct stream_router *router =
        ROUTER(TCP("both", SOURCES(range("10.0.0.0/8"), range("::1")), DESTINATIONS(PORT(1))));
    assert_string_equal(tcp(router, "10.1.2.3", 1), "both");
    assert_string_equal(tcp(router, "::1", 1), "both");
    assert_string_equal(tcp(router, "::ffff:10.1.2.3", 1), "both");
    assert_string_equal(tcp(router, "11.1.2.3", 1), "none");
    assert_string_equal(tcp(router, "10.1.2.3", 2), "none");
}

TEST(more_attributes_win_then_narrower_ones_then_the_older)
{
    struct stream_router *router =
        ROUTER(TCP("old", .created_at = 1, SOURCES(range("10.0.0.0/8"))),
               TCP("older", .created_at = 0, SOURCES(range("10.0.0.0/8"))),
               TCP("narrow", .created_at = 2, SOURCES(range("10.1.0.0/16"))),
               TCP("wide and narrow", SOURCES(range("10.1.0.0/24"), range("0.0.0.0/0"))),
               TCP("port", DESTINATIONS(PORT(7))),
               TCP("two", SOURCES(range("0.0.0.0/0")), DESTINATIONS(PORT(9))));
    assert_string_equal(tcp(router, "10.2.0.1", 1), "older");
    assert_string_equal(tcp(router, "10.1.0.1", 1), "narrow");
    assert_string_equal(tcp(router, "11.1.0.1", 1), "wide and narrow");
    assert_string_equal(tcp(router, "10.1.0.1", 7), "port"); /* destinations come first */
    assert_string_equal(tcp(router, "10.1.0.1", 9), "two");
}

TEST(names_are_exact_before_they_are_wild)
{
    struct stream_router *router = ROUTER(
        TLS("any", DESTINATIONS(PORT(443))), TLS("right", SNIS(STR("a.*"))),
        TLS("left", SNIS(STR("*.example"))), TLS("longer", SNIS(STR("*.b.example"))),
        TLS("exact", SNIS(STR("x.example"), STR("a.b.example"))), TLS("star", SNIS(STR("*"))));
    assert_string_equal(tls(router, "a.b.example"), "exact");
    assert_string_equal(tls(router, "x.example"), "exact");
    assert_string_equal(tls(router, "c.b.example"), "longer");
    assert_string_equal(tls(router, "a.example"), "left");
    assert_string_equal(tls(router, "a.other"), "right");
    assert_string_equal(tls(router, "example"), "star");
    assert_string_equal(tls(router, ""), "any");
}

TEST(an_exact_name_is_no_more_than_a_name)
{
    struct stream_router *router =
        ROUTER(TLS("exact", SNIS(STR("a.example"))),
               TLS("wild, and a port", SNIS(STR("*.example")), DESTINATIONS(PORT(443))));
    assert_string_equal(tls(router, "a.example"), "wild, and a port");
}

TEST(protocols_keep_routes_apart)
{
    struct stream_router *router = ROUTER(
        {.id = STR("web"), .protocols = PROTOCOL_HTTP | PROTOCOL_HTTPS},
        {.id = STR("through"), .protocols = PROTOCOL_TLS_PASSTHROUGH, SNIS(STR("a.example"))},
        TLS("ended", SNIS(STR("b.example"))),
        {.id = STR("either"), .protocols = PROTOCOL_TCP | PROTOCOL_TLS, SNIS(STR("c.example"))});
    assert_string_equal(tls(router, "a.example"), "through");
    assert_string_equal(tls(router, "b.example"), "ended");
    assert_string_equal(tls(router, "c.example"), "either");
    /* Without TLS there is no name to compare. */
    assert_string_equal(tcp(router, "10.0.0.1", 1), "either");
    router = ROUTER({.id = STR("web"), .protocols = PROTOCOL_HTTP});
    assert_string_equal(tcp(router, "10.0.0.1", 1), "none");
    assert_string_equal(tls(router, "a.example"), "none");
}

TEST(ten_thousand_names_are_told_apart)
{
    enum { NAMES = 10000 };
    struct route *routes = calloc(NAMES, sizeof(*routes));
    char(*names)[32] = calloc(NAMES, sizeof(*names));
    struct str *snis = calloc(NAMES, sizeof(*snis));
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "host-%d.example", i);
        snis[i] = str_of(names[i]);
        routes[i] = (struct route){
            .id = snis[i], .protocols = PROTOCOL_TLS, .snis = &snis[i], .sni_count = 1};
    }
    struct stream_router *router = router_of(routes, NAMES);
    for (int i = 0; i < NAMES; i += 97)
        assert_string_equal(tls(router, names[i]), names[i]);
    assert_string_equal(tls(router, "host-10000.example"), "none");
    free(routes);
    free(names);
    free(snis);
}

#define R(name) cmocka_unit_test_teardown(name, destroy_built)

RUN(R(a_route_is_found_by_port_and_address), R(all_that_a_route_names_must_fit),
    R(more_attributes_win_then_narrower_ones_then_the_older),
    R(names_are_exact_before_they_are_wild), R(an_exact_name_is_no_more_than_a_name),
    R(protocols_keep_routes_apart), R(ten_thousand_names_are_told_apart))
