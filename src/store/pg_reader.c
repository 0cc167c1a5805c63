#include "store/pg_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/pg_beat.h"
#include "store/pg_statements.h"
#include "store/postgres.h"

/* ---- changes that others wrote ---- */

void pg_reader_deliver(struct postgres *store, const PGresult *result)
{
    int rows = PQntuples(result);
    size_t count = 0;
    struct store_change *changes = calloc((size_t)rows + 1, sizeof(*changes));
    for (int row = 0; changes && row < rows; row++) {
        if (PQgetisnull(result, row, PG_READ_SEQ) ||
            pg_number_at(result, row, PG_READ_SEQ) <= store->sequence)
            continue;
        bool is_gone = PQgetisnull(result, row, PG_READ_BODY);
        changes[count++] = (struct store_change){
            .sequence = pg_number_at(result, row, PG_READ_SEQ),
            .op = is_gone ? STORE_REMOVE : STORE_PUT,
            .kind = PQgetvalue(result, row, PG_READ_KIND),
            .id = PQgetvalue(result, row, PG_READ_ID),
            .body = is_gone ? NULL : PQgetvalue(result, row, PG_READ_BODY),
        };
    }
    if (!changes)
        store->must_reload = true; /* nothing is skipped silently */
    else if (count > 0 && store->events && store->events->changed && !store->must_reload)
        store->events->changed(store->events_arg, changes, count);
    free(changes);
}

void pg_reader_require_reload(struct postgres *store)
{
    store->must_reload = true;
    store->told_reload = false;
    postgres_turn_away(store,
                       "this node missed more changes than the log holds; loading everything anew");
}

/* Whether the database has a commit of ours that the writer hasn't heard of yet. */
static bool holds_own(const struct postgres *store, const PGresult *result)
{
    return !PQgetisnull(result, 0, PG_READ_OWN) &&
           pg_number_at(result, 0, PG_READ_OWN) > store->sequence;
}

static void take_changes(struct postgres *store, const PGresult *result)
{
    uint64_t last = pg_number_at(result, 0, PG_READ_LAST);
    if (store->current && holds_own(store, result)) {
        store->wants_changes = true; /* when the commit has ended */
        return;
    }
    if (PQgetvalue(result, 0, PG_READ_IS_BEHIND)[0] == 't') {
        /* Seen from an older number than is known by now, maybe. */
        if (strtoull(store->since_text, NULL, 10) == store->sequence)
            pg_reader_require_reload(store);
        else
            store->wants_changes = true;
        return;
    }
    if (last <= store->sequence)
        return;
    pg_reader_deliver(store, result);
    store->sequence = last;
}

static void take_all(struct postgres *store, const PGresult *result)
{
    if (store->current && holds_own(store, result)) {
        store->read_rc = UV_EAGAIN; /* when the commit has ended */
        return;
    }
    int rows = PQgetisnull(result, 0, PG_READ_KIND) ? 0 : PQntuples(result);
    struct store_change *changes = calloc((size_t)rows + 1, sizeof(*changes));
    if (!changes) {
        store->read_rc = UV_ENOMEM;
        return;
    }
    store->sequence = pg_number_at(result, 0, PG_READ_LAST);
    store->is_new = PQgetvalue(result, 0, PG_READ_IS_NEW)[0] == 't';
    for (int row = 0; row < rows; row++)
        changes[row] = (struct store_change){
            .sequence = store->sequence,
            .op = STORE_PUT,
            .kind = PQgetvalue(result, row, PG_READ_KIND),
            .id = PQgetvalue(result, row, PG_READ_ID),
            .body = PQgetvalue(result, row, PG_READ_BODY),
        };
    store_loaded_cb loaded = store->loaded;
    store->loaded = NULL;
    store->must_reload = store->told_reload = false;
    loaded(store->loaded_arg, 0, changes, (size_t)rows);
    free(changes);
}

/* ---- the reader's jobs ---- */

static bool on_read_send(struct pg_job *job, PGconn *conn)
{
    struct postgres *store = LIST_ENTRY(job, struct postgres, read_job);
    switch (store->reading) {
    case PG_READING_CHANGES:
        return PG_SEND(conn, PG_READ, store->since_text, store->origin, "f");
    case PG_READING_ALL:
        return PG_SEND(conn, PG_LOAD, store->since_text, store->origin);
    case PG_READING_NODES:
        return pg_beat_send(store->beat, conn);
    case PG_READING_NOTHING:
        break;
    }
    return false;
}

