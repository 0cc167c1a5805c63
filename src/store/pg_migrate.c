#include "store/pg_migrate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "store/pg_params.h"
#include "store/pg_schema.h"

#define LOCK_KEY                                                                                   \
    2003134834 /* "weir"; with the schema's hash, as the log's lock but not the same               \
                */

static int explain(const PGresult *result, const char *doing, const char *schema, struct error *err)
{
    char line[256];
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    pg_one_line(words ? words : PQresultErrorMessage(result), line, sizeof(line));
    if (!state) {
        error_set(err, "WEIR_PG_HOST", "the connection broke: %s", line);
        return UV_ENOTCONN;
    }
    if (strcmp(state, "42501") == 0) {
        error_set(err, "WEIR_PG_USER", "may not %s schema \"%s\": %s; grant it CREATE and USAGE",
                  doing, schema, line);
        return UV_EACCES;
    }
    if (strcmp(state, "55P03") == 0) {
        error_set(err, "WEIR_PG_SCHEMA",
                  "\"%s\" is being migrated by another weir for too long; try again later", schema);
        return UV_ETIMEDOUT;
    }
    error_set(err, "WEIR_PG_SCHEMA", "can't %s \"%s\": %s (%s)", doing, schema, line, state);
    return UV_EIO;
}

/* Runs any number of statements; 0 or what explain() says. */
static int run(PGconn *conn, const char *sql, const char *doing, const char *schema,
               struct error *err)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    int rc = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
                 ? 0
                 : explain(result, doing, schema, err);
    PQclear(result);
    return rc;
}

static int run_format(PGconn *conn, const char *doing, const char *schema, struct error *err,
                      const char *format, ...)
{
    va_list args;
    char *sql;
    va_start(args, format);
    int len = vasprintf(&sql, format, args);
    va_end(args);
    if (len < 0)
        return UV_ENOMEM;
    int rc = run(conn, sql, doing, schema, err);
    free(sql);
    return rc;
}

