/* sqlite_write.h - the statements of the embedded database: one transaction, and one reading of all
 * rows.
 *
 * Thread: any, one at a time. Memory: owns its statements, borrows the database. */
#ifndef STORE_SQLITE_WRITE_H
#define STORE_SQLITE_WRITE_H

#include <stddef.h>

#include <sqlite3.h>

#include "store/store.h"

/* How many of the last changes are kept for whoever follows them; older ones are forgotten. */
#define SQLITE_CHANGES_KEPT 10000

struct sqlite_writer;

/* 0 or UV_EIO, with *err telling about `file`. */
int sqlite_writer_create(sqlite3 *db, const char *file, struct sqlite_writer **ret,
                         struct error *err);
void sqlite_writer_destroy(struct sqlite_writer *writer); /* NULL is fine */

/* Carries out the ops in one transaction, as store_commit says; on any error nothing is written.
 * `why` gets the engine's words when the error is neither UV_EEXIST, UV_ENOENT nor UV_EBUSY. */
int sqlite_writer_commit(struct sqlite_writer *writer, const struct store_op *ops, size_t count,
                         char *why, size_t why_size);

#endif
