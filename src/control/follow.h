/* follow.h - keeps the configuration in step with the store: what it holds at start, and what other
 * nodes write while this one runs.
 *
 * The store tells rows (store_events); they are taken into the configuration, and one snapshot is
 * compiled for all that came at one time. This node's own commits don't come this way: they are in
 * memory when the store says so, and a change that was read before such a commit must not undo it.
 *
 * A row that isn't valid by itself (edited by hand, or written by another version) is left out, and
 * named in the log and in /status; the rest is in force.
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_FOLLOW_H
#define CONTROL_FOLLOW_H

#include <stdbool.h>

#include <jansson.h>

#include "model/config.h"
#include "store/store.h"

#define FOLLOW_TOLD_MAX 50 /* rows that are told one by one, of those that come at one time */

struct follower;

struct follower_settings {
    struct config *config;        /* borrowed */
    void (*publish)(void *owner); /* the configuration has changed */
    /* Another node has changed this row; before publish(). kind NULL: `count` more rows. NULL:
     * nobody wants to know. */
    void (*told)(void *owner, const char *kind, const char *id, size_t count);
    void (*turned)(void *owner);   /* the database went away or came back, or all is loaded */
    void (*in_force)(void *owner); /* store_sequence() has moved, and what it says is published */
    /* The database is new, and takes writes: puts all configuration back into it, then calls
     * follower_note_put_back. NULL: what the database says is true, even then. */
    void (*put_back)(void *owner);
    void *owner;
};

/* Copies *settings. 0 or UV_ENOMEM. */
int follower_create(const struct follower_settings *settings, struct follower **ret);
void follower_destroy(struct follower *follower); /* NULL is fine */

/* Takes a row at start; for store_load_all and disk_snapshot_load, with the follower as `arg`.
 * Always 0. */
int follower_load_row(void *follower, const char *kind, const char *id, const char *body);
/* What was loaded is not the store's: all is loaded when it can be reached. */
void follower_set_stale(struct follower *follower);
/* Follows `store` from here on; borrowed until store_close. */
void follower_watch(struct follower *follower, struct store *store);

/* This node has committed `change`, which is in the configuration; in the commit's done(). */
void follower_note_commit(struct follower *follower, const struct config_change *change);

/* The end of put_back; rc of the commit. */
void follower_note_put_back(struct follower *follower, int rc);

/* Serving what the database says, and in touch with it. */
bool follower_is_current(const struct follower *follower);
/* {"sequence", "source": "database" | "snapshot", "database_away": null or why,
 * "skipped_rows": [{"kind", "id", "why"}]}; owned. */
json_t *follower_status(const struct follower *follower);

#endif