int pg_migrate_version(PGconn *conn, const char *schema, int *ret_version, struct error *err)
{
    /* Not to_regclass: without USAGE on the schema it fails. */
    static const char is_there[] =
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'weir_migrations'";
    int rc = 0, version = 0;
    PGresult *result = PQexecParams(conn, is_there, 1, NULL, &schema, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        rc = explain(result, "read", schema, err);
    bool has_table = rc == 0 && strcmp(PQgetvalue(result, 0, 0), "0") != 0;
    PQclear(result);
    if (rc == 0 && has_table) {
        result = PQexec(conn, "SELECT coalesce(max(version), 0) FROM weir_migrations");
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            version = atoi(PQgetvalue(result, 0, 0));
        else
            rc = explain(result, "read", schema, err);
        PQclear(result);
    }
    if (rc == 0)
        *ret_version = version;
    return rc;
}

static int take_step(PGconn *conn, const char *schema, int index, struct error *err)
{
    const struct pg_migration *step = &pg_migrations[index];
    int rc = run(conn, step->sql, "migrate", schema, err);
    char *name = rc == 0 ? PQescapeLiteral(conn, step->name, strlen(step->name)) : NULL;
    if (rc == 0)
        rc = run_format(conn, "migrate", schema, err,
                        "INSERT INTO weir_migrations VALUES (%d, %s, now())", index + 1,
                        name ? name : "''");
    PQfreemem(name);
    return rc;
}

/* "CREATE SCHEMA IF NOT EXISTS" wants the right to create one even where it exists. */
static int make_schema(PGconn *conn, const char *schema, struct error *err)
{
    PGresult *result =
        PQexecParams(conn, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", 1, NULL,
                     &schema, NULL, NULL, 0);
    bool is_there = PQntuples(result) == 1;
    PQclear(result);
    char *name = PQescapeIdentifier(conn, schema, strlen(schema));
    int rc = !name      ? UV_ENOMEM
             : is_there ? 0
                        : run_format(conn, "create", schema, err, "CREATE SCHEMA %s", name);
    PQfreemem(name);
    return rc ? rc
              : run(conn,
                    "CREATE TABLE IF NOT EXISTS weir_migrations (version integer PRIMARY KEY,"
                    " name text NOT NULL, at timestamptz NOT NULL)",
                    "migrate", schema, err);
}

int pg_migrate_up(PGconn *conn, const char *schema, int lock_timeout_s, int *ret_from,
                  struct error *err)
{
    int version = 0;
    /* Over a minute of work is no reason to give up half-way: only waiting for others is bounded.
     */
    int rc = run(conn,
                 "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0;"
                 "SET LOCAL client_min_messages = warning",
                 "migrate", schema, err);
    if (rc == 0)
        rc = run_format(conn, "migrate", schema, err, "SET LOCAL lock_timeout = '%ds'",
                        lock_timeout_s);
    if (rc == 0)
        rc = run_format(conn, "migrate", schema, err,
                        "SELECT pg_advisory_xact_lock(%d, hashtext('migrate %s'))", LOCK_KEY,
                        schema);
    if (rc == 0)
        rc = pg_migrate_version(conn, schema, &version, err);
    if (rc == 0 && version > pg_migration_count)
        rc = pg_migrate_check(version, schema, err);
    if (rc == 0 && version == 0)
        rc = make_schema(conn, schema, err);
    for (int index = version; rc == 0 && index < pg_migration_count; index++)
        rc = take_step(conn, schema, index, err);
    if (rc == 0)
        rc = run(conn, "COMMIT", "migrate", schema, err);
    if (rc < 0)
        PQclear(PQexec(conn, "ROLLBACK"));
    else
        *ret_from = version;
    return rc;
}

int pg_migrate_reset(PGconn *conn, const char *schema, struct error *err)
{
    static const char drop[] =
        "BEGIN; SET LOCAL client_min_messages = warning;"
        "DROP TABLE IF EXISTS rows, unique_keys, refs, changes, log, commits, nodes,"
        " weir_migrations;"
        "DROP SEQUENCE IF EXISTS change_numbers;"
        "DROP FUNCTION IF EXISTS lock_log, describe_row, log_change, log_truncate;"
        "COMMIT";
    int version = 0;
    int rc = pg_migrate_version(conn, schema, &version, err);
    if (rc < 0 || version == 0) /* what is called `rows` there isn't ours */
        return rc;
    rc = run(conn, drop, "reset", schema, err);
    if (rc < 0) {
        PQclear(PQexec(conn, "ROLLBACK"));
        return rc;
    }
    char *name = PQescapeIdentifier(conn, schema, strlen(schema));
    struct error ignored; /* others' tables are in it, or it isn't ours to drop: fine */
    if (name && strcmp(schema, "public") != 0)
        run_format(conn, "drop", schema, &ignored, "DROP SCHEMA %s", name);
    PQfreemem(name);
    return 0;
}

int pg_migrate_check(int version, const char *schema, struct error *err)
{
    if (version == pg_migration_count)
        return 0;
    if (version == 0)
        error_set(err, "WEIR_PG_SCHEMA",
                  "\"%s\" has not been set up: run `weir migrations bootstrap`, or set "
                  "WEIR_MIGRATE=auto",
                  schema);
    else if (version < pg_migration_count)
        error_set(err, "WEIR_PG_SCHEMA",
                  "\"%s\" is behind: its shape is %d, this weir needs %d: run `weir migrations "
                  "up`, or set WEIR_MIGRATE=auto",
                  schema, version, pg_migration_count);
    else
        error_set(err, "WEIR_PG_SCHEMA",
                  "\"%s\" is ahead: its shape is %d, this weir knows %d: run a newer weir", schema,
                  version, pg_migration_count);
    return version > pg_migration_count ? UV_ENOTSUP : UV_ENOENT;
}
