#include "store/migrations.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/pg_migrate.h"
#include "store/pg_params.h"
#include "store/pg_schema.h"
#include "store/sqlite_file.h"
#include "store/sqlite_schema.h"

int migrations_count(enum store_engine_kind engine)
{
    return engine == STORE_POSTGRES ? pg_migration_count : sqlite_migration_count;
}

const char *migrations_name(enum store_engine_kind engine, int index)
{
    assert(index >= 0 && index < migrations_count(engine));
    return engine == STORE_POSTGRES ? pg_migrations[index].name : sqlite_migrations[index].name;
}

/* ---- PostgreSQL ---- */

struct session {
    struct pg_params params;
    PGconn *conn;
};

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg, (void)result;
}

static int open_session(struct session *session, const struct store_settings *settings,
                        struct error *err)
{
    session->conn = NULL;
    int rc = pg_params_init(&session->params, &settings->pg, err);
    if (rc < 0)
        return rc;
    rc = pg_params_connect(&session->params, &session->conn, err);
    if (rc < 0)
        pg_params_deinit(&session->params);
    else
        PQsetNoticeReceiver(session->conn, ignore_notice, NULL);
    return rc;
}

static void close_session(struct session *session)
{
    PQfinish(session->conn);
    pg_params_deinit(&session->params);
}

/* ---- both ---- */

/* A store that keeps nothing has no shape. */
static int refuse_without_database(struct error *err)
{
    error_set(err, "", "there is no database to set up (it is off)");
    return UV_ENOTSUP;
}

int migrations_status(const struct store_settings *settings, int *ret_version, struct error *err)
{
    if (settings->engine == STORE_MEMORY)
        return refuse_without_database(err);
    if (settings->engine == STORE_SQLITE)
        return sqlite_file_version(settings->data_dir, ret_version, err);
    struct session session;
    int rc = open_session(&session, settings, err);
    if (rc < 0)
        return rc;
    rc = pg_migrate_version(session.conn, session.params.schema, ret_version, err);
    close_session(&session);
    return rc;
}

int migrations_up(const struct store_settings *settings, int lock_timeout_s, int *ret_from,
                  struct error *err)
{
    int rc = 0;
    if (settings->engine == STORE_MEMORY)
        return refuse_without_database(err);
    if (settings->engine == STORE_SQLITE) {
        struct sqlite_file file;
        rc = sqlite_file_version(settings->data_dir, ret_from, err);
        if (rc == 0)
            rc = sqlite_file_open(settings->data_dir, &file, err);
        if (rc == 0)
            sqlite_file_close(&file);
        return rc;
    }
    struct session session;
    rc = open_session(&session, settings, err);
    if (rc < 0)
        return rc;
    rc = pg_migrate_up(session.conn, session.params.schema, lock_timeout_s, ret_from, err);
    close_session(&session);
    return rc;
}

int migrations_reset(const struct store_settings *settings, struct error *err)
{
    if (settings->engine == STORE_MEMORY)
        return refuse_without_database(err);
    if (settings->engine == STORE_SQLITE)
        return sqlite_file_remove(settings->data_dir, err);
    struct session session;
    int rc = open_session(&session, settings, err);
    if (rc < 0)
        return rc;
    rc = pg_migrate_reset(session.conn, session.params.schema, err);
    close_session(&session);
    return rc;
}
