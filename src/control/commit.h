/* commit.h - carries out configuration writes, one at a time: plan, store, apply, publish, done.
 *
 * A write that was planned on what another node has just changed is planned again, on that: so two
 * nodes that change different fields of one row at once lose neither, and what the other one did is
 * answered in the words of validation.
 *
 * When a write's done() says 0, the change is stored and in force on this node.
 *
 * Thread: control. Memory: writes belong to their submitters; they are borrowed until done(). */
#ifndef CONTROL_COMMIT_H
#define CONTROL_COMMIT_H

#include "model/config.h"
#include "store/store.h"

struct committer;

/* `change` is stored and in config: compiles and publishes what that holds now. */
typedef void (*commit_publish_cb)(void *control, const struct config_change *change);

/* Borrows all. 0 or UV_ENOMEM. */
int committer_create(struct config *config, struct store *store, commit_publish_cb publish,
                     void *control, struct committer **ret);
/* No write may be waiting or under way. */
void committer_destroy(struct committer *committer);

/* May call done() before it returns. After committer_stop every write is done at once with
 * UV_ECANCELED. */
void committer_submit(struct committer *committer, struct config_write *write);
void committer_stop(struct committer *committer);

#endif
