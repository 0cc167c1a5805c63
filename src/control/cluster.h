/* cluster.h - what makes this node one of many: the store it shares, the configuration that follows
 * it, its heartbeat, its snapshot on disk, and whether it should be given traffic.
 *
 *   "ready"     in force is what the database says
 *   "degraded"  the database is away: what was known last is in force, and nothing can be written
 *   "draining"  the node is about to stop, and load balancers should look for another
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_CLUSTER_H
#define CONTROL_CLUSTER_H

#include <stdbool.h>

#include <jansson.h>
#include <uv.h>

#include "base/error.h"
#include "control/nodes.h"
#include "model/config.h"

struct cluster;
struct node_id;
struct config_write;
struct options;
struct store;

struct cluster_settings {
    uv_loop_t *loop;
    const struct options *options;
    struct config *config;
    struct node_id *node_id;      /* borrowed */
    void (*publish)(void *owner); /* the configuration has changed */
    void (*submit)(void *owner, struct config_write *write);
    /* As follower_settings.told; and the node may be in another state than before. */
    void (*told)(void *owner, const char *kind, const char *id, size_t count);
    void (*turned)(void *owner);
    void *owner;
};

/* Opens the store and loads the configuration, from the database or, where that is away and
 * WEIR_SNAPSHOT is on, from the disk. Blocks. 0, or a negative UV_E… with *err; *ret (and its
 * store) may be there in both cases, for cluster_stop. */
int cluster_open(const struct cluster_settings *settings, struct cluster **ret, struct error *err);
struct store *cluster_store(const struct cluster *cluster); /* NULL: none was opened */
/* Follows the others from here on: publish() may be called. 0 or a negative UV_E…. */
int cluster_start(struct cluster *cluster);

/* This node has committed `change` and applied it; in the commit's done(). */
void cluster_note_commit(struct cluster *cluster, const struct config_change *change);

void cluster_set_draining(struct cluster *cluster, bool is_draining);
const char *cluster_state(const struct cluster *cluster);
/* For GET /status: follower_status() and {"state"}; owned. */
json_t *cluster_status(const struct cluster *cluster);
void cluster_list_nodes(struct cluster *cluster, nodes_list_cb done, void *arg);
/* In a commit's done(): calls back when that commit is in force on all live nodes, or limit_ms have
 * passed (nodes.h). */
void cluster_wait_all(struct cluster *cluster, uint64_t limit_ms, nodes_wait_cb done, void *arg);

/* Ends what runs on the loop, and then closes the store; closed() once that is done. */
void cluster_stop(struct cluster *cluster, void (*closed)(void *arg), void *arg);
/* After cluster_stop, when the loop has ended. NULL is fine. */
void cluster_destroy(struct cluster *cluster);

#endif
