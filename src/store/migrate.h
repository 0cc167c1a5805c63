/* migrate.h - brings a SQLite database to the shape that this binary knows, a step at a time.
 *
 * The shape's number is SQLite's user_version; a table called migrations says what was done when.
 * Each step is one transaction, so that a crash leaves the database at a whole number.
 *
 * Thread: the database's. */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include <sqlite3.h>

#include "base/error.h"

/* A step from shape i to shape i + 1, where i is its index. Steps that were released don't change.
 */
struct migration {
    const char *name;
    const char *sql;
};

/* Takes the missing steps. 0; UV_ENOTSUP when the database is newer than the steps; UV_EIO when one
 * fails, with the database as the step before left it. *err has `file` as its field. */
int migrate(sqlite3 *db, const struct migration *steps, int count, const char *file,
            struct error *err);

/* The shape's number, or -1 when it can't be read. */
int migrate_version(sqlite3 *db);

#endif
