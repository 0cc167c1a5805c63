/* pg_link.h - one connection to PostgreSQL that is kept up: it connects to the first host that
 * takes writes, sets itself up, carries out jobs, and comes back after every loss.
 *
 * A job is a batch of statements (libpq's pipeline) whose results come one by one. Connecting is
 * tried host by host, with a time-out each; after a round without success it waits ("full jitter").
 * A server that is silent for longer than that in the middle of a job counts as lost, too.
 *
 * Thread: the loop's; nothing blocks. Memory: borrows the parameters. */
#ifndef STORE_PG_LINK_H
#define STORE_PG_LINK_H

#include <stdbool.h>

#include <libpq-fe.h>
#include <uv.h>

#include "store/pg_params.h"

struct pg_link;

/* All are called from the loop only. In each, the link may be given a job. */
struct pg_link_events {
    /* Queues the statements that every new connection begins with; false: memory is short. */
    bool (*set_up)(void *arg, PGconn *conn);
    /* 0, or a negative UV_E… with `why` when the database isn't as it should be: then the
     * connection is given up and tried again later. */
    int (*check_set_up)(void *arg, const PGresult *result, char *why, size_t why_size);
    /* Connected and set up: the first, or again. */
    void (*ready)(void *arg);
    /* An attempt failed, or the connection was lost; it is being tried again. */
    void (*away)(void *arg, const char *why);
    /* Somebody called NOTIFY; may be NULL. */
    void (*notified)(void *arg);
    void (*closed)(void *arg);
};

/* The caller's; must live until `done`, which is called exactly once: with 0 when all results are
 * in (which may be errors), or a negative UV_E… when the connection was lost before. */
struct pg_job {
    bool (*send)(struct pg_job *job, PGconn *conn); /* false: memory is short */
    void (*result)(struct pg_job *job, const PGresult *result);
    void (*done)(struct pg_job *job, int rc);
};

/* Begins to connect. Borrows params and copies *events. 0 or UV_ENOMEM. */
int pg_link_open(uv_loop_t *loop, const struct pg_params *params,
                 const struct pg_link_events *events, void *arg, struct pg_link **ret);

/* Ready, and without a job. */
bool pg_link_is_idle(const struct pg_link *link);
/* Connected and set up. */
bool pg_link_is_ready(const struct pg_link *link);

/* The link must be idle. `done` may not come before this returns. */
void pg_link_run(struct pg_link *link, struct pg_job *job);

/* Gives the connection up, as if it had broken, and connects again. */
void pg_link_drop(struct pg_link *link, const char *why);

/* A job under way ends with UV_ECANCELED. Frees the link after `closed`. */
void pg_link_close(struct pg_link *link);

#endif
