/* engine.h - what an engine is: the verbs of store.h as a table, and the head of its struct.
 *
 * Thread and memory: as store.h. */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include "store/store.h"

struct store_engine {
    int (*load_all)(struct store *store,
                    int (*row)(void *arg, const char *kind, const char *id, const char *body),
                    void *arg, struct error *err);
    int (*commit)(struct store *store, const struct store_op *ops, size_t count,
                  store_commit_cb done, void *arg);
    void (*watch)(struct store *store, const struct store_events *events, void *arg);
    uint64_t (*sequence)(const struct store *store);
    uint64_t (*committed_sequence)(const struct store *store);
    void (*load)(struct store *store, store_loaded_cb loaded, void *arg);
    void (*heartbeat)(struct store *store, const struct store_node *self, store_nodes_cb done,
                      void *arg);
    bool (*is_new)(const struct store *store); /* NULL: nobody else's database */
    bool (*is_reachable)(const struct store *store);
    void (*close)(struct store *store, void (*closed)(void *arg), void *arg);
};

/* The first member of every engine's struct. */
struct store {
    const struct store_engine *engine;
};

int store_open_memory(uv_loop_t *loop, struct store **ret);
int store_open_postgres(uv_loop_t *loop, const struct store_settings *settings, struct store **ret,
                        struct error *err);

#endif
