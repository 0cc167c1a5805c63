#include "plugins/registry.h"

#include "unit/model/rows.h"
#include "unit/plugins/plugins.h"

#define HEAD "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

/* What a client at 192.0.2.1 is answered; 0: it is let in. */
static int status_for(const char *config)
{
    struct seen seen;
    struct plugin_effect effect = {.status = 0};
    const void *compiled;
    json_t *json = parse(config);
    seen_init(&seen, HEAD);
    assert_int_equal(ip_restriction_step.compile(NULL, json, &seen.arena, &compiled), 0);
    ip_restriction_step.access(compiled, &seen.request, &effect);
    json_decref(json);
    seen_deinit(&seen);
    return effect.status;
}

TEST(clients_are_let_in_by_their_addresses)
{
    assert_int_equal(status_for("{'allow':['192.0.2.0/24']}"), 0);
    assert_int_equal(status_for("{'allow':['10.0.0.0/8']}"), 403);
    assert_int_equal(status_for("{'deny':['192.0.2.1']}"), 403);
    assert_int_equal(status_for("{'deny':['10.0.0.1']}"), 0);
}

TEST(what_cannot_be_read_lets_nobody_in)
{
    assert_int_equal(status_for("{'deny':['192.000.002.001']}"), 403);
    assert_int_equal(status_for("{'deny':['x']}"), 403);
    assert_int_equal(status_for("{'allow':['192.0.2.1','x']}"), 403);
}

TEST(a_status_that_ends_no_exchange_is_not_sent)
{
    assert_int_equal(status_for("{'deny':['192.0.2.1'],'status':101}"), 403);
    assert_int_equal(status_for("{'deny':['192.0.2.1'],'status':199}"), 403);
    assert_int_equal(status_for("{'deny':['192.0.2.1'],'status':200}"), 200);
    assert_int_equal(status_for("{'deny':['192.0.2.1'],'status':600}"), 403);
}

RUN(T(clients_are_let_in_by_their_addresses), T(what_cannot_be_read_lets_nobody_in),
    T(a_status_that_ends_no_exchange_is_not_sent))
