#include "store/store.h"

#include <assert.h>

#include "store/engine.h"

int store_open(uv_loop_t *loop, const struct store_settings *settings, struct store **ret,
               struct error *err)
{
    assert(loop && settings && ret);

    switch (settings->engine) {
    case STORE_SQLITE:
        return store_open_sqlite(loop, settings->data_dir, ret, err);
    case STORE_POSTGRES:
        return store_open_postgres(loop, settings, ret, err);
    case STORE_MEMORY:
        return store_open_memory(loop, ret);
    }
    return UV_EINVAL;
}

int store_load_all(struct store *store,
                   int (*row)(void *arg, const char *kind, const char *id, const char *body),
                   void *arg, struct error *err)
{
    assert(store && row);
    return store->engine->load_all(store, row, arg, err);
}

int store_commit(struct store *store, const struct store_op *ops, size_t count,
                 store_commit_cb done, void *arg)
{
    assert(store && ops && done);
    return store->engine->commit(store, ops, count, done, arg);
}

void store_watch(struct store *store, const struct store_events *events, void *arg)
{
    assert(store && events);
    store->engine->watch(store, events, arg);
}

uint64_t store_sequence(const struct store *store)
{
    return store->engine->sequence(store);
}

uint64_t store_committed_sequence(const struct store *store)
{
    return store->engine->committed_sequence(store);
}

void store_load(struct store *store, store_loaded_cb loaded, void *arg)
{
    assert(store && loaded);
    store->engine->load(store, loaded, arg);
}

void store_heartbeat(struct store *store, const struct store_node *self, store_nodes_cb done,
                     void *arg)
{
    assert(store && self);
    store->engine->heartbeat(store, self, done, arg);
}

int store_is_new(const struct store *store)
{
    return store->engine->is_new && store->engine->is_new(store);
}

int store_is_reachable(const struct store *store)
{
    return store->engine->is_reachable(store);
}

void store_close(struct store *store, void (*closed)(void *arg), void *arg)
{
    assert(store && closed);
    store->engine->close(store, closed, arg);
}
