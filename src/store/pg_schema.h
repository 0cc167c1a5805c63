/* pg_schema.h - the tables in PostgreSQL, and the steps that make them.
 *
 * Memory: constants. */
#ifndef STORE_PG_SCHEMA_H
#define STORE_PG_SCHEMA_H

/* A step from shape i to shape i + 1. Steps that were released don't change. */
struct pg_migration {
    const char *name;
    const char *sql;
};

extern const struct pg_migration pg_migrations[];
extern const int pg_migration_count;

#endif
