/* memory.c - the engine that keeps nothing: what is committed is what the process holds anyway, and
 * a file says it anew at each start. */
#include "store/engine.h"

#include <stdlib.h>

#include "base/list.h"

/* Commits wait in a list, and are done in the loop's next turn: never while their caller runs. */

struct memory {
    struct store base; /* first */
    uv_idle_t idle;
    struct list waiting; /* of struct commit, in order */
    void (*closed)(void *arg);
    void *closed_arg;
};

struct commit {
    struct list link;
    store_commit_cb done;
    void *arg;
};

static struct memory *memory_of(struct store *store)
{
    return (struct memory *)(void *)store;
}

static int load_all(struct store *store,
                    int (*row)(void *arg, const char *kind, const char *id, const char *body),
                    void *arg, struct error *err)
{
    (void)store, (void)row, (void)arg, (void)err;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct memory *memory = handle->data;
    void (*closed)(void *arg) = memory->closed;
    void *arg = memory->closed_arg;
    free(memory);
    closed(arg);
}

static void on_idle(uv_idle_t *idle)
{
    struct memory *memory = idle->data;
    if (!list_is_empty(&memory->waiting)) {
        struct commit *commit = LIST_ENTRY(memory->waiting.next, struct commit, link);
        list_remove(&commit->link);
        commit->done(commit->arg, 0);
        free(commit);
    } else if (memory->closed) {
        uv_close((uv_handle_t *)&memory->idle, on_handle_closed);
    } else {
        uv_idle_stop(idle);
    }
}

static int commit_ops(struct store *store, const struct store_op *ops, size_t count,
                      store_commit_cb done, void *arg)
{
    (void)ops, (void)count;
    struct memory *memory = memory_of(store);
    struct commit *commit = calloc(1, sizeof(*commit));
    if (!commit)
        return UV_ENOMEM;
    commit->done = done;
    commit->arg = arg;
    list_push_back(&memory->waiting, &commit->link);
    uv_idle_start(&memory->idle, on_idle);
    return 0;
}

static void watch(struct store *store, const struct store_events *events, void *arg)
{
    (void)store, (void)events, (void)arg;
}

static uint64_t no_sequence(const struct store *store)
{
    (void)store;
    return 0;
}

static void load(struct store *store, store_loaded_cb loaded, void *arg)
{
    (void)store;
    loaded(arg, UV_ENOTSUP, NULL, 0);
}

static void heartbeat(struct store *store, const struct store_node *self, store_nodes_cb done,
                      void *arg)
{
    (void)store, (void)self;
    if (done)
        done(arg, UV_ENOTSUP, NULL, 0);
}

static bool is_reachable(const struct store *store)
{
    (void)store;
    return true;
}

static void close_store(struct store *store, void (*closed)(void *arg), void *arg)
{
    struct memory *memory = memory_of(store);
    memory->closed = closed;
    memory->closed_arg = arg;
    uv_idle_start(&memory->idle, on_idle);
}

static const struct store_engine engine = {
    .load_all = load_all,
    .commit = commit_ops,
    .watch = watch,
    .sequence = no_sequence,
    .committed_sequence = no_sequence,
    .load = load,
    .heartbeat = heartbeat,
    .is_reachable = is_reachable,
    .close = close_store,
};

int store_open_memory(uv_loop_t *loop, struct store **ret)
{
    struct memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return UV_ENOMEM;
    memory->base.engine = &engine;
    memory->idle.data = memory;
    list_init(&memory->waiting);
    uv_idle_init(loop, &memory->idle); /* which cannot fail */
    *ret = &memory->base;
    return 0;
}
