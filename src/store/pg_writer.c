#include "store/pg_writer.h"

#include <assert.h>

#include "base/log.h"
#include "store/pg_commit.h"
#include "store/pg_reader.h"
#include "store/pg_statements.h"
#include "store/postgres.h"

#define IN_DOUBT_TIMEOUTS 2 /* how many a commit may wait to learn whether it is written */
#define ATTEMPTS_MAX 5      /* of one commit */

/* ---- a commit's end ---- */

void pg_writer_fail_waiting(struct postgres *store, int rc)
{
    while (!list_is_empty(&store->waiting)) {
        struct pg_commit *commit = LIST_ENTRY(store->waiting.next, struct pg_commit, link);
        list_remove(&commit->link);
        commit->done(commit->arg, rc);
        pg_commit_destroy(commit);
    }
}

/* What others wrote before the commit, whether or not it came to be. */
static void tell_before(struct postgres *store, const struct pg_commit *commit)
{
    if (commit->is_behind) {
        if (!store->must_reload)
            pg_reader_require_reload(store);
        return;
    }
    if (commit->before)
        pg_reader_deliver(store, commit->before);
    if (commit->last > store->sequence)
        store->sequence = commit->last;
}

void pg_writer_finish(struct postgres *store, int rc)
{
    struct pg_commit *commit = store->current;
    store->current = NULL;
    store->is_in_doubt = false;
    uv_timer_stop(&store->doubt_timer);
    if (rc != UV_ECONNABORTED)
        tell_before(store, commit);
    if (rc == 0) {
        if (commit->sequence > store->sequence)
            store->sequence = commit->sequence;
        store->committed_sequence = commit->sequence;
    }
    commit->done(commit->arg, rc);
    store->committed_sequence = 0;
    pg_commit_destroy(commit);
    pg_writer_run(store);
    pg_reader_run(store); /* it may have waited for this end */
    postgres_close_if_done(store);
}

static bool may_try_again(const struct postgres *store)
{
    const struct pg_commit *commit = store->current;
    return !store->closed && commit->attempts < ATTEMPTS_MAX &&
           uv_now(store->loop) - commit->submitted_ms < 2 * (uint64_t)store->params.timeout_ms;
}

/* Its transaction has ended without being written, and nothing of it will ever be. */
static void end_refused(struct postgres *store)
{
    struct pg_commit *commit = store->current;
    int rc = pg_commit_error(commit);
    if (pg_commit_is_outdated(commit)) {
        pg_writer_finish(store, commit->is_behind ? UV_ENOTCONN : UV_EAGAIN);
        return;
    }
    if (rc == UV_EAGAIN && may_try_again(store) && pg_link_is_idle(store->writer)) {
        pg_writer_run(store);
        return;
    }
    if (rc == UV_EROFS && pg_link_is_idle(store->writer)) {
        pg_link_drop(store->writer, "the server no longer takes writes; looking for the primary");
        rc = UV_ENOTCONN;
    }
    if (rc == UV_EAGAIN || rc == UV_EROFS)
        rc = UV_ENOTCONN;
    if (rc != UV_EEXIST && rc != UV_ENOENT && rc != UV_EBUSY)
        log_error("configuration was not stored", LOG_CSTR("why", commit->why),
                  LOG_CSTR("sqlstate", commit->state));
    pg_writer_finish(store, rc);
}

static void end_answered(struct postgres *store)
{
    struct pg_commit *commit = store->current;
    if (!commit->is_asked) /* it could not be read: ask again on a new connection */
        pg_link_drop(store->writer, "a commit's outcome can't be read");
    else if (commit->is_committed)
        pg_writer_finish(store, 0);
    else if (may_try_again(store) && pg_link_is_idle(store->writer)) {
        store->is_in_doubt = false;
        uv_timer_stop(&store->doubt_timer);
        pg_writer_run(store);
    } else {
        pg_writer_finish(store, UV_ENOTCONN);
    }
}

static void on_doubt_end(uv_timer_t *timer)
{
    struct postgres *store = timer->data;
    if (pg_link_is_ready(store->writer)) { /* it is asking, which has a time-out of its own */
        uv_timer_start(timer, on_doubt_end, POSTGRES_TICK_MS, 0);
        return;
    }
    log_error("nobody knows whether a change of configuration is stored: the database is away");
    random_uuid(store->origin); /* if it is stored, it comes like anybody else's */
    pg_writer_finish(store, UV_ECONNABORTED);
}

