/* PostgreSQL shared by several nodes: what each hears of the others. */
#include "postgres_store.h"
#include "suite.h"

/* ---- changes ---- */

static void a_change_reaches_the_others_and_not_its_writer(void **state)
{
    (void)state;
    struct store *other;
    struct follower here, there;
    assert_int_equal(open_store(), 0);
    assert_int_equal(open_and_load(&other), 0);
    follow(&here, store);
    follow(&there, other);
    assert_int_equal(COMMIT(PUT("services", "s1", "1"),
                            PUT("routes", "r1", "2", REF("service", "services", "s1"))),
                     0);
    AWAIT(has_seen(&there, "r1"));
    assert_int_equal(COMMIT(REMOVE("routes", "r1"), PUT("services", "s1", "3")), 0);
    AWAIT(has_seen(&there, "-r1"));
    AWAIT(store_sequence(other) == store_sequence(store));
    assert_string_equal(there.seen, "+s1 +r1 -r1 +s1");
    assert_true(there.is_in_order);
    assert_string_equal(here.seen, "");
    close_another(other);
}

static void what_a_human_writes_is_a_change(void **state)
{
    (void)state;
    struct follower here;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "{\"tags\":[\"a\",\"b c\"]}"),
                            PUT("services", "s2", "{\"tags\":null}")),
                     0);
    assert_int_equal(query("SELECT count(*) FROM rows WHERE tags @> '{a,b c}'"), 1);
    follow(&here, store);
    query("UPDATE rows SET body = '{\"tags\":[]}' WHERE tags @> '{a}'");
    AWAIT(has_seen(&here, "+s1"));
    query("DELETE FROM rows WHERE id::text LIKE '%7332%'");
    AWAIT(has_seen(&here, "-s2"));
    query("TRUNCATE rows CASCADE");
    AWAIT(has_seen(&here, "reload loaded"));
    assert_string_equal(here.seen, "+s1 -s2 reload loaded");
}

struct ending {
    const struct follower *follower;
    int rc;
    uint64_t committed;
    uint64_t delivered; /* by then */
};

static void on_ended(void *arg, int rc)
{
    struct ending *ending = arg;
    ending->rc = rc;
    ending->committed = store_committed_sequence(ending->follower->store);
    ending->delivered = ending->follower->last;
}

