#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "store/migrate.h"
#include "store/sqlite_schema.h"
#include "store/sqlite_write.h"

/* ---- a store in a folder of its own ---- */

static char root[64];      /* a new folder a test */
static char data_dir[128]; /* in it, not made yet */
static char file_path[160];
static uv_loop_t loop;
static struct store *store;
static struct error err;

static int open_store(void)
{
    err = (struct error){"", ""};
    return store_open_sqlite(&loop, data_dir, &store, &err);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_store(void)
{
    bool is_closed = false;
    store_close(store, on_closed, &is_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    store = NULL;
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/weir-test-store-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(data_dir, sizeof(data_dir), "%s/a #%%?b/data", root); /* a path to trip over */
    snprintf(file_path, sizeof(file_path), "%s/weir.db", data_dir);
    return uv_loop_init(&loop);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status, (void)type, (void)at;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    if (store)
        close_store();
    nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return uv_loop_close(&loop);
}

/* One number out of the database, read by another connection. */
static int64_t query(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(file_path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
#include "suite.h"

static void a_commit_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1", KEY("name", "a"))), 0);
    assert_int_equal(COMMIT(PUT("services", "s2", "2", KEY("name", "b")), REMOVE("services", "s1"),
                            PUT("services", "s3", "3", KEY("name", "b"))),
                     UV_EEXIST);
    assert_string_equal(load(), "services s1 1\n");
    assert_int_equal(query("SELECT count(*) FROM changes"), 1);
    assert_int_equal(query("SELECT count(*) FROM unique_keys"), 1);
    assert_int_equal(COMMIT(PUT("services", "s2", "2", KEY("name", "b"))), 0); /* goes on */
}

static void changes_are_recorded_and_the_oldest_forgotten(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    assert_int_equal(COMMIT(REMOVE("services", "s1")), 0);
    assert_int_equal(
        query("SELECT count(*) FROM changes WHERE (seq, kind, id, op) IN"
              " (VALUES (1, 'services', '00000000-0000-4000-8000-733100000000', 'put'),"
              " (2, 'services', '00000000-0000-4000-8000-733100000000', 'remove'))"
              " AND at > 1700000000"),
        2);

    size_t count = SQLITE_CHANGES_KEPT + 50;
    struct store_op *many = calloc(count, sizeof(*many));
    for (size_t i = 0; i < count; i++)
        many[i] = (struct store_op)PUT("services", "s2", "2");
    assert_int_equal(commit_ops(many, count), 0);
    free(many);
    assert_int_equal(query("SELECT count(*) FROM changes"), SQLITE_CHANGES_KEPT);
    assert_int_equal(query("SELECT max(seq) FROM changes"), (int64_t)count + 2);
}

static void only_the_owner_can_read_the_data(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    assert_int_equal(stat(data_dir, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(stat(file_path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void an_engine_that_fails_says_so_until_it_works_again(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    sqlite3 *other; /* breaks it behind our back */
    assert_int_equal(sqlite3_open(file_path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other,
                                  "CREATE TRIGGER full BEFORE INSERT ON rows"
                                  " BEGIN SELECT raise(ABORT, 'no space'); END",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), UV_EIO);
    assert_int_equal(store_is_reachable(store), 0);
    assert_int_equal(sqlite3_exec(other, "DROP TRIGGER full", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    assert_int_equal(store_is_reachable(store), 1);
}

/* ---- opening ---- */

static void a_second_node_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    struct store *second = NULL;
    assert_int_equal(store_open_sqlite(&loop, data_dir, &second, &err), UV_EBUSY);
    assert_null(second);
    assert_string_equal(err.sentence,
                        "is the data folder of a weir that is running; each node needs its own");
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    close_store();
    assert_int_equal(open_store(), 0);
}

static void a_folder_that_cannot_be_used_is_an_error(void **state)
{
    (void)state;
    snprintf(data_dir, sizeof(data_dir), "/proc/nobody/weir");
    assert_int_equal(open_store(), UV_ENOENT);
    assert_string_equal(err.field, "/proc/nobody/weir");
    snprintf(data_dir, sizeof(data_dir), "/dev/null");
    assert_int_equal(open_store(), UV_ENOTDIR);
    snprintf(data_dir, sizeof(data_dir), "/dev/null/weir");
    assert_int_equal(open_store(), UV_ENOTDIR);
}

/* All files of the data folder with their bytes, as one number. */
static uint64_t fingerprint(void)
{
    uint64_t sum = 0;
    DIR *folder = opendir(data_dir);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[512], bytes[4096];
        uint64_t hash = str_hash(str_of(entry->d_name));
        snprintf(path, sizeof(path), "%s/%s", data_dir, entry->d_name);
        int fd = open(path, O_RDONLY | O_NONBLOCK); /* one is a pipe */
        for (ssize_t len; (len = read(fd, bytes, sizeof(bytes))) > 0;)
            hash = hash * 31 + str_hash(str_make(bytes, (size_t)len));
        close(fd);
        sum += hash;
    }
    closedir(folder);
    return sum;
}

/* Overwrites `len` bytes of the file. */
static void scribble(off_t at, const char *bytes, size_t len)
{
    int fd = open(file_path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

/* A database with a few pages, as a node that stopped left it. */
static void make_database(void)
{
    assert_int_equal(open_store(), 0);
    for (int i = 0; i < 50; i++) {
        char id[16], body[2048];
        snprintf(id, sizeof(id), "s%02d", i);
        memset(body, 'x', sizeof(body) - 1);
        body[sizeof(body) - 1] = '\0';
        assert_int_equal(COMMIT(PUT("services", id, body, KEY("name", id))), 0);
    }
    close_store();
}

static void assert_refused_and_untouched(int rc, const char *sentence)
{
    uint64_t before = fingerprint();
    assert_int_equal(open_store(), rc);
    assert_null(store);
    assert_string_equal(err.field, file_path);
    if (strncmp(err.sentence, sentence, strlen(sentence)) != 0)
        fail_msg("expected \"%s…\", got \"%s\"", sentence, err.sentence);
    assert_true(fingerprint() == before);
}

static void a_damaged_page_is_found_and_left_alone(void **state)
{
    (void)state;
    char junk[3 * 4096];
    memset(junk, 0xA5, sizeof(junk));
    make_database();
    scribble(2 * 4096, junk, sizeof(junk));
    assert_refused_and_untouched(UV_EINVAL, "is damaged (");
}

static void a_cut_file_is_found_and_left_alone(void **state)
{
    (void)state;
    make_database();
    assert_int_equal(truncate(file_path, 5 * 4096), 0);
    assert_refused_and_untouched(UV_EINVAL, "is damaged (");
    assert_int_equal(truncate(file_path, 50), 0);
    assert_refused_and_untouched(UV_EINVAL, "is not an SQLite database");
    assert_int_equal(truncate(file_path, 0), 0);
    assert_refused_and_untouched(UV_EINVAL, "is not an SQLite database");
}

static void a_damaged_header_is_found_and_left_alone(void **state)
{
    (void)state;
    make_database();
    scribble(16, "\x12\x34", 2); /* the page size */
    assert_refused_and_untouched(UV_EINVAL, "is damaged (");
    scribble(0, "XX", 2);
    assert_refused_and_untouched(UV_EINVAL, "is not an SQLite database");
}

static void a_file_of_another_kind_is_left_alone(void **state)
{
    (void)state;
    make_database();
    unlink(file_path);
    int fd = open(file_path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "proxy_listen = 0.0.0.0:8000\n", 28), 28);
    close(fd);
    assert_refused_and_untouched(UV_EINVAL, "is not an SQLite database");
    unlink(file_path);
    assert_int_equal(mkdir(file_path, 0700), 0);
    assert_refused_and_untouched(UV_EINVAL, "is not a file");
    rmdir(file_path);
    assert_int_equal(mkfifo(file_path, 0600), 0);
    assert_refused_and_untouched(UV_EINVAL, "is not a file");
}

static void a_database_of_another_program_is_left_alone(void **state)
{
    (void)state;
    make_database();
    unlink(file_path);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file_path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE rows (x)", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    assert_refused_and_untouched(UV_EINVAL, "is the SQLite database of another program");
}

static void a_log_without_its_database_is_left_alone(void **state)
{
    (void)state;
    make_database();
    char log_path[512];
    snprintf(log_path, sizeof(log_path), "%s-wal", file_path);
    assert_int_equal(rename(file_path, log_path), 0);
    assert_refused_and_untouched(UV_EINVAL, "is missing, but its log is there");
}

static void what_an_unfinished_creation_left_is_made_anew(void **state)
{
    (void)state;
    make_database();
    char aside[512];
    snprintf(aside, sizeof(aside), "%s.new", file_path);
    assert_int_equal(rename(file_path, aside), 0);
    assert_int_equal(truncate(aside, 5000), 0);
    assert_int_equal(open_store(), 0);
    assert_string_equal(load(), "");
    assert_int_equal(access(aside, F_OK), -1);
}

static void a_database_of_a_newer_weir_is_left_alone(void **state)
{
    (void)state;
    make_database();
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_refused_and_untouched(UV_ENOTSUP, "was written by a newer weir: its shape is 999, ");
}

/* ---- migrations ---- */

static const struct migration steps[] = {
    {"make a table", "CREATE TABLE t (x); INSERT INTO t VALUES (1)"},
    {"double it", "UPDATE t SET x = x * 2"},
    {"fail half-way", "UPDATE t SET x = 99; INSERT INTO nowhere VALUES (1)"},
};

static int number_in(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static void migrations_start_where_the_database_is(void **state)
{
    (void)state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(migrate(db, steps, 1, "f", &err), 0);
    assert_int_equal(migrate_version(db), 1);
    assert_int_equal(migrate(db, steps, 2, "f", &err), 0);
    assert_int_equal(migrate(db, steps, 2, "f", &err), 0); /* nothing left to do */
    assert_int_equal(migrate_version(db), 2);
    assert_int_equal(number_in(db, "SELECT x FROM t"), 2);
    assert_int_equal(number_in(db, "SELECT count(*) FROM migrations WHERE (version, name) IN"
                                   " (VALUES (1, 'make a table'), (2, 'double it'))"),
                     2);
    assert_int_equal(migrate(db, steps, 1, "f", &err), UV_ENOTSUP);
    assert_string_equal(err.field, "f");
    assert_string_equal(err.sentence,
                        "was written by a newer weir: its shape is 2, this weir knows 1");
    sqlite3_close(db);
}

static void a_step_that_fails_leaves_the_one_before(void **state)
{
    (void)state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(migrate(db, steps, 3, "f", &err), UV_EIO);
    assert_string_equal(err.sentence,
                        "can't be migrated (\"fail half-way\"): no such table: nowhere");
    assert_int_equal(migrate_version(db), 2);
    assert_int_equal(number_in(db, "SELECT x FROM t"), 2);
    assert_int_equal(sqlite3_get_autocommit(db), 1);
    sqlite3_close(db);
}

static void an_older_database_is_migrated_when_opened(void **state)
{
    (void)state;
    make_database();
    sqlite3 *db; /* takes it back to the first shape of all: an empty one */
    assert_int_equal(sqlite3_open(file_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "DROP TABLE refs; DROP TABLE unique_keys; DROP TABLE changes;"
                                  "DROP TABLE rows; DROP TABLE migrations; PRAGMA user_version = 0",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1")), 0);
    assert_int_equal(query("PRAGMA user_version"), sqlite_migration_count);
}

/* ---- kill -9 ---- */

struct writer {
    int number; /* of the commit under way */
};

static void write_next(struct writer *writer);

static void on_written(void *arg, int rc)
{
    struct writer *writer = arg;
    if (rc != 0 || write(STDOUT_FILENO, &writer->number, sizeof(writer->number)) < 0)
        _exit(1);
    writer->number++;
    write_next(writer);
}

/* Two rows a commit, which belong together. */
static void write_next(struct writer *writer)
{
    char id[UUID_TEXT_BYTES], body[512];
    snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", writer->number);
    memset(body, 'x', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    struct store_op ops[] = {
        {.op = STORE_PUT, .kind = "services", .id = id, .body = body, KEY("name", id)},
        {.op = STORE_PUT,
         .kind = "routes",
         .id = id,
         .body = body,
         .refs = (struct store_ref[]){{"service", "services", id}},
         .ref_count = 1},
    };
    if (store_commit(store, ops, 2, on_written, writer) < 0)
        _exit(1);
}

/* The program that is killed: says each commit's number on standard output when it is done. */
static int write_until_killed(const char *dir, const char *first)
{
    struct writer writer = {.number = atoi(first)};
    uv_loop_init(&loop);
    snprintf(data_dir, sizeof(data_dir), "%s", dir);
    if (open_store() < 0)
        return 1;
    write_next(&writer);
    return uv_run(&loop, UV_RUN_DEFAULT);
}

/* Lets the program write until `count` commits are acknowledged, kills it, and returns the number
 * of the first commit that is not acknowledged. */
static int write_and_kill(int first, int count)
{
    int pipe_fds[2], number, status, next = first;
    char text[16];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    snprintf(text, sizeof(text), "%d", first);
    char *argv[] = {"test_store_sqlite", "--write", data_dir, text, NULL};
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);

    while (read(pipe_fds[0], &number, sizeof(number)) == sizeof(number)) {
        assert_int_equal(number, next);
        if (++next == first + count)
            kill(pid, SIGKILL); /* and read on, for what it still said */
    }
    close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return next;
}

static int count_row(void *arg, const char *kind, const char *id, const char *body)
{
    int *counts = arg;
    int *count = &counts[strcmp(kind, "routes") == 0];
    assert_int_equal(atoi(id + 24), *count); /* none is missing */
    assert_int_equal(strlen(body), 511);
    ++*count;
    return 0;
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
    (void)state;
    int next = 0;
    for (int round = 0; round < 6; round++) {
        int acknowledged = write_and_kill(next, 10 + 37 * round);
        int counts[2] = {0, 0};
        assert_int_equal(open_store(), 0);
        assert_int_equal(store_load_all(store, count_row, counts, &err), 0);
        assert_int_equal(counts[0], counts[1]); /* both rows of a commit, or none */
        assert_in_range(counts[0], acknowledged, acknowledged + 1);
        next = counts[0];
        close_store();
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--write") == 0)
        return write_until_killed(argv[2], argv[3]);
    log_set_level(LOG_CRIT);

    const struct CMUnitTest tests[] = {
        SUITE_TESTS,
        TEST(a_commit_is_written_whole_or_not_at_all),
        TEST(changes_are_recorded_and_the_oldest_forgotten),
        TEST(only_the_owner_can_read_the_data),
        TEST(an_engine_that_fails_says_so_until_it_works_again),
        TEST(a_second_node_is_refused),
        TEST(a_folder_that_cannot_be_used_is_an_error),
        TEST(a_damaged_page_is_found_and_left_alone),
        TEST(a_cut_file_is_found_and_left_alone),
        TEST(a_damaged_header_is_found_and_left_alone),
        TEST(a_file_of_another_kind_is_left_alone),
        TEST(a_database_of_another_program_is_left_alone),
        TEST(a_log_without_its_database_is_left_alone),
        TEST(what_an_unfinished_creation_left_is_made_anew),
        TEST(a_database_of_a_newer_weir_is_left_alone),
        TEST(migrations_start_where_the_database_is),
        TEST(a_step_that_fails_leaves_the_one_before),
        TEST(an_older_database_is_migrated_when_opened),
        TEST(what_was_acknowledged_survives_kill_9),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
