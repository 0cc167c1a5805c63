/* rate_limiting.c - so many requests a second, minute… year, and no more, of each who is told
 * apart.
 *
 * Counted by this node alone, in Kong's policy "local". The policies that count for several nodes
 * together, in a database or Redis, are not there: such a row counts like "local", and is warned
 * of. */
#include "plugins/registry.h"

#include <stdio.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "model/row.h"
#include "plugins/rate_counters.h"

#define MAX_LINE_BYTES 64

static const struct {
    const char *field;
    struct str limit_name, remaining_name;
    int64_t length_s; /* as RateLimit-Reset counts it */
} periods[RATE_PERIODS] = {
    [RATE_SECOND] = {"second", STR_INIT("X-RateLimit-Limit-Second"),
                     STR_INIT("X-RateLimit-Remaining-Second"), 1},
    [RATE_MINUTE] = {"minute", STR_INIT("X-RateLimit-Limit-Minute"),
                     STR_INIT("X-RateLimit-Remaining-Minute"), 60},
    [RATE_HOUR] = {"hour", STR_INIT("X-RateLimit-Limit-Hour"),
                   STR_INIT("X-RateLimit-Remaining-Hour"), 3600},
    [RATE_DAY] = {"day", STR_INIT("X-RateLimit-Limit-Day"), STR_INIT("X-RateLimit-Remaining-Day"),
                  86400},
    [RATE_MONTH] = {"month", STR_INIT("X-RateLimit-Limit-Month"),
                    STR_INIT("X-RateLimit-Remaining-Month"), 2592000},
    [RATE_YEAR] = {"year", STR_INIT("X-RateLimit-Limit-Year"),
                   STR_INIT("X-RateLimit-Remaining-Year"), 31536000},
};
static const struct str total_names[] = {
    STR_INIT("RateLimit-Limit"), STR_INIT("RateLimit-Remaining"), STR_INIT("RateLimit-Reset")};

enum limit_by {
    BY_CONSUMER = 0,
    BY_CREDENTIAL,
    BY_IP,
    BY_SERVICE,
    BY_HEADER,
    BY_PATH,
    BY_COUNT, /* keep last */
};
static const char *const by_names[BY_COUNT] = {"consumer", "credential", "ip",
                                               "service",  "header",     "path"};

struct rate_limiting {
    struct rate_limit limits[RATE_PERIODS];
    unsigned limit_count;
    enum limit_by by;
    struct str header;
    struct str path;
    struct str scope; /* the row's route and service: those with the same share their counters */
    bool hides_headers;
    uint16_t status;
    struct plugin_saying saying;
};

/* ---- compiling ---- */

static enum limit_by read_by(const json_t *config)
{
    for (int by = 0; by < BY_COUNT; by++)
        if (str_equal(row_text(config, "limit_by"), str_of(by_names[by])))
            return (enum limit_by)by;
    return BY_CONSUMER;
}

static struct str scope_of(const json_t *row, struct arena *arena)
{
    char text[128];
    struct str route = row_text(json_object_get(row, "route"), "id");
    struct str service = row_text(json_object_get(row, "service"), "id");
    snprintf(text, sizeof(text), "%.*s:%.*s:", STR_ARG(route), STR_ARG(service));
    return arena_copy(arena, str_of(text));
}

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    struct rate_limiting *made = arena_alloc(arena, sizeof(*made));
    double status = json_number_value(json_object_get(config, "error_code"));
    struct str message = row_text(config, "error_message");
    if (!made)
        return UV_ENOMEM;
    *made = (struct rate_limiting){
        .by = read_by(config),
        .header = arena_copy(arena, row_text(config, "header_name")),
        .path = arena_copy(arena, row_text(config, "path")),
        .scope = scope_of(row, arena),
        .hides_headers = json_is_true(json_object_get(config, "hide_client_headers")),
        .status = status >= 200 && status <= 599 ? (uint16_t)status : 429,
    };
    for (int period = 0; period < RATE_PERIODS; period++) {
        const json_t *max = json_object_get(config, periods[period].field);
        if (json_is_number(max))
            made->limits[made->limit_count++] =
                (struct rate_limit){(enum rate_period)period, json_number_value(max)};
    }
    *ret = made;
    if (!made->scope.ptr)
        return UV_ENOMEM;
    return plugin_saying_compile(arena, message.len > 0 ? message : STR("API rate limit exceeded"),
                                 &made->saying);
}

/* ---- who is counted ---- */

