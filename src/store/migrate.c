#include "store/migrate.h"

#include <stdio.h>

#include <uv.h> /* error codes only */

static const char ledger_sql[] = "CREATE TABLE IF NOT EXISTS migrations ("
                                 " version INTEGER PRIMARY KEY,"
                                 " name TEXT NOT NULL,"
                                 " at INTEGER NOT NULL) STRICT"; /* seconds since 1970 */

int migrate_version(sqlite3 *db)
{
    sqlite3_stmt *statement;
    int version = -1;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return version;
}

static int write_ledger(sqlite3 *db, const char *name, int version)
{
    char *sql = sqlite3_mprintf("INSERT INTO migrations VALUES (%d, %Q, unixepoch());"
                                "PRAGMA user_version = %d",
                                version, name, version);
    int rc = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return rc;
}

static int take_step(sqlite3 *db, const struct migration *step, int version)
{
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, ledger_sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, step->sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = write_ledger(db, step->name, version);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    return rc;
}

int migrate(sqlite3 *db, const struct migration *steps, int count, const char *file,
            struct error *err)
{
    int version = migrate_version(db);
    if (version < 0) {
        error_set(err, file, "can't be read: %s", sqlite3_errmsg(db));
        return UV_EIO;
    }
    if (version > count) {
        error_set(err, file, "was written by a newer weir: its shape is %d, this weir knows %d",
                  version, count);
        return UV_ENOTSUP;
    }
    for (; version < count; version++) {
        if (take_step(db, &steps[version], version + 1) != SQLITE_OK) {
            error_set(err, file, "can't be migrated (\"%s\"): %s", steps[version].name,
                      sqlite3_errmsg(db));
            if (!sqlite3_get_autocommit(db))
                sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
            return UV_EIO;
        }
    }
    return 0;
}
