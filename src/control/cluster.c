#include "control/cluster.h"

#include <stdlib.h>

#include "base/log.h"
#include "control/disk_snapshot.h"
#include "control/follow.h"
#include "control/options.h"
#include "control/put_back.h"
#include "store/store.h"

struct cluster {
    struct cluster_settings settings;
    struct store *store;
    struct follower *follower;
    struct nodes *nodes;        /* NULL until started */
    struct disk_snapshot *disk; /* NULL: off */
    bool is_draining;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- what the follower says ---- */

static void on_publish(void *owner)
{
    struct cluster *cluster = owner;
    cluster->settings.publish(cluster->settings.owner);
}

static void on_in_force(void *owner)
{
    struct cluster *cluster = owner;
    nodes_touch(cluster->nodes);
    disk_snapshot_touch(cluster->disk, store_sequence(cluster->store));
}

static void on_told(void *owner, const char *kind, const char *id, size_t count)
{
    struct cluster *cluster = owner;
    if (cluster->settings.told)
        cluster->settings.told(cluster->settings.owner, kind, id, count);
}

static void tell_turned(struct cluster *cluster)
{
    if (cluster->settings.turned)
        cluster->settings.turned(cluster->settings.owner);
}

static void on_turned(void *owner)
{
    struct cluster *cluster = owner;
    nodes_touch(cluster->nodes);
    tell_turned(cluster);
}

static void on_put_back(void *arg, int rc)
{
    follower_note_put_back(((struct cluster *)arg)->follower, rc);
}

static void put_back(void *owner)
{
    struct cluster *cluster = owner;
    struct config_write *write = put_back_create(on_put_back, cluster);
    if (write)
        cluster->settings.submit(cluster->settings.owner, write);
    else
        follower_note_put_back(cluster->follower, UV_ENOMEM);
}

static const char *state_of_nodes(void *owner)
{
    return cluster_state(owner);
}

/* ---- the way up ---- */

static int load_from_disk(struct cluster *cluster, struct error *err)
{
    struct error away = *err, cause = {.sentence = ""};
    const char *data_dir = cluster->settings.options->data_dir;
    int rc = disk_snapshot_load(data_dir, follower_load_row, cluster->follower, &cause);
    if (rc < 0) {
        error_set(err, away.field, "%s; and the snapshot %s %s", away.sentence, cause.field,
                  cause.sentence);
        return rc;
    }
    follower_set_stale(cluster->follower);
    log_warn("started from the snapshot on disk, for the database is away",
             LOG_CSTR("folder", data_dir), LOG_CSTR("why", away.sentence));
    return 0;
}

static int load(struct cluster *cluster, struct error *err)
{
    const struct options *options = cluster->settings.options;
    struct store_settings settings;
    options_store_settings(options, &settings);
    settings.may_be_away = options->has_disk_snapshot && settings.engine == STORE_POSTGRES;
    const char *ro_host = getenv("KONG_PG_RO_HOST");
    if (settings.engine == STORE_POSTGRES && ro_host && ro_host[0])
        log_warn("KONG_PG_RO_HOST and its like have no effect: nodes read from memory, and follow "
                 "the primary",
                 LOG_CSTR("pg_ro_host", ro_host));
    if (settings.engine == STORE_POSTGRES && settings.pg.verifies_tls && !settings.pg.has_tls)
        log_warn("pg_ssl_verify has no effect without pg_ssl: the way to the database is not "
                 "encrypted");
    int rc = store_open(cluster->settings.loop, &settings, &cluster->store, err);
    if (!rc)
        rc = store_load_all(cluster->store, follower_load_row, cluster->follower, err);
    if (rc == UV_ENOTCONN && settings.may_be_away)
        rc = load_from_disk(cluster, err);
    if (!rc && settings.may_be_away)
        rc = disk_snapshot_create(cluster->settings.loop, options->data_dir,
                                  cluster->settings.config, &cluster->disk);
    return rc;
}

int cluster_open(const struct cluster_settings *settings, struct cluster **ret, struct error *err)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    if (!cluster)
        return UV_ENOMEM;
    cluster->settings = *settings;
    *ret = cluster;
    const struct follower_settings follower = {
        .config = settings->config,
        .publish = on_publish,
        .told = on_told,
        .turned = on_turned,
        .in_force = on_in_force,
        .put_back = settings->options->migrates ? put_back : NULL,
        .owner = cluster,
    };
    int rc = follower_create(&follower, &cluster->follower);
    return rc ? rc : load(cluster, err);
}

struct store *cluster_store(const struct cluster *cluster)
{
    return cluster->store;
}

int cluster_start(struct cluster *cluster)
{
    const struct nodes_settings settings = {
        .loop = cluster->settings.loop,
        .store = cluster->store,
        .id = cluster->settings.node_id,
        .state = state_of_nodes,
        .owner = cluster,
    };
    follower_watch(cluster->follower, cluster->store);
    if (follower_is_current(cluster->follower))
        disk_snapshot_touch(cluster->disk, store_sequence(cluster->store));
    return nodes_create(&settings, &cluster->nodes);
}

/* ---- while it runs ---- */

void cluster_note_commit(struct cluster *cluster, const struct config_change *change)
{
    follower_note_commit(cluster->follower, change);
    disk_snapshot_touch(cluster->disk, store_committed_sequence(cluster->store));
}

void cluster_set_draining(struct cluster *cluster, bool is_draining)
{
    if (cluster->is_draining == is_draining)
        return;
    cluster->is_draining = is_draining;
    log_notice(is_draining ? "draining: not ready for more" : "no longer draining");
    nodes_touch(cluster->nodes);
    tell_turned(cluster);
}

const char *cluster_state(const struct cluster *cluster)
{
    if (cluster->is_draining)
        return "draining";
    bool is_current = follower_is_current(cluster->follower) && store_is_reachable(cluster->store);
    return is_current ? "ready" : "degraded";
}

json_t *cluster_status(const struct cluster *cluster)
{
    json_t *status = follower_status(cluster->follower);
    json_object_set_new(status, "state", json_string(cluster_state(cluster)));
    return status;
}

void cluster_list_nodes(struct cluster *cluster, nodes_list_cb done, void *arg)
{
    nodes_list(cluster->nodes, done, arg);
}

void cluster_wait_all(struct cluster *cluster, uint64_t limit_ms, nodes_wait_cb done, void *arg)
{
    nodes_wait(cluster->nodes, store_committed_sequence(cluster->store), limit_ms, done, arg);
}

/* ---- the way down ---- */

static void on_store_closed(void *arg)
{
    struct cluster *cluster = arg;
    cluster->store = NULL;
    cluster->closed(cluster->closed_arg);
}

void cluster_stop(struct cluster *cluster, void (*closed)(void *arg), void *arg)
{
    nodes_stop(cluster->nodes);
    disk_snapshot_stop(cluster->disk);
    cluster->closed = closed;
    cluster->closed_arg = arg;
    if (cluster->store)
        store_close(cluster->store, on_store_closed, cluster);
    else
        closed(arg);
}

void cluster_destroy(struct cluster *cluster)
{
    if (!cluster)
        return;
    nodes_destroy(cluster->nodes);
    disk_snapshot_destroy(cluster->disk);
    follower_destroy(cluster->follower);
    free(cluster);
}
