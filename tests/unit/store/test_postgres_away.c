/* PostgreSQL away, opened, migrated: what a node is told, and what stays. */
#include "postgres_store.h"

/* ---- the database away ---- */

#define WRITES_MAX 4000
static int writes[WRITES_MAX]; /* 1: under way; else what commit i was told */
static int write_count;

static void on_write_done(void *arg, int rc)
{
    writes[(intptr_t)arg] = rc;
}

/* Two rows that belong together; false when the store says at once that it is away. */
static bool start_write(void)
{
    char id[UUID_TEXT_BYTES];
    int number = write_count;
    snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", number);
    struct store_op ops[] = {
        {.op = STORE_PUT, .kind = "services", .id = id, .body = "{}", KEY("name", id)},
        {.op = STORE_PUT,
         .kind = "routes",
         .id = id,
         .body = "{}",
         .refs = (struct store_ref[]){{"service", "services", id}},
         .ref_count = 1},
    };
    writes[number] = 1;
    if (store_commit(store, ops, 2, on_write_done, (void *)(intptr_t)number) < 0)
        return false;
    write_count++;
    return true;
}

static int written(const char *kind, int number, PGconn *human)
{
    char sql[160];
    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM rows WHERE kind = '%s' AND id ="
             " '00000000-0000-4000-8000-%012d'",
             kind, number);
    return (int)human_ask(human, sql);
}

/* Every commit is as it was told: whole, or not there. */
static void check_writes(int *ret_good, int *ret_bad)
{
    PGconn *human = human_connect();
    *ret_good = *ret_bad = 0;
    for (int i = 0; i < write_count; i++) {
        int expected = writes[i] == 0;
        if (written("services", i, human) != expected || written("routes", i, human) != expected)
            fail_msg("commit %d was told %d and is not so", i, writes[i]);
        ++*(expected ? ret_good : ret_bad);
    }
    PQfinish(human);
}

static bool all_are_told(void)
{
    for (int i = 0; i < write_count; i++)
        if (writes[i] == 1)
            return false;
    return true;
}

static void commits_are_as_they_were_told_when_connections_break(void **state)
{
    enum { KILLS = 60 };
    (void)state;
    int good, bad;
    char sql[160], name[16];
    struct follower here;
    PGconn *human = human_connect();
    assert_int_equal(open_store(), 0);
    follow(&here, store);
    write_count = 0;
    for (int kills = 0; kills < KILLS;) {
        if (!start_write()) {
            AWAIT(store_is_reachable(store));
            continue;
        }
        for (unsigned turn = 0; writes[write_count - 1] == 1 && turn < 1 + (unsigned)kills % 7;
             turn++)
            uv_run(&loop, UV_RUN_ONCE); /* there is a tick each second */
        if (write_count % 3 == 0) {
            human_ask(human, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                             " WHERE application_name = 'weir'");
            /* Maybe after a commit of which the store has not heard: it must be told all the same.
             */
            snprintf(name, sizeof(name), "h%02d", kills++);
            snprintf(sql, sizeof(sql), "INSERT INTO rows VALUES ('services', '%s', '{}')",
                     uid(name));
            human_ask(human, sql);
        }
        AWAIT(all_are_told());
    }
    PQfinish(human);
    check_writes(&good, &bad);
    assert_true(good >= KILLS);
    for (int i = 0; i < KILLS; i++) {
        snprintf(name, sizeof(name), "+h%02d", i);
        AWAIT(has_seen(&here, name));
    }
    assert_true(here.is_in_order);
}

