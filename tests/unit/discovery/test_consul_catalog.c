#include "unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "discovery/consul_catalog.h"
#include "discovery/consul_meta.h"
#include "unit/fake_consul.h"
#include "unit/loop.h"

static uv_loop_t loop;
static struct fake_consul fake;
static struct consul *consul;
static struct consul_catalog *catalog;
static struct consul_meta *meta;
static char token_path[] = "/tmp/weir-test-token-XXXXXX";
static unsigned lists_heard, found_count;

static void on_services(void *owner, const struct consul_catalog_news *news)
{
    (void)owner;
    (void)news;
    lists_heard++;
}

static void on_meta(void *owner, const json_t *services)
{
    (void)owner;
    found_count = (unsigned)json_array_size(services);
}

static void write_token(const char *token)
{
    FILE *file = fopen(token_path, "w");
    assert_non_null(file);
    fputs(token, file);
    fclose(file);
}

static int setup(void **state)
{
    (void)state;
    log_set_level(getenv("WEIR_TEST_LOG") ? LOG_DEBUG : LOG_CRIT);
    lists_heard = found_count = 0;
    strcpy(token_path + sizeof(token_path) - 7, "XXXXXX");
    close(mkstemp(token_path));
    write_token("first-token");
    uv_loop_init(&loop);
    fake_consul_open(&fake, &loop);
    const struct consul_settings settings = {.urls = fake.url, .token_file = token_path};
    assert_int_equal(consul_create(&loop, &settings, &consul), 0);
    assert_int_equal(consul_meta_open(consul, on_meta, NULL, &meta), 0);
    return consul_catalog_open(consul, on_services, NULL, &catalog);
}

static void on_part_closed(void *arg)
{
    ++*(unsigned *)arg;
}

static int teardown(void **state)
{
    (void)state;
    unsigned closed = 0;
    consul_catalog_close(catalog, on_part_closed, &closed);
    consul_meta_close(meta, on_part_closed, &closed);
    consul_close(consul, on_part_closed, &closed);
    fake_consul_stop(&fake);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(closed, 3);
    unlink(token_path);
    return uv_loop_close(&loop);
}

static json_int_t count_of(json_t *body, const char *name)
{
    json_int_t count = json_integer_value(json_object_get(body, name));
    json_decref(body);
    return count;
}

static bool is_parked(void)
{
    json_t *body = consul_catalog_describe(catalog);
    bool is_parked = strcmp(json_string_value(json_object_get(body, "phase")), "parked") == 0;
    json_decref(body);
    return is_parked;
}

TEST(a_token_that_comes_while_consul_is_away_is_used_when_it_is_back)
{
    fake_consul_set_body(&fake, "{}");
    fake.wanted_token = "X-Consul-Token: third-token";
    consul_meta_ask(meta, 0);
    assert_true(LOOP_UNTIL(&loop, count_of(consul_catalog_describe(catalog), "errors") > 0 &&
                                      count_of(consul_meta_describe(meta), "errors") > 0));
    fake_consul_stop(&fake);
    assert_true(LOOP_UNTIL(&loop, is_parked()));
    write_token("a-second-token");
    LOOP_FOR(&loop, 600); /* it is looked at four times a second */
    write_token("third-token");
    LOOP_FOR(&loop, 600);
    fake_consul_start(&fake);
    assert_true(LOOP_UNTIL(&loop, lists_heard > 0));
}

TEST(an_answer_older_than_what_is_looked_for_is_asked_for_again)
{
    assert_true(LOOP_UNTIL(&loop, fake.request_count > 0));
    fake_consul_set_body(&fake, "[{\"Name\":\"web\"}]");
    consul_meta_ask(meta, fake.index + 1);
    assert_true(LOOP_UNTIL(&loop, found_count == 1));
    fake_consul_set_body(&fake, "[{\"Name\":\"web\"}, {\"Name\":\"shop\"}]");
    assert_true(LOOP_UNTIL(&loop, found_count == 2));
    json_int_t reads = count_of(consul_meta_describe(meta), "reads");
    LOOP_FOR(&loop, 1500);
    assert_int_equal(count_of(consul_meta_describe(meta), "reads"), reads);
}

#define TL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
RUN(TL(a_token_that_comes_while_consul_is_away_is_used_when_it_is_back),
    TL(an_answer_older_than_what_is_looked_for_is_asked_for_again))
