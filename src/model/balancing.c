#include "model/balancing.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/row.h"

#define DEFAULT_PENDING_TIMEOUT_MS 100
#define DEFAULT_HEDGE_PERCENTILE 95
#define TEXT_COUNT 3 /* what is hashed on, the fallback, the cookie's path */

struct word {
    const char *text;
    int value;
};

static int find_word(const struct word *words, struct str text, int otherwise)
{
    for (; words->text; words++)
        if (str_equal(text, str_of(words->text)))
            return words->value;
    return otherwise;
}

static enum balancing_algorithm algorithm_of(const json_t *row)
{
    static const struct word words[] = {
        {"least-connections", BALANCING_LEAST_CONNECTIONS},
        {"consistent-hashing", BALANCING_CONSISTENT_HASH},
        {"latency", BALANCING_LATENCY},
        {NULL, 0},
    };
    return (enum balancing_algorithm)find_word(words, row_text(row, "algorithm"),
                                               BALANCING_ROUND_ROBIN);
}

static enum hash_input input_of(const json_t *row, const char *field)
{
    static const struct word words[] = {
        {"consumer", HASH_INPUT_CONSUMER},
        {"ip", HASH_INPUT_IP},
        {"header", HASH_INPUT_HEADER},
        {"cookie", HASH_INPUT_COOKIE},
        {"path", HASH_INPUT_PATH},
        {"query_arg", HASH_INPUT_QUERY_ARG},
        {"uri_capture", HASH_INPUT_URI_CAPTURE},
        {NULL, 0},
    };
    return (enum hash_input)find_word(words, row_text(row, field), HASH_INPUT_NONE);
}

/* A cookie has one field for both: there is nothing to fall back to but itself. */
static struct str name_of(const json_t *row, enum hash_input input, bool is_fallback)
{
    switch (input) {
    case HASH_INPUT_HEADER:
        return row_text(row, is_fallback ? "hash_fallback_header" : "hash_on_header");
    case HASH_INPUT_COOKIE:
        return row_text(row, "hash_on_cookie");
    case HASH_INPUT_QUERY_ARG:
        return row_text(row, is_fallback ? "hash_fallback_query_arg" : "hash_on_query_arg");
    case HASH_INPUT_URI_CAPTURE:
        return row_text(row, is_fallback ? "hash_fallback_uri_capture" : "hash_on_uri_capture");
    case HASH_INPUT_NONE:
    case HASH_INPUT_CONSUMER:
    case HASH_INPUT_IP:
    case HASH_INPUT_PATH:
        break;
    }
    return STR_EMPTY;
}

static struct str keep(char **at, struct str text)
{
    struct str kept = {*at, text.len};
    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return kept;
}

static uint32_t number_at(const json_t *record, const char *name)
{
    return (uint32_t)json_number_value(json_object_get(record, name));
}

static void read_limits(struct balancing *balancing, const json_t *limits)
{
    balancing->max_in_flight = number_at(limits, "max_in_flight");
    balancing->max_connections = number_at(limits, "max_connections");
    balancing->max_pending = number_at(limits, "max_pending");
    const json_t *seconds = json_object_get(limits, "pending_timeout");
    balancing->pending_timeout_ms = json_is_number(seconds)
                                        ? (uint32_t)(json_number_value(seconds) * 1000)
                                        : DEFAULT_PENDING_TIMEOUT_MS;
}

static void read_hedging(struct balancing *balancing, const json_t *hedging)
{
    const json_t *percentile = json_object_get(hedging, "percentile");
    balancing->is_hedged = json_is_object(hedging);
    balancing->hedge_delay_ms =
        (uint32_t)(json_number_value(json_object_get(hedging, "delay")) * 1000);
    balancing->hedge_percentile =
        json_is_number(percentile) ? json_number_value(percentile) : DEFAULT_HEDGE_PERCENTILE;
}

int balancing_create(const json_t *row, struct balancing **ret)
{
    enum hash_input on = input_of(row, "hash_on"), fallback = input_of(row, "hash_fallback");
    const struct str texts[TEXT_COUNT] = {name_of(row, on, false), name_of(row, fallback, true),
                                          row_text(row, "hash_on_cookie_path")};
    struct balancing *balancing =
        calloc(1, sizeof(*balancing) + texts[0].len + texts[1].len + texts[2].len);
    if (!balancing)
        return UV_ENOMEM;
    char *room = (char *)(balancing + 1);
    atomic_init(&balancing->refs, 1);
    balancing->algorithm = algorithm_of(row);
    balancing->hash_on = (struct hash_source){on, keep(&room, texts[0])};
    balancing->hash_fallback = (struct hash_source){fallback, keep(&room, texts[1])};
    balancing->cookie_path = keep(&room, texts[2]);
    double seconds = json_number_value(json_object_get(row, "slow_start"));
    balancing->slow_start_ms = (uint32_t)(seconds * 1000);
    read_limits(balancing, json_object_get(row, "limits"));
    read_hedging(balancing, json_object_get(row, "hedging"));
    *ret = balancing;
    return 0;
}

struct balancing *balancing_ref(struct balancing *balancing)
{
    if (balancing)
        atomic_fetch_add_explicit(&balancing->refs, 1, memory_order_relaxed);
    return balancing;
}

void balancing_unref(struct balancing *balancing)
{
    if (balancing && atomic_fetch_sub_explicit(&balancing->refs, 1, memory_order_acq_rel) == 1)
        free(balancing);
}

static bool same_source(const struct hash_source *a, const struct hash_source *b)
{
    return a->input == b->input && str_equal(a->name, b->name);
}

bool balancing_equal(const struct balancing *a, const struct balancing *b)
{
    if (!a || !b)
        return a == b;
    return a->algorithm == b->algorithm && same_source(&a->hash_on, &b->hash_on) &&
           same_source(&a->hash_fallback, &b->hash_fallback) &&
           str_equal(a->cookie_path, b->cookie_path) && a->slow_start_ms == b->slow_start_ms &&
           a->max_in_flight == b->max_in_flight && a->max_connections == b->max_connections &&
           a->max_pending == b->max_pending && a->pending_timeout_ms == b->pending_timeout_ms &&
           a->is_hedged == b->is_hedged && a->hedge_delay_ms == b->hedge_delay_ms &&
           a->hedge_percentile == b->hedge_percentile;
}
