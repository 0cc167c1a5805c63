/* postgres_store.h - a store on a real PostgreSQL, in a schema of its own for each test; a human's
 * connection beside it, and a follower that notes what it is told. */
#ifndef TESTS_UNIT_STORE_POSTGRES_STORE_H
#define TESTS_UNIT_STORE_POSTGRES_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "postgres_server.h"
#include "store/migrations.h"
#include "store/pg_schema.h"
#include "store/pg_statements.h"
#include "store/store.h"

/* ---- a store in a schema of its own ---- */

#define CLOSE_NS 60000000000U

static uv_loop_t loop;
static struct store *store;
static struct error err;
static char schema[24]; /* a new one a test */
static char hosts[64];
static struct store_settings settings;

static inline void set_hosts(const char *text)
{
    snprintf(hosts, sizeof(hosts), "%s", text);
}

static inline int open_another(struct store **ret)
{
    err = (struct error){"", ""};
    return store_open(&loop, &settings, ret, &err);
}

static inline int ignore_row(void *arg, const char *kind, const char *id, const char *body)
{
    (void)arg, (void)kind, (void)id, (void)body;
    return 0;
}

/* As a node does it: what is there is loaded first. */
static inline int open_and_load(struct store **ret)
{
    int rc = open_another(ret);
    return rc < 0 ? rc : store_load_all(*ret, ignore_row, NULL, &err);
}

static inline int open_store(void)
{
    return open_and_load(&store);
}

static inline void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static inline void close_another(struct store *other)
{
    bool is_closed = false;
    uint64_t deadline = uv_hrtime() + CLOSE_NS;
    store_close(other, on_closed, &is_closed);
    while (!is_closed && uv_hrtime() < deadline)
        uv_run(&loop, UV_RUN_NOWAIT);
    if (!is_closed)
        fail_msg("the store does not close");
}

static inline void close_store(void)
{
    close_another(store);
    store = NULL;
}

static inline int make_schema(void **state)
{
    static int number;
    (void)state;
    snprintf(schema, sizeof(schema), "test_%d", ++number);
    snprintf(hosts, sizeof(hosts), "127.0.0.1");
    settings = (struct store_settings){
        .engine = STORE_POSTGRES,
        .pg = {.hosts = hosts,
               .port = (uint16_t)server.port,
               .user = "weir",
               .password = "secret",
               .database = "weir",
               .schema = schema,
               .timeout_ms = 10000},
        .migrates = true,
    };
    return uv_loop_init(&loop);
}

static inline int close_all(void **state)
{
    (void)state;
    if (store)
        close_store();
    uint64_t deadline = uv_hrtime() + CLOSE_NS;
    while (uv_run(&loop, UV_RUN_NOWAIT) && uv_hrtime() < deadline)
        usleep(200);
    return uv_loop_close(&loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_schema, close_all)
#include "commits.h"

/* ---- a human's connection ---- */

static inline PGconn *human_connect(void)
{
    char sql[64];
    PGconn *conn = server_connect("weir");
    snprintf(sql, sizeof(sql), "SET search_path TO %s", schema);
    PQclear(PQexec(conn, sql));
    return conn;
}

static inline int64_t human_ask(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    int64_t number = PQntuples(result) ? atoll(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    return number;
}

static inline int64_t query(const char *sql)
{
    PGconn *conn = human_connect();
    int64_t number = human_ask(conn, sql);
    PQfinish(conn);
    return number;
}

/* ---- a follower ---- */

struct follower {
    struct store *store;
    char seen[8192]; /* "+s1 -s2 [reload] (s1 s2)" */
    uint64_t last;   /* sequence number */
    bool is_in_order;
    int batches;
    bool is_reachable;
};

static inline void note(struct follower *follower, const char *mark, const char *id)
{
    size_t len = strlen(follower->seen);
    snprintf(follower->seen + len, sizeof(follower->seen) - len, "%s%s%s", len ? " " : "", mark,
             id);
}

static inline void on_changed(void *arg, const struct store_change *changes, size_t count)
{
    struct follower *follower = arg;
    follower->batches++;
    for (size_t i = 0; i < count; i++) {
        follower->is_in_order = follower->is_in_order && changes[i].sequence > follower->last;
        follower->last = changes[i].sequence;
        assert_true((changes[i].op == STORE_PUT) == (changes[i].body != NULL));
        note(follower, changes[i].op == STORE_PUT ? "+" : "-", name_of(changes[i].id));
    }
}

static inline void on_loaded(void *arg, int rc, const struct store_change *all, size_t count)
{
    struct follower *follower = arg;
    if (rc < 0)
        return; /* it comes again */
    note(follower, "loaded", "");
    for (size_t i = 0; i < count && i < 5; i++)
        note(follower, "=", name_of(all[i].id));
}

static inline void on_reload(void *arg)
{
    struct follower *follower = arg;
    note(follower, "reload", "");
    store_load(follower->store, on_loaded, follower);
}

static inline void on_reachable(void *arg, int is_reachable, const char *why)
{
    struct follower *follower = arg;
    assert_non_null(why);
    follower->is_reachable = is_reachable;
}

static const struct store_events events = {on_changed, on_reload, on_reachable};

static inline void follow(struct follower *follower, struct store *followed)
{
    *follower = (struct follower){.store = followed, .is_in_order = true, .is_reachable = true};
    store_watch(followed, &events, follower);
}

static inline bool has_seen(const struct follower *follower, const char *what)
{
    return strstr(follower->seen, what) != NULL;
}

static inline int remove_server(void **state)
{
    (void)state;
    server_remove();
    return 0;
}

static inline int create_server(void **state)
{
    (void)state;
    server_create();
    return 0;
}

/* Runs a program's tests against a server of its own; 77 where none is installed, which is
 * "skipped", but never where all must be tested. */
#define RUN_WITH_SERVER(tests)                                                                     \
    (server_is_installed()                                                                         \
         ? cmocka_run_group_tests(tests, create_server, remove_server)                             \
         : (fputs("PostgreSQL is not installed\n", stderr), getenv("CI") ? 1 : 77))

#endif