static void on_read_result(struct pg_job *job, const PGresult *result)
{
    struct postgres *store = LIST_ENTRY(job, struct postgres, read_job);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK && store->reading == PG_READING_CHANGES) {
        take_changes(store, result);
    } else if (status == PGRES_TUPLES_OK && store->reading == PG_READING_ALL && store->loaded) {
        take_all(store, result);
    } else if (status == PGRES_TUPLES_OK && store->reading == PG_READING_NODES && store->beat) {
        struct pg_beat *beat = store->beat;
        store->beat = NULL;
        pg_beat_answer(beat, result);
    } else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && store->read_rc == 0) {
        char line[256];
        pg_one_line(PQresultErrorMessage(result), line, sizeof(line));
        log_warn("the database can't be read", LOG_CSTR("why", line));
        store->read_rc = UV_EIO;
    }
}

static void on_read_done(struct pg_job *job, int rc)
{
    struct postgres *store = LIST_ENTRY(job, struct postgres, read_job);
    enum pg_reading reading = store->reading;
    store->reading = PG_READING_NOTHING;
    if (rc == 0)
        rc = store->read_rc;
    if (reading == PG_READING_CHANGES && rc < 0)
        store->wants_changes = true;
    if (reading == PG_READING_ALL && store->loaded && rc != UV_EAGAIN) {
        store_loaded_cb loaded = store->loaded;
        store->loaded = NULL;
        store->told_reload = false;
        loaded(store->loaded_arg, rc < 0 ? rc : UV_EIO, NULL, 0);
    }
    if (store->beat) {
        struct pg_beat *beat = store->beat;
        store->beat = NULL;
        pg_beat_fail(beat, rc == UV_ECONNRESET ? UV_ENOTCONN : rc < 0 ? rc : UV_EIO);
    }
    if (rc == UV_EIO && reading != PG_READING_NODES && pg_link_is_ready(store->reader))
        pg_link_drop(store->reader, "the database can't be read");
    postgres_turn_back(store);
    if (rc != UV_EAGAIN)
        pg_reader_run(store);
    postgres_close_if_done(store);
}

static void start_reading(struct postgres *store, enum pg_reading reading)
{
    store->reading = reading;
    store->read_rc = 0;
    snprintf(store->since_text, sizeof(store->since_text), "%" PRIu64, store->sequence);
    pg_link_run(store->reader, &store->read_job);
}

void pg_reader_run(struct postgres *store)
{
    if (store->is_closing || !pg_link_is_idle(store->reader))
        return;
    if (store->must_reload && !store->loaded && !store->told_reload && store->events &&
        store->events->reload) {
        store->told_reload = true;
        store->events->reload(store->events_arg);
        if (!pg_link_is_idle(store->reader)) /* it has begun */
            return;
    }
    if (store->loaded) {
        start_reading(store, PG_READING_ALL);
    } else if (store->wants_changes && store->events && !store->must_reload) {
        store->wants_changes = false;
        start_reading(store, PG_READING_CHANGES);
    } else if (!list_is_empty(&store->beats)) {
        store->beat = LIST_ENTRY(store->beats.next, struct pg_beat, link);
        list_remove(&store->beat->link);
        start_reading(store, PG_READING_NODES);
    }
}

void pg_reader_init(struct postgres *store)
{
    list_init(&store->beats);
    store->read_job = (struct pg_job){on_read_send, on_read_result, on_read_done};
}

void pg_reader_fail_waiting(struct postgres *store)
{
    while (!list_is_empty(&store->beats)) {
        struct pg_beat *beat = LIST_ENTRY(store->beats.next, struct pg_beat, link);
        list_remove(&beat->link);
        pg_beat_fail(beat, UV_ENOTCONN);
    }
    if (store->loaded) {
        store_loaded_cb loaded = store->loaded;
        store->loaded = NULL;
        loaded(store->loaded_arg, UV_ECANCELED, NULL, 0);
    }
}

/* ---- the verbs ---- */

void pg_reader_load(struct store *base, store_loaded_cb loaded, void *arg)
{
    struct postgres *store = postgres_of(base);
    assert(!store->loaded && !store->closed);
    store->loaded = loaded;
    store->loaded_arg = arg;
    pg_reader_run(store);
}

void pg_reader_heartbeat(struct store *base, const struct store_node *self, store_nodes_cb done,
                         void *arg)
{
    struct postgres *store = postgres_of(base);
    if (!pg_link_is_ready(store->reader) || store->closed) {
        if (done)
            done(arg, UV_ENOTCONN, NULL, 0);
        return;
    }
    struct pg_beat *beat;
    int rc = pg_beat_create(self, done, arg, &beat);
    if (rc < 0) {
        if (done)
            done(arg, rc, NULL, 0);
        return;
    }
    list_push_back(&store->beats, &beat->link);
    pg_reader_run(store);
}