/* A transaction that took its numbers first, and commits (or rolls back) last. */
static void numbers_become_visible_in_their_order(void **state)
{
    (void)state;
    struct store *other;
    struct follower here, there;
    assert_int_equal(open_store(), 0);
    assert_int_equal(open_and_load(&other), 0);
    follow(&here, store);
    follow(&there, other);
    for (int round = 0; round < 2; round++) {
        bool is_committed = round == 0;
        struct ending ending = {.follower = &here, .rc = 1};
        PGconn *human = human_connect();
        human_ask(human, "BEGIN");
        human_ask(human, "INSERT INTO rows VALUES ('services', gen_random_uuid(), '{}')");
        int64_t first = human_ask(human, "SELECT max(seq) FROM changes");
        struct store_op op = PUT("services", "s1", "2");
        assert_int_equal(store_commit(store, &op, 1, on_ended, &ending), 0);
        AWAIT(query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"));
        assert_int_equal(ending.rc, 1);
        human_ask(human, is_committed ? "COMMIT" : "ROLLBACK");
        PQfinish(human);
        AWAIT(ending.rc == 0);
        assert_true(ending.committed > (uint64_t)first);
        if (is_committed) /* before our own end, what came before it */
            assert_int_equal(ending.delivered, first);
        AWAIT(store_sequence(other) == ending.committed);
    }
    assert_true(there.is_in_order && here.is_in_order);
    assert_int_equal(there.batches >= 2, 1);
    close_another(other);
}

/* Without a notification, so that only the commit itself can have read it. */
static void a_commit_tells_first_what_was_written_before_it(void **state)
{
    (void)state;
    struct follower here;
    char sql[160], seen[16];
    assert_int_equal(open_store(), 0);
    follow(&here, store);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    for (int round = 0; round < 5; round++) {
        struct ending ending = {.follower = &here, .rc = 1};
        snprintf(seen, sizeof(seen), "r%d", round);
        snprintf(sql, sizeof(sql),
                 "INSERT INTO changes VALUES (nextval('change_numbers'), 'routes', '%s', 'remove')",
                 uid(seen));
        query(sql);
        struct store_op op = PUT("services", "s1", "2");
        assert_int_equal(store_commit(store, &op, 1, on_ended, &ending), 0);
        AWAIT(ending.rc != 1);
        assert_int_equal(ending.delivered, ending.committed - 1);
        assert_true(has_seen(&here, seen));
    }
    assert_true(here.is_in_order);
}

static void the_same_unique_value_at_once_is_taken_once(void **state)
{
    (void)state;
    struct store *other;
    assert_int_equal(open_store(), 0);
    assert_int_equal(open_and_load(&other), 0);
    for (int round = 0; round < 20; round++) {
        char value[16], names[2][8];
        int results[2] = {1, 1};
        snprintf(value, sizeof(value), "v%d", round);
        snprintf(names[0], sizeof(names[0]), "a%d", round);
        snprintf(names[1], sizeof(names[1]), "b%d", round);
        struct store_op ours = PUT("services", names[0], "1", KEY("name", value));
        struct store_op theirs = PUT("services", names[1], "2", KEY("name", value));
        assert_int_equal(store_commit(store, &ours, 1, on_done, &results[0]), 0);
        assert_int_equal(store_commit(other, &theirs, 1, on_done, &results[1]), 0);
        AWAIT(results[0] != 1 && results[1] != 1);
        assert_true((results[0] == 0 && results[1] == UV_EEXIST) ||
                    (results[1] == 0 && results[0] == UV_EEXIST));
    }
    assert_int_equal(query("SELECT count(*) FROM rows"), 20);
    close_another(other);
}

static void a_child_that_another_node_added_keeps_its_parent(void **state)
{
    (void)state;
    struct store *other;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    assert_int_equal(open_and_load(&other), 0);
    for (int round = 0; round < 10; round++) {
        int results[2] = {1, 1};
        struct store_op child = PUT("routes", "r1", "2", REF("service", "services", "s1"));
        struct store_op parent = REMOVE("services", "s1");
        struct store_op unrelated = PUT("services", "s2", "1");
        int refreshed = 1; /* so that `other` knows the last round's end */
        assert_int_equal(store_commit(other, &unrelated, 1, on_done, &refreshed), 0);
        AWAIT(refreshed == 0);
        assert_int_equal(store_commit(store, &parent, 1, on_done, &results[0]), 0);
        assert_int_equal(store_commit(other, &child, 1, on_done, &results[1]), 0);
        AWAIT(results[0] != 1 && results[1] != 1);
        assert_true((results[0] == 0 && results[1] == UV_ENOENT) ||
                    (results[0] == UV_EBUSY && results[1] == 0));
        assert_int_equal(COMMIT(REMOVE("routes", "r1"), PUT("services", "s1", "1")), 0);
    }
    close_another(other);
}

/* ---- two nodes and one row ---- */

struct rewrite {
    struct store *store;
    struct store_op op;
    bool gives_up;
    int attempts, rc;
    uint64_t known; /* when it was refused: what had been told by then */
};

/* As a node does it: plans again on what it was told, and at once. */
static void on_rewrite_done(void *arg, int rc)
{
    struct rewrite *rewrite = arg;
    rewrite->rc = rc;
    if (rc != UV_EAGAIN)
        return;
    rewrite->known = store_sequence(rewrite->store);
    if (rewrite->gives_up)
        return;
    rewrite->rc = 1;
    rewrite->attempts++;
    assert_int_equal(store_commit(rewrite->store, &rewrite->op, 1, on_rewrite_done, rewrite), 0);
}

static void begin_rewrite(struct rewrite *rewrite)
{
    rewrite->rc = 1;
    rewrite->attempts = 1;
    assert_int_equal(store_commit(rewrite->store, &rewrite->op, 1, on_rewrite_done, rewrite), 0);
}

static void a_row_that_another_node_changed_is_not_written_over_unseen(void **state)
{
    (void)state;
    struct store *other;
    struct follower here;
    assert_int_equal(open_store(), 0);
    assert_int_equal(open_and_load(&other), 0);
    follow(&here, store);
    struct rewrite theirs = {.store = other, .op = PUT("services", "s1", "1")};
    begin_rewrite(&theirs);
    AWAIT(theirs.rc == 0);
    AWAIT(has_seen(&here, "+s1"));
    /* Planned before that one's next write, carried out after it. */
    struct rewrite ours = {.store = store, .op = PUT("services", "s1", "3")};
    PGconn *human = human_connect();
    human_ask(human, "BEGIN");
    human_ask(human, "UPDATE rows SET body = '2'");
    int64_t number = human_ask(human, "SELECT max(seq) FROM changes");
    begin_rewrite(&ours);
    AWAIT(query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"));
    human_ask(human, "COMMIT");
    PQfinish(human);
    AWAIT(ours.rc == 0);
    assert_int_equal(ours.attempts, 2);
    assert_int_equal(ours.known, number);
    assert_string_equal(here.seen, "+s1 +s1");
    /* One that others removed is not brought back unseen either. */
    ours.gives_up = true;
    human = human_connect();
    human_ask(human, "BEGIN");
    human_ask(human, "DELETE FROM rows");
    begin_rewrite(&ours);
    AWAIT(query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"));
    human_ask(human, "COMMIT");
    PQfinish(human);
    AWAIT(ours.rc == UV_EAGAIN);
    assert_int_equal(query("SELECT count(*) FROM rows"), 0);
    /* Who doesn't use the turn doesn't keep it. */
    assert_int_equal(query("SELECT pg_advisory_xact_lock(2003134834, hashtext(current_schema))"),
                     0);
    begin_rewrite(&theirs);
    AWAIT(theirs.rc == 0);
    close_another(other);
}

static void nodes_that_fight_for_a_row_all_get_their_turn(void **state)
{
    (void)state;
    enum { NODES = 4, ROUNDS = 50 };
    struct rewrite all[NODES];
    int done[NODES] = {0}, most = 0;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    for (int i = 0; i < NODES; i++) {
        all[i] = (struct rewrite){.op = PUT("services", "s1", "2")};
        assert_int_equal(open_and_load(&all[i].store), 0);
        begin_rewrite(&all[i]);
    }
    uint64_t deadline = uv_hrtime() + CLOSE_NS;
    for (bool is_over = false; !is_over && uv_hrtime() < deadline;) {
        uv_run(&loop, UV_RUN_ONCE); /* there is a tick each second */
        is_over = true;
        for (int i = 0; i < NODES; i++) {
            if (all[i].rc == 0 && done[i] < ROUNDS) {
                most = all[i].attempts > most ? all[i].attempts : most;
                if (++done[i] < ROUNDS)
                    begin_rewrite(&all[i]);
            }
            is_over = is_over && done[i] == ROUNDS;
        }
    }
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(done[i], ROUNDS);
        close_another(all[i].store);
    }
    assert_int_equal(most, 2);
    assert_int_equal(query("SELECT count(*) FROM changes"), 1 + NODES * ROUNDS);
}

static void who_missed_more_than_the_log_holds_loads_anew(void **state)
{
    (void)state;
    struct store *other;
    struct follower here;
    assert_int_equal(open_store(), 0);
    assert_int_equal(open_and_load(&other), 0);
    char sql[160];
    snprintf(sql, sizeof(sql),
             "INSERT INTO rows SELECT 'services', gen_random_uuid(), '{}'"
             " FROM generate_series(1, %d)",
             PG_CHANGES_KEPT + 10);
    query(sql);
    int result = 1;
    struct store_op op = PUT("services", "s1", "1");
    assert_int_equal(store_commit(other, &op, 1, on_done, &result), 0);
    AWAIT(result == 0);
    assert_int_equal(query("SELECT count(*) FROM changes"), PG_CHANGES_KEPT);
    follow(&here, store);
    AWAIT(has_seen(&here, "reload loaded"));
    AWAIT(store_is_reachable(store));
    assert_int_equal(store_sequence(store), query("SELECT max(seq) FROM changes"));
    result = 1;
    op = (struct store_op)PUT("services", "s2", "1");
    assert_int_equal(store_commit(other, &op, 1, on_done, &result), 0);
    AWAIT(has_seen(&here, "+s2"));
    close_another(other);
}

static void a_large_commit_is_one_commit(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static char ids[COUNT][UUID_TEXT_BYTES];
    static struct store_op ops[COUNT];
    static struct store_key keys[COUNT];
    struct store *other;
    struct follower there;
    assert_int_equal(open_store(), 0);
    assert_int_equal(open_and_load(&other), 0);
    follow(&there, other);
    for (int i = 0; i < COUNT; i++) {
        snprintf(ids[i], sizeof(ids[i]), "00000000-0000-4000-8000-%012d", i);
        keys[i] = (struct store_key){"name", ids[i]};
        ops[i] = (struct store_op){.op = STORE_PUT,
                                   .kind = "services",
                                   .id = ids[i],
                                   .body = "{}",
                                   .keys = &keys[i],
                                   .key_count = 1};
    }
    assert_int_equal(commit_ops(ops, COUNT), 0);
    AWAIT(store_sequence(other) == store_sequence(store));
    assert_int_equal(there.batches, 1);
    keys[COUNT - 1].value = ids[0]; /* taken: none of them is written */
    assert_int_equal(commit_ops(ops, COUNT), UV_EEXIST);
    assert_int_equal(query("SELECT count(*) FROM changes"), COUNT);
    close_another(other);
}

static void a_server_that_takes_no_more_writes_is_left(void **state)
{
    (void)state;
    struct follower here;
    assert_int_equal(open_store(), 0);
    follow(&here, store);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    /* As a primary that became a standby. */
    server_sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    server_sql("postgres", "SELECT pg_reload_conf()");
    server_sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                           " WHERE application_name = 'weir'");
    AWAIT(!here.is_reachable);
    struct store_op op = PUT("services", "s2", "1");
    int result = 1;
    assert_int_equal(store_commit(store, &op, 1, on_done, &result), UV_ENOTCONN);
    server_sql("postgres", "ALTER SYSTEM RESET default_transaction_read_only");
    server_sql("postgres", "SELECT pg_reload_conf()");
    AWAIT(here.is_reachable);
    assert_int_equal(COMMIT(PUT("services", "s2", "1")), 0);
}

/* ---- nodes ---- */

struct nodes {
    int rc;
    size_t count;
    char text[256];
};

static void on_nodes(void *arg, int rc, const struct store_node *nodes, size_t count)
{
    struct nodes *out = arg;
    *out = (struct nodes){.rc = rc, .count = count};
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(out->text);
        snprintf(out->text + len, sizeof(out->text) - len, "%s %s %s %s %d %d;",
                 name_of(nodes[i].id), nodes[i].host, nodes[i].version, nodes[i].state,
                 (int)nodes[i].sequence, (int)nodes[i].started_at_ms);
        assert_true(nodes[i].age_ms < 60000);
    }
}

