/* nodes.h - this node's heartbeat in the database, and what it knows of the others by theirs.
 *
 * A heartbeat a second, and one as soon as a change is in force, so that a write that waits for all
 * nodes hears of it within milliseconds.
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_NODES_H
#define CONTROL_NODES_H

#include <stdint.h>

#include <jansson.h>
#include <uv.h>

struct node_id;
struct nodes;
struct store;

struct nodes_settings {
    uv_loop_t *loop;
    struct store *store;               /* borrowed until nodes_stop */
    struct node_id *id;                /* borrowed */
    const char *(*state)(void *owner); /* "ready", "degraded", "draining" */
    void *owner;
};

/* Starts the heartbeats. 0, or a negative UV_E…. */
int nodes_create(const struct nodes_settings *settings, struct nodes **ret);

/* What this node says of itself has changed: its state, or the change that is in force. */
void nodes_touch(struct nodes *nodes);

/* Asks the database, and calls done with {"id", "host", "version", "state", "sequence", "lag",
 * "started_at", "last_seen_ms", "is_live", "is_self"} of each, the oldest first (owned by the
 * callee). Where it can't be asked: what was known last. May call before it returns. */
typedef void (*nodes_list_cb)(void *arg, json_t *list);
void nodes_list(struct nodes *nodes, nodes_list_cb done, void *arg);

/* Calls done when `sequence` is in force on every live node, with behind NULL; or after limit_ms
 * with those that are not there yet: "id (host), …". May call before it returns. */
typedef void (*nodes_wait_cb)(void *arg, const char *behind);
void nodes_wait(struct nodes *nodes, uint64_t sequence, uint64_t limit_ms, nodes_wait_cb done,
                void *arg);

/* Ends all waits, and takes this node out of the list. NULL is fine; twice is harmless. */
void nodes_stop(struct nodes *nodes);
/* After nodes_stop, when the store and the loop have ended. */
void nodes_destroy(struct nodes *nodes);

#endif
