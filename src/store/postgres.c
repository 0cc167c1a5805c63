#include "store/postgres.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/pg_reader.h"
#include "store/pg_setup.h"
#include "store/pg_writer.h"

/* The shared engine. Two connections, so that following never waits for a long commit:
 *
 *   writer   commits, one at a time       submitted --> writing --> done
 *                                                         |  ^
 *                                                  broken |  | not written: once more
 *                                                         v  |
 *                                                        asking --> done
 *   reader   LISTEN, the log of changes, loading, heartbeats
 *
 * A commit that would write over what another node has changed since it was planned is undone, and
 * ends with UV_EAGAIN while the transaction still has the lock: planned anew at once, it can't be
 * outdated again, however busy the others are.
 *
 * What is applied advances by one number, `sequence`, whoever read it. Numbers become visible in
 * their order (pg_schema.c), so "all up to here" is all that has to be remembered. A commit reads
 * in its own transaction what others wrote before it, and the reader waits with what contains a
 * commit of ours whose end the writer has yet to hear of: so changes and commits end in order. */

/* ---- away, and back ---- */

static bool is_usable(const struct postgres *store)
{
    return pg_link_is_ready(store->writer) && pg_link_is_ready(store->reader) &&
           !store->must_reload;
}

void postgres_turn_away(struct postgres *store, const char *why)
{
    if (store->is_closing)
        return;
    if (store->is_away) { /* for another reason now, maybe; /status says which */
        snprintf(store->why, sizeof(store->why), "%s", why);
        if (store->events && store->events->reachable)
            store->events->reachable(store->events_arg, 0, store->why);
        return;
    }
    store->is_away = true;
    snprintf(store->why, sizeof(store->why), "%s", why);
    log_error("the database is away: configuration is served from memory and can't be changed",
              LOG_CSTR("why", why));
    pg_writer_fail_waiting(store, UV_ENOTCONN);
    if (store->events && store->events->reachable)
        store->events->reachable(store->events_arg, 0, store->why);
}

void postgres_turn_back(struct postgres *store)
{
    if (store->is_closing || !store->is_away || !is_usable(store))
        return;
    store->is_away = false;
    log_notice("the database is back", LOG_INT("sequence", (int64_t)store->sequence));
    if (store->events && store->events->reachable)
        store->events->reachable(store->events_arg, 1, "");
}

static void on_writer_away(void *arg, const char *why)
{
    struct postgres *store = arg;
    store->has_turn = false;
    postgres_turn_away(store, why);
    postgres_close_if_done(store);
}

static void on_away(void *arg, const char *why)
{
    struct postgres *store = arg;
    postgres_turn_away(store, why);
    postgres_close_if_done(store);
}

static void on_writer_ready(void *arg)
{
    struct postgres *store = arg;
    postgres_turn_back(store);
    pg_writer_run(store);
    postgres_close_if_done(store);
}

static void on_reader_ready(void *arg)
{
    struct postgres *store = arg;
    store->wants_changes = true; /* what was written while nobody listened */
    postgres_turn_back(store);
    pg_reader_run(store);
    postgres_close_if_done(store);
}

static void on_notified(void *arg)
{
    struct postgres *store = arg;
    store->wants_changes = true;
    pg_reader_run(store);
}

/* ---- once a second ---- */

static void on_tick(uv_timer_t *timer)
{
    struct postgres *store = timer->data;
    store->wants_changes = true;
    pg_reader_run(store);
    pg_writer_run(store);
    pg_writer_ping(store);
}

/* ---- the verbs ---- */

static void watch(struct store *base, const struct store_events *events, void *arg)
{
    struct postgres *store = postgres_of(base);
    store->events = events;
    store->events_arg = arg;
    store->wants_changes = true; /* from the next tick on, at the latest */
    PQfinish(store->boot);
    store->boot = NULL;
}

static uint64_t sequence(const struct store *store)
{
    return ((const struct postgres *)(const void *)store)->sequence;
}

static uint64_t committed_sequence(const struct store *store)
{
    return ((const struct postgres *)(const void *)store)->committed_sequence;
}

static bool is_reachable(const struct store *store)
{
    return !((const struct postgres *)(const void *)store)->is_away;
}

static bool is_new(const struct store *store)
{
    return ((const struct postgres *)(const void *)store)->is_new;
}

/* ---- closing ---- */