static struct str identifier_of(const struct rate_limiting *own,
                                const struct plugin_request *request,
                                const struct plugin_effect *effect)
{
    struct str found = STR_EMPTY;
    switch (own->by) {
    case BY_CONSUMER:
        found = effect->consumer ? effect->consumer->id : STR_EMPTY;
        break;
    case BY_CREDENTIAL:
        found = effect->credential ? effect->credential->id : STR_EMPTY;
        break;
    case BY_SERVICE:
        found = request->route->service ? request->route->service->id : STR_EMPTY;
        break;
    case BY_HEADER:
        found = plugin_find_field(request->head, own->header);
        break;
    case BY_PATH:
        found = str_equal(request->path, own->path) ? own->path : STR_EMPTY;
        break;
    case BY_IP:
    case BY_COUNT:
        break;
    }
    return found.len > 0 ? found : request->client;
}

static struct str name_of(const struct rate_limiting *own, struct arena *arena, struct str who)
{
    char *text = arena_alloc(arena, own->scope.len + who.len + 1);
    if (!text)
        return own->scope;
    char *end = mempcpy(text, own->scope.ptr, own->scope.len);
    if (who.len > 0)
        end = mempcpy(end, who.ptr, who.len);
    return str_make(text, (size_t)(end - text));
}

/* ---- what is told ---- */

/* Most limits are whole. */
static void put_number(struct arena *arena, struct str *lines, struct str name, double number)
{
    char text[MAX_LINE_BYTES];
    snprintf(text, sizeof(text), "%.14g", number);
    plugin_add_line(arena, lines, name, str_of(text));
}

/* The limit that leaves least, and of those the longest, is told without a period, with the time
 * until it begins anew. Returns that time. */
static int64_t tell(const struct rate_limiting *own, const uint64_t *used, bool is_taken,
                    int64_t now_s, struct arena *arena, struct str *lines)
{
    double least = 0, least_max = 0;
    int64_t reset_s = 1;
    for (unsigned i = 0; i < own->limit_count; i++) {
        const struct rate_limit *limit = &own->limits[i];
        double left = limit->max - (double)used[i] - (is_taken ? 1 : 0);
        double remaining = left > 0 ? left : 0;
        put_number(arena, lines, periods[limit->period].limit_name, limit->max);
        put_number(arena, lines, periods[limit->period].remaining_name, remaining);
        if (i > 0 && remaining > least) /* limits stand from the shortest on */
            continue;
        int64_t gone_s = now_s - rate_window_of(limit->period, now_s).begins_at;
        least = remaining;
        least_max = limit->max;
        reset_s = periods[limit->period].length_s - gone_s;
    }
    reset_s = reset_s > 1 ? reset_s : 1;
    put_number(arena, lines, total_names[0], least_max);
    put_number(arena, lines, total_names[1], least);
    put_number(arena, lines, total_names[2], (double)reset_s);
    return reset_s;
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct rate_limiting *own = config;
    uint64_t used[RATE_PERIODS];
    int64_t now_s = plugin_now_s(), reset_s = 0;
    struct str name = name_of(own, request->arena, identifier_of(own, request, effect));
    bool is_taken = rate_counters_take(name, own->limits, own->limit_count, now_s, used);
    if (!own->hides_headers)
        reset_s = tell(own, used, is_taken, now_s, request->arena, &effect->response_lines);
    if (is_taken)
        return;
    plugin_refuse_saying(effect, own->status, &own->saying);
    if (!own->hides_headers)
        put_number(request->arena, &effect->answer_lines, STR("Retry-After"), (double)reset_s);
}

/* A service that counts, too, is not heard. */
static void on_respond(const void *config, const struct plugin_request *request,
                       const struct plugin_effect *effect, struct plugin_response *response)
{
    const struct rate_limiting *own = config;
    struct str no_lines = STR_EMPTY;
    (void)request;
    (void)effect;
    if (own->hides_headers || !response->head)
        return;
    for (unsigned i = 0; i < own->limit_count; i++) {
        plugin_drop(response->head, &no_lines, periods[own->limits[i].period].limit_name);
        plugin_drop(response->head, &no_lines, periods[own->limits[i].period].remaining_name);
    }
    for (size_t i = 0; i < sizeof(total_names) / sizeof(total_names[0]); i++)
        plugin_drop(response->head, &no_lines, total_names[i]);
}

/* ---- what is missing ---- */

static const char *const lacking[] = {"config.policy=cluster", "config.policy=redis", NULL};

static const char *lacks(const json_t *config)
{
    struct str policy = row_text(config, "policy");
    return str_equal(policy, STR("cluster")) ? lacking[0]
           : str_equal(policy, STR("redis")) ? lacking[1]
                                             : NULL;
}

const struct plugin rate_limiting_step = {.name = "rate-limiting",
                                          .compile = compile,
                                          .access = on_access,
                                          .respond = on_respond,
                                          .lacks = lacks,
                                          .lacking = lacking};