static void on_commit_done(struct pg_job *job, int rc)
{
    struct pg_commit *commit = (struct pg_commit *)(void *)job;
    struct postgres *store = commit->owner;
    if (rc < 0) {
        if (commit->is_committed) { /* its COMMIT was answered before the connection broke */
            pg_writer_finish(store, 0);
            return;
        }
        if (commit->phase == PG_COMMIT_ROLLING_BACK ||
            commit->phase == PG_COMMIT_STEPPING_BACK) { /* a broken connection rolls back as well */
            end_refused(store);
            return;
        }
        if (!store->is_in_doubt)
            uv_timer_start(&store->doubt_timer, on_doubt_end,
                           IN_DOUBT_TIMEOUTS * (uint64_t)store->params.timeout_ms, 0);
        store->is_in_doubt = true;
        postgres_close_if_done(store);
        return;
    }
    if (commit->phase == PG_COMMIT_ASKING) {
        end_answered(store);
    } else if (commit->phase == PG_COMMIT_ROLLING_BACK) {
        end_refused(store);
    } else if (commit->phase == PG_COMMIT_STEPPING_BACK) {
        store->has_turn = true;
        end_refused(store);
    } else if (commit->is_committed) {
        pg_writer_finish(store, 0);
    } else if (pg_commit_is_outdated(commit) && !commit->is_behind) {
        pg_commit_step_back(commit);
        pg_link_run(store->writer, &commit->job);
    } else {
        pg_commit_roll_back(commit);
        pg_link_run(store->writer, &commit->job);
    }
}

/* ---- a commit's beginning ---- */

void pg_writer_run(struct postgres *store)
{
    if (store->is_closing || !pg_link_is_idle(store->writer))
        return;
    if (!store->current && !list_is_empty(&store->waiting)) {
        store->current = LIST_ENTRY(store->waiting.next, struct pg_commit, link);
        list_remove(&store->current->link);
    }
    struct pg_commit *commit = store->current;
    bool has_turn = store->has_turn;
    store->has_turn = false;
    if (!commit) {
        if (has_turn)
            pg_link_run(store->writer, &store->end_turn);
        return;
    }
    if (store->is_in_doubt)
        pg_commit_ask(commit, store->sequence);
    else
        pg_commit_write(commit, store->sequence, has_turn);
    pg_link_run(store->writer, &commit->job);
}

int pg_writer_commit(struct store *base, const struct store_op *ops, size_t count,
                     store_commit_cb done, void *arg)
{
    struct postgres *store = postgres_of(base);
    struct pg_commit *commit;
    assert(!store->closed);
    if (store->is_away)
        return UV_ENOTCONN;
    int rc = pg_commit_create(ops, count, store->sequence, &commit);
    if (rc < 0)
        return rc;
    commit->job.done = on_commit_done;
    commit->done = done;
    commit->arg = arg;
    commit->owner = store;
    commit->schema = store->params.schema;
    commit->origin = store->origin;
    commit->submitted_ms = uv_now(store->loop);
    list_push_back(&store->waiting, &commit->link);
    if (!store->current)
        pg_writer_run(store);
    return 0;
}

/* ---- without work ---- */

static bool on_ping_send(struct pg_job *job, PGconn *conn)
{
    (void)job;
    return PQsendQueryParams(conn, "SELECT", 0, NULL, NULL, NULL, NULL, 0);
}

static bool on_end_turn_send(struct pg_job *job, PGconn *conn)
{
    (void)job;
    return pg_send(conn, PG_ROLLBACK, NULL, 0);
}

static void on_ping_result(struct pg_job *job, const PGresult *result)
{
    (void)job, (void)result;
}

static void go_on(struct postgres *store)
{
    pg_writer_run(store);
    postgres_close_if_done(store);
}

static void on_ping_done(struct pg_job *job, int rc)
{
    (void)rc;
    go_on(LIST_ENTRY(job, struct postgres, ping));
}

static void on_end_turn_done(struct pg_job *job, int rc)
{
    (void)rc;
    go_on(LIST_ENTRY(job, struct postgres, end_turn));
}

void pg_writer_ping(struct postgres *store)
{
    if (!store->is_closing && pg_link_is_idle(store->writer))
        pg_link_run(store->writer, &store->ping);
}

void pg_writer_init(struct postgres *store)
{
    list_init(&store->waiting);
    store->ping = (struct pg_job){on_ping_send, on_ping_result, on_ping_done};
    store->end_turn = (struct pg_job){on_end_turn_send, on_ping_result, on_end_turn_done};
}
