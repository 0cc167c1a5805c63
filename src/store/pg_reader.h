/* pg_reader.h - the shared engine's side that reads: it follows the log of changes, loads
 * everything anew, and sends heartbeats, one at a time in this order of importance.
 *
 * Thread: the loop's. Memory: the engine's. */
#ifndef STORE_PG_READER_H
#define STORE_PG_READER_H

#include <libpq-fe.h>

#include "store/store.h"

struct postgres;

void pg_reader_init(struct postgres *store);

/* Begins what is to be read next, if the connection is free. */
void pg_reader_run(struct postgres *store);

/* Delivers those rows of a result that are newer than what is known. */
void pg_reader_deliver(struct postgres *store, const PGresult *result);
/* Changes were missed: nothing is delivered until everything has been loaded. */
void pg_reader_require_reload(struct postgres *store);

/* Ends the loading asked for, and the heartbeats that wait. */
void pg_reader_fail_waiting(struct postgres *store);

/* store_load and store_heartbeat. */
void pg_reader_load(struct store *base, store_loaded_cb loaded, void *arg);
void pg_reader_heartbeat(struct store *base, const struct store_node *self, store_nodes_cb done,
                         void *arg);

#endif
