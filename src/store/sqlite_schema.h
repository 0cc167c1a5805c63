/* sqlite_schema.h - the tables of the embedded database.
 *
 * Memory: constants. */
#ifndef STORE_SQLITE_SCHEMA_H
#define STORE_SQLITE_SCHEMA_H

#include "store/migrate.h"

/* SQLite's application_id: "weir". What carries another is not ours to touch. */
#define SQLITE_APPLICATION_ID 0x77656972

extern const struct migration sqlite_migrations[];
extern const int sqlite_migration_count;

#endif
