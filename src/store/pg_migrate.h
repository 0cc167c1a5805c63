/* pg_migrate.h - brings the schema in PostgreSQL to the shape that this binary knows.
 *
 * The table weir_migrations says which steps were taken when. All missing steps are one
 * transaction, under a lock, so that nodes may start them at the same moment: the first does the
 * work, the others find it done.
 *
 * Thread: any; all calls block: for start-up and the command line. */
#ifndef STORE_PG_MIGRATE_H
#define STORE_PG_MIGRATE_H

#include <libpq-fe.h>

#include "base/error.h"

/* *ret_version gets the schema's shape; 0: there is none. 0, or a negative UV_E… with *err. */
int pg_migrate_version(PGconn *conn, const char *schema, int *ret_version, struct error *err);

/* Takes the missing steps, making the schema first where it is missing. *ret_from gets the shape
 * that was found under the lock. 0, UV_ENOTSUP when it is ahead of this binary, UV_EIO and others
 * with *err. Waits at most lock_timeout_s for others that do the same. */
int pg_migrate_up(PGconn *conn, const char *schema, int lock_timeout_s, int *ret_from,
                  struct error *err);

/* Removes all that the steps made, and the schema if nothing else is in it. */
int pg_migrate_reset(PGconn *conn, const char *schema, struct error *err);

/* 0 when `version` is what this binary knows; else UV_ENOENT (missing, behind) or UV_ENOTSUP
 * (ahead), with *err saying what to do. */
int pg_migrate_check(int version, const char *schema, struct error *err);

#endif
