#include "model/compiled_route.h"

#include "unit/model/rows.h"
#include "unit/test.h"

static struct compiled_route *compile_alone(json_t *row)
{
    struct packed_row *packed = packed_row_create(row_layout_of(entity_named("routes")), row);
    struct compiled_route *compiled = compiled_route_create(packed, row);
    packed_row_unref(packed);
    json_decref(row);
    return compiled;
}

TEST(a_compiled_route_owes_nothing_to_its_row)
{
    json_t *row = json_loads("{\"id\":\"i\",\"name\":\"n\",\"paths\":[\"/a\",\"~/b\"],"
                             "\"hosts\":[\"A.b\"],\"snis\":[\"S\"],\"methods\":[\"GET\"],"
                             "\"headers\":{\"X-A\":[\"One\",\"Two\"],\"X-B\":[\"~*^A$\"]},"
                             "\"protocols\":[\"https\"],\"service\":{\"id\":\"s\"}}",
                             0, NULL);
    struct compiled_route *compiled = compile_alone(row);
    const struct route *route = &compiled->route;
    assert_true(str_equal(route->id, STR("i")) && str_equal(route->name, STR("n")));
    assert_int_equal(route->path_count, 2);
    assert_true(str_equal(route->paths[1], STR("~/b")));
    assert_true(str_equal(route->hosts[0], STR("a.b")));
    assert_true(str_equal(route->snis[0], STR("s")));
    assert_true(str_equal(route->methods[0], STR("GET")));
    assert_int_equal(route->header_count, 2);
    assert_true(str_equal(route->headers[0].name, STR("x-a")));
    assert_true(str_equal(route->headers[0].values[1], STR("two")));
    assert_true(str_equal(route->headers[1].values[0], STR("~*^A$")));
    assert_int_equal(route->protocols, PROTOCOL_HTTPS);
    assert_int_equal(route->https_redirect_status_code, 426);
    assert_true(compiled->has_service);
    compiled_route_unref(compiled);
}

TEST(a_stream_route_keeps_its_peers)
{
    json_t *row = json_loads("{\"id\":\"i\",\"protocols\":[\"tcp\",\"tls\"],\"snis\":[\"a\"],"
                             "\"sources\":[{\"ip\":\"10.0.0.0/8\",\"port\":null},"
                             "{\"ip\":\"::1\",\"port\":5}],"
                             "\"destinations\":[{\"ip\":null,\"port\":5432},{\"ip\":\"?\"}]}",
                             0, NULL);
    struct compiled_route *compiled = compile_alone(row);
    const struct route *route = &compiled->route;
    struct cidr_address address;
    assert_int_equal(route->protocols, PROTOCOL_TCP | PROTOCOL_TLS);
    assert_false(compiled->has_service);
    assert_int_equal(route->source_count, 2);
    assert_true(cidr_read_address(STR("10.1.2.3"), &address));
    assert_true(cidr_range_has(&route->sources[0].range, &address));
    assert_false(route->sources[0].has_port);
    assert_true(route->sources[1].has_port && route->sources[1].port == 5);
    assert_int_equal(route->destination_count, 2);
    assert_false(route->destinations[0].has_range);
    assert_int_equal(route->destinations[0].port, 5432);
    assert_false(cidr_range_has(&route->destinations[1].range, &address));
    compiled_route_unref(compiled);
}

RUN(T(a_compiled_route_owes_nothing_to_its_row), T(a_stream_route_keeps_its_peers))