static void commits_are_as_they_were_told_when_the_server_is_killed(void **state)
{
    (void)state;
    enum { WRITES = 1000, ROUNDS = 4 };
    int good, bad;
    struct follower here;
    assert_int_equal(open_store(), 0);
    follow(&here, store);
    write_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int under_way = write_count;
        AWAIT(store_is_reachable(store) && start_write());
        AWAIT(writes[under_way] != 1);
        for (int i = 0; i < WRITES / ROUNDS; i++)
            start_write();
        AWAIT(writes[under_way + WRITES / ROUNDS / 4 + round] != 1);
        server_kill();
        AWAIT(!here.is_reachable);
        assert_false(start_write());
        server_start();
        AWAIT(here.is_reachable);
        AWAIT(all_are_told()); /* the one whose end was not known may be the last to be */
    }
    check_writes(&good, &bad);
    assert_true(good >= WRITES / 4);
    assert_true(bad > 0);
    assert_string_equal(here.seen, ""); /* nobody else wrote */
}

static void a_store_opens_without_its_database_and_finds_it_later(void **state)
{
    (void)state;
    struct follower here;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    close_store();
    server_kill();
    assert_int_equal(open_another(&store), UV_ENOTCONN);
    assert_string_equal(err.field, "WEIR_PG_HOST");
    assert_non_null(strstr(err.sentence, "Connection refused; check WEIR_PG_HOST"));
    settings.may_be_away = true;
    assert_int_equal(open_another(&store), 0);
    assert_int_equal(store_load_all(store, ignore_row, NULL, &err), UV_ENOTCONN);
    assert_int_equal(store_is_reachable(store), 0);
    follow(&here, store);
    struct store_op op = PUT("services", "s2", "1");
    int result = 1;
    assert_int_equal(store_commit(store, &op, 1, on_done, &result), UV_ENOTCONN);
    server_start();
    AWAIT(store_is_reachable(store));
    assert_string_equal(here.seen, "reload loaded =s1");
    assert_int_equal(COMMIT(PUT("services", "s2", "1")), 0);
}

static void the_second_host_is_used_when_the_first_is_not_there(void **state)
{
    (void)state;
    char text[64];
    uint16_t port;
    int dead = dead_port(&port);
    snprintf(text, sizeof(text), "127.0.0.1:%u,localhost:%d", port, server.port);
    set_hosts(text);
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    close(dead);
}

/* ---- opening ---- */

static void assert_refused(int rc, const char *field, const char *words)
{
    struct store *refused = NULL;
    assert_int_equal(open_another(&refused), rc);
    assert_null(refused);
    assert_string_equal(err.field, field);
    if (!strstr(err.sentence, words) || strchr(err.sentence, '\n'))
        fail_msg("expected \"…%s…\", got \"%s\"", words, err.sentence);
}

static void what_is_wrong_is_said_in_a_line(void **state)
{
    (void)state;
    settings.pg.password = "wrong";
    assert_refused(UV_EACCES, "WEIR_PG_PASSWORD", "check WEIR_PG_USER and WEIR_PG_PASSWORD");
    settings.pg.password = NULL;
    assert_refused(UV_EACCES, "WEIR_PG_PASSWORD", "set WEIR_PG_PASSWORD");
    settings.pg.password = "secret";
    settings.pg.database = "nothing";
    assert_refused(UV_EACCES, "WEIR_PG_DATABASE", "create it, or set WEIR_PG_DATABASE");
    settings.pg.database = "weir";
    settings.pg.has_tls = true;
    assert_refused(UV_EACCES, "WEIR_PG_SSL", "check WEIR_PG_SSL");
    settings.pg.has_tls = false;
    set_hosts("no-such-host.invalid");
    assert_refused(UV_ENOTCONN, "WEIR_PG_HOST", "check WEIR_PG_HOST");
    set_hosts("127.0.0.1:x");
    assert_refused(UV_EINVAL, "WEIR_PG_HOST", "must be a comma list");
    set_hosts("127.0.0.1");
    settings.pg.schema = "pg_catalog";
    assert_refused(UV_EACCES, "WEIR_PG_USER", "grant it CREATE");
}

