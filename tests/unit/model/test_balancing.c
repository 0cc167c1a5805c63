#include "model/balancing.h"

#include "unit/test.h"

static struct balancing *of(const char *text)
{
    json_t *row = json_loads(text, 0, NULL);
    struct balancing *balancing;
    assert_non_null(row);
    assert_int_equal(balancing_create(row, &balancing), 0);
    json_decref(row); /* it keeps copies */
    return balancing;
}

TEST(an_upstream_that_says_nothing_takes_turns)
{
    struct balancing *balancing =
        of("{\"algorithm\": null, \"hash_on\": null, \"slow_start\": null, \"limits\": null}");
    assert_int_equal(balancing->algorithm, BALANCING_ROUND_ROBIN);
    assert_int_equal(balancing->hash_on.input, HASH_INPUT_NONE);
    assert_int_equal(balancing->slow_start_ms, 0);
    assert_int_equal(balancing->max_in_flight, 0);
    balancing_unref(balancing);
}

TEST(each_hash_input_has_its_name)
{
    struct balancing *balancing =
        of("{\"algorithm\": \"consistent-hashing\", \"hash_on\": \"header\", "
           "\"hash_on_header\": \"X-A\", \"hash_fallback\": \"query_arg\", "
           "\"hash_fallback_query_arg\": \"q\", \"hash_on_cookie_path\": \"/\"}");
    assert_int_equal(balancing->algorithm, BALANCING_CONSISTENT_HASH);
    assert_int_equal(balancing->hash_on.input, HASH_INPUT_HEADER);
    assert_true(str_equal(balancing->hash_on.name, STR("X-A")));
    assert_int_equal(balancing->hash_fallback.input, HASH_INPUT_QUERY_ARG);
    assert_true(str_equal(balancing->hash_fallback.name, STR("q")));
    assert_true(str_equal(balancing->cookie_path, STR("/")));
    balancing_unref(balancing);
}

TEST(our_own_fields_are_read)
{
    struct balancing *balancing = of("{\"algorithm\": \"latency\", \"slow_start\": 0.5, "
                                     "\"limits\": {\"max_in_flight\": 7, \"max_connections\": 8, "
                                     "\"max_pending\": 9, \"pending_timeout\": 0.25}}");
    assert_int_equal(balancing->algorithm, BALANCING_LATENCY);
    assert_int_equal(balancing->slow_start_ms, 500);
    assert_int_equal(balancing->max_in_flight, 7);
    assert_int_equal(balancing->max_connections, 8);
    assert_int_equal(balancing->max_pending, 9);
    assert_int_equal(balancing->pending_timeout_ms, 250);
    balancing_unref(balancing);
}

TEST(what_differs_is_not_equal)
{
    static const char *const texts[] = {
        "{\"algorithm\": \"round-robin\"}",
        "{\"algorithm\": \"least-connections\"}",
        "{\"algorithm\": \"consistent-hashing\", \"hash_on\": \"ip\"}",
        "{\"algorithm\": \"consistent-hashing\", \"hash_on\": \"path\"}",
        "{\"algorithm\": \"consistent-hashing\", \"hash_on\": \"header\", \"hash_on_header\": "
        "\"a\"}",
        "{\"algorithm\": \"consistent-hashing\", \"hash_on\": \"header\", \"hash_on_header\": "
        "\"b\"}",
        "{\"algorithm\": \"round-robin\", \"slow_start\": 1}",
        "{\"algorithm\": \"round-robin\", \"hedging\": {}}",
        "{\"algorithm\": \"round-robin\", \"hedging\": {\"delay\": 1}}",
        "{\"algorithm\": \"round-robin\", \"hedging\": {\"percentile\": 99}}",
        "{\"algorithm\": \"round-robin\", \"limits\": {\"max_in_flight\": 1}}",
        "{\"algorithm\": \"round-robin\", \"limits\": {\"max_connections\": 1}}",
        "{\"algorithm\": \"round-robin\", \"limits\": {\"max_in_flight\": 1, \"max_pending\": 1}}",
        "{\"algorithm\": \"round-robin\", \"limits\": {\"max_in_flight\": 1, \"max_pending\": 1, "
        "\"pending_timeout\": 1}}",
    };
    enum { COUNT = sizeof(texts) / sizeof(*texts) };
    struct balancing *all[COUNT], *again[COUNT];
    for (int i = 0; i < COUNT; i++) {
        all[i] = of(texts[i]);
        again[i] = of(texts[i]);
    }
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            assert_int_equal(balancing_equal(all[i], again[j]), i == j);
    assert_false(balancing_equal(NULL, all[0]));
    assert_true(balancing_equal(NULL, NULL));
    for (int i = 0; i < COUNT; i++) {
        balancing_unref(all[i]);
        balancing_unref(again[i]);
    }
}

RUN(T(an_upstream_that_says_nothing_takes_turns), T(each_hash_input_has_its_name),
    T(our_own_fields_are_read), T(what_differs_is_not_equal))