static void free_store(struct postgres *store)
{
    void (*closed)(void *arg) = store->closed;
    void *arg = store->closed_arg;
    PQfinish(store->boot);
    pg_params_deinit(&store->params);
    free(store);
    if (closed)
        closed(arg);
}

void postgres_part_closed(struct postgres *store)
{
    if (--store->open_count == 0)
        free_store(store);
}

static void on_part_closed(void *arg)
{
    postgres_part_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

/* Waits for commits and heartbeats only while their connection is there, or on its way. */
void postgres_close_if_done(struct postgres *store)
{
    if (!store->closed || store->is_closing)
        return;
    bool may_write = pg_link_is_ready(store->writer) || !store->is_away;
    if (may_write && (store->current || !list_is_empty(&store->waiting)))
        return;
    if (pg_link_is_ready(store->reader) && (store->beat || !list_is_empty(&store->beats)))
        return;
    store->is_closing = true;
    if (store->current)
        pg_writer_finish(store, store->is_in_doubt ? UV_ECONNABORTED : UV_ENOTCONN);
    pg_writer_fail_waiting(store, UV_ENOTCONN);
    pg_reader_fail_waiting(store);
    uv_close((uv_handle_t *)&store->tick, on_timer_closed);
    uv_close((uv_handle_t *)&store->doubt_timer, on_timer_closed);
    pg_link_close(store->writer);
    pg_link_close(store->reader);
}

static void close_store(struct store *base, void (*closed)(void *arg), void *arg)
{
    struct postgres *store = postgres_of(base);
    assert(!store->closed);
    store->closed = closed;
    store->closed_arg = arg;
    postgres_close_if_done(store);
}

/* ---- opening ---- */

static const struct store_engine engine = {
    .load_all = pg_setup_load_all,
    .commit = pg_writer_commit,
    .watch = watch,
    .sequence = sequence,
    .committed_sequence = committed_sequence,
    .load = pg_reader_load,
    .heartbeat = pg_reader_heartbeat,
    .is_new = is_new,
    .is_reachable = is_reachable,
    .close = close_store,
};

static int open_links(struct postgres *store)
{
    const struct pg_link_events writer_events = {
        .set_up = pg_setup_writer,
        .check_set_up = pg_setup_check,
        .ready = on_writer_ready,
        .away = on_writer_away,
        .closed = on_part_closed,
    };
    struct pg_link_events reader_events = writer_events;
    reader_events.set_up = pg_setup_reader;
    reader_events.ready = on_reader_ready;
    reader_events.away = on_away;
    reader_events.notified = on_notified;
    int rc = pg_link_open(store->loop, &store->params, &writer_events, store, &store->writer);
    if (rc == 0)
        rc = pg_link_open(store->loop, &store->params, &reader_events, store, &store->reader);
    return rc;
}

int store_open_postgres(uv_loop_t *loop, const struct store_settings *settings, struct store **ret,
                        struct error *err)
{
    struct postgres *store = calloc(1, sizeof(*store));
    if (!store)
        return UV_ENOMEM;
    struct error why = {"", "out of memory"};
    store->base.engine = &engine;
    store->loop = loop;
    store->migrates = settings->migrates;
    random_uuid(store->origin);
    pg_writer_init(store);
    pg_reader_init(store);
    store->must_reload = true; /* until something is loaded */
    int rc = pg_params_init(&store->params, &settings->pg, &why);
    if (rc == 0)
        rc = pg_setup_boot(store, settings, &why);
    if (rc == UV_ENOTCONN && settings->may_be_away) {
        store->is_away = true;
        snprintf(store->why, sizeof(store->why), "%s", why.sentence);
        log_error("the database is away", LOG_CSTR("why", store->why));
        PQfinish(store->boot);
        store->boot = NULL;
        rc = 0;
    }
    if (rc < 0)
        goto fail;
    uv_timer_init(loop, &store->tick);
    uv_timer_init(loop, &store->doubt_timer);
    store->tick.data = store->doubt_timer.data = store;
    store->open_count = 4;
    rc = open_links(store);
    if (rc < 0) /* memory is short at start: nothing is worth saving */
        goto fail;
    uv_timer_start(&store->tick, on_tick, POSTGRES_TICK_MS, POSTGRES_TICK_MS);
    *ret = &store->base;
    return 0;
fail:
    if (err)
        *err = why;
    PQfinish(store->boot);
    pg_params_deinit(&store->params);
    free(store);
    return rc;
}
