#include "discovery/consul_watch_describe.h"

#include <string.h>

#include "discovery/consul_watch_state.h"
#include "discovery/protection.h"

static const char *const phase_names[] = {
    [WATCH_WAITING] = "waiting",     [WATCH_READING] = "reading", [WATCH_PARKED] = "parked",
    [WATCH_LISTENING] = "listening", [WATCH_CLOSED] = "closed",
};

static json_t *skipped_body(const struct consul_watch *watch)
{
    json_t *list = json_array();
    uint32_t count = watch->bad_count < CONSUL_SKIPPED_MAX ? watch->bad_count : CONSUL_SKIPPED_MAX;
    for (uint32_t i = 0; watch->skipped && i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "entry", watch->skipped[i].entry, "why",
                                              watch->skipped[i].why));
    return list;
}

/* Targets that stay although the last answer was without them. */
static uint32_t count_unconfirmed(const struct consul_watch *watch)
{
    return watch->pending ? protection_count_missing(watch->source.last, watch->pending) : 0;
}

/* The query as it is asked, without what changes from one read to the next. */
static json_t *query_body(const struct consul_watch *watch)
{
    size_t len = strlen(watch->path);
    while (len > 0 && (watch->path[len - 1] == '?' || watch->path[len - 1] == '&'))
        len--;
    return json_stringn(watch->path, len);
}

void consul_watch_describe(const struct source *source, json_t *body)
{
    const struct consul_watch *watch = LIST_ENTRY(source, struct consul_watch, source);
    json_object_set_new(body, "address", json_string(consul_address_in_use(watch->consul)));
    json_object_set_new(body, "query", query_body(watch));
    json_object_set_new(body, "phase", json_string(phase_names[watch->phase]));
    json_object_set_new(body, "wake_ups", json_integer((json_int_t)watch->wakeup_count));
    json_object_set_new(body, "index", json_integer((json_int_t)watch->index));
    json_object_set_new(body, "held", json_boolean(watch->is_holding));
    json_object_set_new(body, "unconfirmed", json_integer(count_unconfirmed(watch)));
    json_object_set_new(body, "partial", json_boolean(watch->is_partial));
    json_object_set_new(body, "skipped_count", json_integer(watch->bad_count));
    json_object_set_new(body, "skipped_total", json_integer((json_int_t)watch->bad_total));
    json_object_set_new(body, "skipped", skipped_body(watch));
    json_object_set_new(body, "missed", json_integer(watch->missed_count));
    bool is_stale = source->is_saved || watch->phase == WATCH_PARKED || watch->failing_status != 0;
    json_object_set_new(body, "stale", json_boolean(is_stale));
}
