#include "store/store.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "store/engine.h"
#include "store/op_copy.h"
#include "store/sqlite_file.h"
#include "store/sqlite_write.h"

/* The embedded engine: commits wait in a list, and the first of them is in libuv's pool. */

struct sqlite {
    struct store base; /* first */
    uv_loop_t *loop;   /* borrowed */
    struct sqlite_file file;
    struct sqlite_writer *writer;
    struct list waiting; /* of struct commit, in order */
    bool is_working;     /* the pool has the database */
    bool is_failing;     /* the last commit met an error of the engine */
    uv_work_t close_work;
    void (*closed)(void *arg); /* NULL until asked to close */
    void *closed_arg;
};

struct commit {
    struct list link;
    uv_work_t work;
    struct sqlite *store;
    struct arena arena; /* holds the ops and their texts */
    struct store_op *ops;
    size_t count;
    store_commit_cb done;
    void *arg;
    int rc;
    char why[256];
};

static struct sqlite *sqlite_of(struct store *store)
{
    return (struct sqlite *)(void *)store;
}

typedef int (*row_cb)(void *arg, const char *kind, const char *id, const char *body);

static int load_row(struct sqlite *store, sqlite3_stmt *all, row_cb row, void *arg,
                    struct error *err)
{
    const char *kind = (const char *)sqlite3_column_text(all, 0);
    const char *id = (const char *)sqlite3_column_text(all, 1);
    const char *body = (const char *)sqlite3_column_text(all, 2);
    if (!kind || !id || !body) {
        error_set(err, store->file.path, "can't be read: out of memory");
        return UV_ENOMEM;
    }
    int rc = row(arg, kind, id, body);
    if (rc != 0)
        error_set(err, store->file.path, "holds a row that can't be loaded: %s %s: %s", kind, id,
                  rc < 0 ? uv_strerror(rc) : "refused");
    return rc;
}

static int load_all(struct store *base, row_cb row, void *arg, struct error *err)
{
    struct sqlite *store = sqlite_of(base);
    assert(!store->is_working);

    int rc = 0, step = SQLITE_ERROR;
    sqlite3_stmt *all = NULL;
    if (sqlite3_prepare_v2(store->file.db, "SELECT kind, id, body FROM rows ORDER BY kind, id", -1,
                           &all, NULL) == SQLITE_OK)
        step = sqlite3_step(all);
    while (rc == 0 && step == SQLITE_ROW) {
        rc = load_row(store, all, row, arg, err);
        step = sqlite3_step(all);
    }
    if (rc == 0 && step != SQLITE_DONE) {
        error_set(err, store->file.path, "can't be read: %s", sqlite3_errmsg(store->file.db));
        rc = UV_EIO;
    }
    sqlite3_finalize(all);
    sqlite3_db_release_memory(store->file.db); /* the pages: nobody reads them again */
    return rc;
}

/* ---- commits ---- */

static void commit_destroy(struct commit *commit)
{
    arena_deinit(&commit->arena);
    free(commit);
}

/* In the pool. */
static void on_commit(uv_work_t *work)
{
    struct commit *commit = work->data;
    commit->rc = sqlite_writer_commit(commit->store->writer, commit->ops, commit->count,
                                      commit->why, sizeof(commit->why));
}

static bool is_engine_error(int rc)
{
    return rc != 0 && rc != UV_EEXIST && rc != UV_ENOENT && rc != UV_EBUSY;
}

/* Logs the turn from working to failing and back, and every failed write. */
static void note_result(struct sqlite *store, const struct commit *commit)
{
    bool is_failing = is_engine_error(commit->rc);
    if (is_failing)
        log_error("configuration was not stored", LOG_CSTR("file", store->file.path),
                  LOG_CSTR("error", commit->why));
    else if (store->is_failing)
        log_notice("configuration is stored again", LOG_CSTR("file", store->file.path));
    store->is_failing = is_failing;
}

static void run_next(struct sqlite *store);

static void on_committed(uv_work_t *work, int status)
{
    (void)status; /* nobody cancels it */
    struct commit *commit = work->data;
    struct sqlite *store = commit->store;
    store->is_working = false;
    note_result(store, commit);
    commit->done(commit->arg, commit->rc);
    commit_destroy(commit);
    run_next(store);
}

/* In the pool: SQLite moves its log into the database, which may take a while. */
static void on_close(uv_work_t *work)
{
    struct sqlite *store = work->data;
    sqlite_writer_destroy(store->writer);
    sqlite_file_close(&store->file);
}

static void on_closed(uv_work_t *work, int status)
{
    (void)status;
    struct sqlite *store = work->data;
    void (*closed)(void *arg) = store->closed;
    void *arg = store->closed_arg;
    free(store);
    closed(arg);
}

static void run_next(struct sqlite *store)
{
    if (store->is_working)
        return;
    if (!list_is_empty(&store->waiting)) {
        struct commit *commit = LIST_ENTRY(store->waiting.next, struct commit, link);
        list_remove(&commit->link);
        store->is_working = true;
        uv_queue_work(store->loop, &commit->work, on_commit, on_committed);
    } else if (store->closed) {
        store->is_working = true;
        store->close_work.data = store;
        uv_queue_work(store->loop, &store->close_work, on_close, on_closed);
    }
}

static int commit_ops(struct store *base, const struct store_op *ops, size_t count,
                      store_commit_cb done, void *arg)
{
    struct sqlite *store = sqlite_of(base);
    assert(!store->closed);

    struct commit *commit = calloc(1, sizeof(*commit));
    if (!commit)
        return UV_ENOMEM;
    arena_init(&commit->arena, OP_COPY_BLOCK_BYTES, OP_COPY_MAX_BYTES);
    commit->work.data = commit;
    commit->store = store;
    commit->count = count;
    commit->done = done;
    commit->arg = arg;
    commit->ops = op_copy(&commit->arena, ops, count);
    if (!commit->ops) {
        commit_destroy(commit);
        return UV_ENOMEM;
    }
    list_push_back(&store->waiting, &commit->link);
    run_next(store);
    return 0;
}

static bool is_reachable(const struct store *store)
{
    return !((const struct sqlite *)(const void *)store)->is_failing;
}

static void close_store(struct store *base, void (*closed)(void *arg), void *arg)
{
    struct sqlite *store = sqlite_of(base);
    assert(!store->closed);

    store->closed = closed;
    store->closed_arg = arg;
    run_next(store);
}

/* ---- other nodes: there are none ---- */

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
    loaded(arg, UV_ENOTSUP, NULL, 0); /* nobody is ever told to */
}

static void heartbeat(struct store *store, const struct store_node *self, store_nodes_cb done,
                      void *arg)
{
    (void)store, (void)self;
    if (done)
        done(arg, UV_ENOTSUP, NULL, 0);
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

int store_open_sqlite(uv_loop_t *loop, const char *data_dir, struct store **ret, struct error *err)
{
    assert(loop && data_dir && ret);

    struct sqlite *store = calloc(1, sizeof(*store));
    if (!store)
        return UV_ENOMEM;
    store->base.engine = &engine;
    store->loop = loop;
    list_init(&store->waiting);
    int rc = sqlite_file_open(data_dir, &store->file, err);
    if (rc < 0)
        goto fail;
    rc = sqlite_writer_create(store->file.db, store->file.path, &store->writer, err);
    if (rc < 0) {
        sqlite_file_close(&store->file);
        goto fail;
    }
    *ret = &store->base;
    return 0;
fail:
    free(store);
    return rc;
}
