#include "store/pg_setup.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/pg_migrate.h"
#include "store/pg_statements.h"
#include "store/postgres.h"

#define LOCK_TIMEOUT_S 60 /* for another node's migration at start */

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg, (void)result;
}

/* ---- at start ---- */

int pg_setup_boot(struct postgres *store, const struct store_settings *settings, struct error *err)
{
    const char *schema = store->params.schema;
    int version = 0, from = 0;
    int rc = pg_params_connect(&store->params, &store->boot, err);
    if (rc < 0)
        return rc;
    PQsetNoticeReceiver(store->boot, ignore_notice, NULL);
    rc = pg_migrate_version(store->boot, schema, &version, err);
    if (rc == 0 && settings->migrates) {
        rc = pg_migrate_up(store->boot, schema, LOCK_TIMEOUT_S, &from, err);
        if (rc == 0)
            rc = pg_migrate_version(store->boot, schema, &version, err);
        if (rc == 0 && from < version)
            log_info("database migrated", LOG_CSTR("schema", schema), LOG_INT("from", from),
                     LOG_INT("to", version));
    }
    return rc < 0 ? rc : pg_migrate_check(version, schema, err);
}

int pg_setup_load_all(struct store *base,
                      int (*row)(void *arg, const char *kind, const char *id, const char *body),
                      void *arg, struct error *err)
{
    struct postgres *store = postgres_of(base);
    assert(!store->current && !store->events);
    if (!store->boot) {
        error_set(err, "WEIR_PG_HOST", "%s", store->why);
        return UV_ENOTCONN;
    }
    PGresult *result = PQexec(
        store->boot, "SELECT l.last, r.kind, r.id, r.body FROM (SELECT greatest((SELECT max(seq)"
                     " FROM changes), (SELECT trimmed_through FROM log)) AS last) l"
                     " LEFT JOIN rows r ON true ORDER BY r.kind COLLATE \"C\", r.id");
    int rc = 0;
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) == 0) {
        char line[256];
        pg_one_line(PQresultErrorMessage(result), line, sizeof(line));
        error_set(err, "WEIR_PG_SCHEMA", "\"%s\" can't be read: %s", store->params.schema, line);
        rc = PQstatus(store->boot) == CONNECTION_OK ? UV_EIO : UV_ENOTCONN;
    }
    for (int i = 0; rc == 0 && i < PQntuples(result) && !PQgetisnull(result, i, 1); i++) {
        const char *kind = PQgetvalue(result, i, 1), *id = PQgetvalue(result, i, 2);
        rc = row(arg, kind, id, PQgetvalue(result, i, 3));
        if (rc != 0)
            error_set(err, "WEIR_PG_SCHEMA", "\"%s\" holds a row that can't be loaded: %s %s: %s",
                      store->params.schema, kind, id, rc < 0 ? uv_strerror(rc) : "refused");
    }
    if (rc == 0) {
        store->sequence = pg_number_at(result, 0, 0);
        store->must_reload = false;
    }
    PQclear(result);
    return rc;
}

/* ---- a schema that has gone while the node runs ---- */

struct migration {
    uv_work_t work;
    struct postgres *store; /* stays until the work has ended */
    struct error err;
    int rc;
};

static void on_migrate(uv_work_t *work)
{
    struct migration *migration = work->data;
    const struct postgres *store = migration->store;
    PGconn *conn = NULL;
    int from;
    migration->rc = pg_params_connect(&store->params, &conn, &migration->err);
    if (migration->rc == 0) {
        PQsetNoticeReceiver(conn, ignore_notice, NULL);
        migration->rc =
            pg_migrate_up(conn, store->params.schema, LOCK_TIMEOUT_S, &from, &migration->err);
    }
    PQfinish(conn);
}

/* The links come by themselves, and find the schema. */
static void on_migrated(uv_work_t *work, int status)
{
    struct migration *migration = work->data;
    (void)status;
    if (migration->rc == 0)
        log_notice("the database had lost its schema, which has been made anew",
                   LOG_CSTR("schema", migration->store->params.schema));
    else
        log_error("the database has lost its schema, which can't be made anew",
                  LOG_CSTR("why", migration->err.sentence));
    migration->store->is_migrating = false;
    postgres_part_closed(migration->store);
    free(migration);
}

static void begin_migration(struct postgres *store)
{
    if (!store->migrates || store->is_migrating || store->is_closing)
        return;
    struct migration *migration = calloc(1, sizeof(*migration));
    if (!migration)
        return; /* the next attempt to connect comes here again */
    migration->work.data = migration;
    migration->store = store;
    if (uv_queue_work(store->loop, &migration->work, on_migrate, on_migrated) < 0) {
        free(migration);
        return;
    }
    store->is_migrating = true;
    store->open_count++;
}

static bool is_missing(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state && strcmp(state, "42P01") == 0; /* undefined_table */
}

/* ---- each link ---- */

/* Every connection begins with these. The statements' time-out bounds waiting for other writers;
 * the idle one ends the transaction of a node that was cut off in the middle of one. */
static bool set_up(struct postgres *store, PGconn *conn, bool listens)
{
    char timeout[16], sql[128];
    const char *schema = store->params.schema;
    snprintf(timeout, sizeof(timeout), "%u", store->params.timeout_ms);
    snprintf(sql, sizeof(sql), "LISTEN \"weir_%s\"", schema);
    static const char settings[] =
        "SELECT set_config('search_path', quote_ident($1), false),"
        " set_config('statement_timeout', $2, false),"
        " set_config('idle_in_transaction_session_timeout', $2, false),"
        " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
        " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)";
    return PQsendQueryParams(conn, settings, 2, NULL, (const char *const[]){schema, timeout}, NULL,
                             NULL, 0) &&
           PQsendQueryParams(conn, "SELECT max(version) AS shape FROM weir_migrations", 0, NULL,
                             NULL, NULL, NULL, 0) &&
           pg_prepare_all(conn) &&
           (!listens || PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0));
}

bool pg_setup_writer(void *arg, PGconn *conn)
{
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    return set_up(arg, conn, false);
}

bool pg_setup_reader(void *arg, PGconn *conn)
{
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    return set_up(arg, conn, true);
}

int pg_setup_check(void *arg, const PGresult *result, char *why, size_t why_size)
{
    struct postgres *store = arg;
    ExecStatusType status = PQresultStatus(result);
    struct error err;
    int rc = 0;
    if (status == PGRES_TUPLES_OK && strcmp(PQfname(result, 0), "shape") == 0) {
        rc = pg_migrate_check(atoi(PQgetvalue(result, 0, 0)), store->params.schema, &err);
        if (rc < 0)
            snprintf(why, why_size, "schema %s", err.sentence);
    } else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        char line[256];
        pg_one_line(PQresultErrorMessage(result), line, sizeof(line));
        snprintf(why, why_size, "schema \"%s\" can't be used: %s", store->params.schema, line);
        if (is_missing(result)) {
            pg_migrate_check(0, store->params.schema, &err);
            snprintf(why, why_size, "schema %s", err.sentence);
            begin_migration(store);
        }
        rc = UV_EIO;
    }
    return rc;
}
