/* postgres.h - the shared engine's struct, and what its parts tell the whole. The engine's own:
 * users of the store know store.h alone.
 *
 *   postgres.c    opens, closes, and says whether the database is away
 *   pg_setup.c    what comes before a connection is used
 *   pg_reader.c   follows the log of changes, loads, sends heartbeats
 *   pg_writer.c   commits
 *
 * Thread and memory: as store.h. */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>
#include <uv.h>

#include "base/list.h"
#include "base/random.h"
#include "store/engine.h"
#include "store/pg_link.h"
#include "store/pg_params.h"

#define POSTGRES_TICK_MS 1000 /* finds dead connections, and notifications that got lost */

struct pg_beat;
struct pg_commit;

enum pg_reading { PG_READING_NOTHING, PG_READING_CHANGES, PG_READING_ALL, PG_READING_NODES };

struct postgres {
    struct store base; /* first */
    uv_loop_t *loop;   /* borrowed */
    struct pg_params params;
    struct pg_link *writer, *reader;
    PGconn *boot; /* for store_load_all; NULL: closed, or the database was away */
    char origin[UUID_TEXT_BYTES];
    uint64_t sequence;
    uint64_t committed_sequence;
    bool is_away; /* as told by store_is_reachable */
    bool is_new;  /* no row had ever been written when all were loaded */
    bool migrates;
    bool is_migrating; /* the schema had gone: a thread of the pool makes it anew */
    bool must_reload;  /* what is in memory can't be brought up to date by changes */
    char why[400];     /* it is away */

    struct list waiting; /* of struct pg_commit, in order */
    struct pg_commit *current;
    bool is_in_doubt; /* the current one */
    bool has_turn;    /* the writer's transaction is open, with the lock, until pg_writer_run */
    struct pg_job ping, end_turn;
    uv_timer_t doubt_timer;
    uv_timer_t tick;

    const struct store_events *events; /* borrowed; NULL until watched */
    void *events_arg;
    enum pg_reading reading;
    bool wants_changes; /* somebody said that there are new ones */
    bool told_reload;   /* and it has not been loaded since */
    struct pg_job read_job;
    char since_text[24];
    int read_rc;
    store_loaded_cb loaded; /* NULL: not asked for */
    void *loaded_arg;
    struct list beats;
    struct pg_beat *beat; /* under way */

    void (*closed)(void *arg); /* NULL until asked to close */
    void *closed_arg;
    unsigned open_count; /* links, timers and work to end */
    bool is_closing;
};

static inline struct postgres *postgres_of(struct store *store)
{
    return (struct postgres *)(void *)store;
}

/* Changes are refused from now on, and `reachable` is told; nothing when it is known already. */
void postgres_turn_away(struct postgres *store, const char *why);
/* The opposite, once both connections are ready and memory is up to date. */
void postgres_turn_back(struct postgres *store);
/* One of open_count has ended; may free the store. */
void postgres_part_closed(struct postgres *store);
/* To be called when anything that a closing may wait for has ended. */
void postgres_close_if_done(struct postgres *store);

#endif