static void a_schema_that_is_missing_behind_or_ahead_is_refused(void **state)
{
    (void)state;
    settings.migrates = false;
    assert_refused(UV_ENOENT, "WEIR_PG_SCHEMA", "run `weir migrations bootstrap`");
    settings.migrates = true;
    assert_int_equal(open_store(), 0);
    close_store();
    settings.migrates = false;
    query("INSERT INTO weir_migrations VALUES (99, 'tomorrow', now())");
    assert_refused(UV_ENOTSUP, "WEIR_PG_SCHEMA", "is ahead: its shape is 99");
    settings.migrates = true;
    assert_refused(UV_ENOTSUP, "WEIR_PG_SCHEMA", "is ahead: its shape is 99");
    query("DELETE FROM weir_migrations WHERE version = 99");
    query("UPDATE weir_migrations SET version = 0");
    settings.migrates = false;
    assert_refused(UV_ENOENT, "WEIR_PG_SCHEMA", "weir migrations");
}

/* ---- migrations ---- */

struct start {
    uv_thread_t thread;
    int rc, from;
    struct error err;
};

static void migrate_in_thread(void *arg)
{
    struct start *start = arg;
    start->rc = migrations_up(&settings, 60, &start->from, &start->err);
}

static void migrations_that_start_at_once_are_carried_out_once(void **state)
{
    (void)state;
    struct start starts[6];
    int first = 0, version;
    for (int i = 0; i < 6; i++) {
        starts[i].from = -1;
        assert_int_equal(uv_thread_create(&starts[i].thread, migrate_in_thread, &starts[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        uv_thread_join(&starts[i].thread);
        assert_int_equal(starts[i].rc, 0);
        first += starts[i].from == 0;
    }
    assert_int_equal(first, 1);
    assert_int_equal(migrations_status(&settings, &version, &err), 0);
    assert_int_equal(version, pg_migration_count);
}

static void a_migration_that_fails_leaves_nothing(void **state)
{
    (void)state;
    int from, version;
    char sql[256];
    snprintf(sql, sizeof(sql),
             "CREATE SCHEMA %s AUTHORIZATION weir; CREATE TABLE %s.nodes (x int);"
             "ALTER TABLE %s.nodes OWNER TO weir",
             schema, schema, schema);
    server_sql("weir", sql); /* in the way of the last table */
    assert_int_equal(migrations_up(&settings, 60, &from, &err), UV_EIO);
    assert_non_null(strstr(err.sentence, "\"nodes\" already exists"));
    assert_int_equal(migrations_status(&settings, &version, &err), 0);
    assert_int_equal(version, 0);
    assert_int_equal(query("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid ="
                           " relnamespace WHERE nspname = current_schema AND relkind = 'r'"),
                     1);
}

static void reset_removes_what_is_ours(void **state)
{
    (void)state;
    int version;
    assert_int_equal(migrations_reset(&settings, &err), 0); /* nothing is there */
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    close_store();
    assert_int_equal(migrations_reset(&settings, &err), 0);
    assert_int_equal(migrations_status(&settings, &version, &err), 0);
    assert_int_equal(version, 0);
    assert_int_equal(open_store(), 0);
    assert_string_equal(load(), "");
}

int main(void)
{
    log_set_level(LOG_CRIT);
    const struct CMUnitTest tests[] = {
        TEST(commits_are_as_they_were_told_when_connections_break),
        TEST(commits_are_as_they_were_told_when_the_server_is_killed),
        TEST(a_store_opens_without_its_database_and_finds_it_later),
        TEST(the_second_host_is_used_when_the_first_is_not_there),
        TEST(what_is_wrong_is_said_in_a_line),
        TEST(a_schema_that_is_missing_behind_or_ahead_is_refused),
        TEST(migrations_that_start_at_once_are_carried_out_once),
        TEST(a_migration_that_fails_leaves_nothing),
        TEST(reset_removes_what_is_ours),
    };
    return RUN_WITH_SERVER(tests);
}
