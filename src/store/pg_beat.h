/* pg_beat.h - one heartbeat: what is sent, and the nodes that come back.
 *
 * Thread: the loop's. Memory: a heartbeat owns copies. */
#ifndef STORE_PG_BEAT_H
#define STORE_PG_BEAT_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#include "base/list.h"
#include "store/store.h"

struct pg_beat {
    struct list link;                  /* where it waits */
    char *id, *host, *version, *state; /* owned; state NULL: leaves */
    char sequence[24], started_at[24];
    store_nodes_cb done; /* may be NULL */
    void *arg;
};

/* As store_heartbeat says; copies *self. 0 or UV_ENOMEM. */
int pg_beat_create(const struct store_node *self, store_nodes_cb done, void *arg,
                   struct pg_beat **ret);

/* Queues its statements; false: memory is short. */
bool pg_beat_send(const struct pg_beat *beat, PGconn *conn);

/* Each calls `done` and frees the heartbeat. `result` is that of PG_NODES. */
void pg_beat_answer(struct pg_beat *beat, const PGresult *result);
void pg_beat_fail(struct pg_beat *beat, int rc);

#endif