/* Lets a heart beat; false when it can't yet, as there is no connection. */
static bool beats(const struct store_node *self, struct nodes *nodes)
{
    nodes->rc = 1;
    store_heartbeat(store, self, on_nodes, nodes);
    AWAIT(nodes->rc != 1);
    return nodes->rc != UV_ENOTCONN;
}

static void nodes_see_each_other(void **state)
{
    (void)state;
    struct nodes nodes = {.rc = 1};
    struct store_node a = {uid("a"), "one", "1.0", "ready", 7, 1000, 0};
    struct store_node b = {uid("b"), "two", "1.1", "draining", 8, 2000, 0};
    assert_int_equal(open_store(), 0);
    store_heartbeat(store, &a, on_nodes, &nodes); /* not connected yet */
    assert_int_equal(nodes.rc, UV_ENOTCONN);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    /* The heart beats over the reader's connection, which may be later than the writer's. */
    AWAIT(beats(&b, &nodes));
    nodes.rc = 1;
    store_heartbeat(store, &a, on_nodes, &nodes);
    AWAIT(nodes.rc != 1);
    assert_string_equal(nodes.text, "a one 1.0 ready 7 1000;b two 1.1 draining 8 2000;");
    b.state = NULL;
    nodes.rc = 1;
    store_heartbeat(store, &b, on_nodes, &nodes);
    AWAIT(nodes.rc != 1);
    assert_string_equal(nodes.text, "a one 1.0 ready 7 1000;");
}

int main(void)
{
    log_set_level(LOG_CRIT);
    const struct CMUnitTest tests[] = {
        SUITE_TESTS,
        TEST(a_change_reaches_the_others_and_not_its_writer),
        TEST(what_a_human_writes_is_a_change),
        TEST(numbers_become_visible_in_their_order),
        TEST(a_commit_tells_first_what_was_written_before_it),
        TEST(the_same_unique_value_at_once_is_taken_once),
        TEST(a_child_that_another_node_added_keeps_its_parent),
        TEST(a_row_that_another_node_changed_is_not_written_over_unseen),
        TEST(nodes_that_fight_for_a_row_all_get_their_turn),
        TEST(who_missed_more_than_the_log_holds_loads_anew),
        TEST(a_large_commit_is_one_commit),
        TEST(a_server_that_takes_no_more_writes_is_left),
        TEST(nodes_see_each_other),
    };
    return RUN_WITH_SERVER(tests);
}
