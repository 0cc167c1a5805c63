/* pg_writer.h - the shared engine's side that writes: commits wait in a queue, go out one at a
 * time, and one whose connection broke is asked after until its outcome is known.
 *
 * Thread: the loop's. Memory: the engine's. */
#ifndef STORE_PG_WRITER_H
#define STORE_PG_WRITER_H

#include <stddef.h>

#include "store/store.h"

struct postgres;

void pg_writer_init(struct postgres *store);

/* Sends the next commit, or the current one again, if the connection is free. */
void pg_writer_run(struct postgres *store);
/* Sees whether a connection without work still lives. */
void pg_writer_ping(struct postgres *store);

/* Ends the commits that wait; the current one goes on. */
void pg_writer_fail_waiting(struct postgres *store, int rc);
/* Ends the current commit. */
void pg_writer_finish(struct postgres *store, int rc);

/* store_commit. */
int pg_writer_commit(struct store *base, const struct store_op *ops, size_t count,
                     store_commit_cb done, void *arg);

#endif
