/* pg_commit.h - one commit as a job for a link: what is sent, what the results mean.
 *
 * Thread: the loop's. Memory: a commit owns copies of its ops. */
#ifndef STORE_PG_COMMIT_H
#define STORE_PG_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/random.h"
#include "store/pg_link.h"

enum pg_commit_phase {
    PG_COMMIT_WRITING,
    PG_COMMIT_ROLLING_BACK,  /* refused; the transaction is being ended */
    PG_COMMIT_STEPPING_BACK, /* outdated; what it did is undone, and the turn to write is kept */
    PG_COMMIT_ASKING,        /* the connection broke: is it written? */
};

struct pg_commit {
    struct pg_job job; /* first: a job is its commit; `done` is the owner's to set */
    struct list link;  /* where it waits */
    struct arena arena;
    struct store_op *ops;
    size_t count;
    store_commit_cb done;
    void *arg;
    void *owner;
    uint64_t submitted_ms;
    unsigned attempts;
    char planned[24]; /* the last change that was known to whoever made the ops */
    /* Of this attempt: */
    enum pg_commit_phase phase;
    char token[UUID_TEXT_BYTES];
    const char *schema, *origin; /* borrowed */
    char since[24];              /* what this node knows */
    bool has_turn; /* goes on in the transaction of the one before, which has the lock */
    bool is_committed;
    bool is_behind;   /* the log doesn't reach back to `since` */
    bool is_dangling; /* what was put refers to what isn't there */
    bool is_asked;    /* PG_COMMIT_ASKING got its answer: is_committed */
    uint64_t sequence;
    uint64_t last;              /* change that there is, before it */
    PGresult *before;           /* what others wrote since; owned; NULL: nothing */
    char state[PG_STATE_BYTES]; /* of the first error; "": none */
    char constraint[64];
    char why[256];
};

/* Copies the ops, which were made knowing all changes up to `planned`. 0 or UV_ENOMEM. */
int pg_commit_create(const struct store_op *ops, size_t count, uint64_t planned,
                     struct pg_commit **ret);
void pg_commit_destroy(struct pg_commit *commit);

/* Makes it ready to be run by a link as a new attempt, with a new token; or as the question whether
 * the last attempt is written, after which it never will be if it isn't; or to end the transaction
 * of an attempt that was refused; or to undo an outdated one and keep its lock, which the next
 * commit's attempt then has_turn to use. */
void pg_commit_write(struct pg_commit *commit, uint64_t since, bool has_turn);
void pg_commit_ask(struct pg_commit *commit, uint64_t since);
void pg_commit_roll_back(struct pg_commit *commit);
void pg_commit_step_back(struct pg_commit *commit);

/* A refused attempt named rows that others have changed since its ops were made. */
bool pg_commit_is_outdated(const struct pg_commit *commit);

/* What a refused attempt means, as store_commit says; UV_EAGAIN: try again; UV_EROFS: the server
 * no longer takes writes. */
int pg_commit_error(const struct pg_commit *commit);

#endif
