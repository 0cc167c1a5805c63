/* postgres_server.h - a real PostgreSQL for the tests of its engine: in a temporary folder, on a
 * free port, as a user that isn't root. Included by one test program. */
#ifndef TESTS_UNIT_STORE_POSTGRES_SERVER_H
#define TESTS_UNIT_STORE_POSTGRES_SERVER_H

#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <uv.h>

#include "unit/dead_port.h"

static struct {
    char programs[256]; /* folder */
    char folder[64];
    char data[96];
    int port;
    pid_t pid; /* 0: not running */
} server;

static bool server_is_installed(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0)
        return false;
    const char *path = found.gl_pathv[found.gl_pathc - 1];
    snprintf(server.programs, sizeof(server.programs), "%.*s",
             (int)(strlen(path) - strlen("/postgres")), path);
    globfree(&found);
    return true;
}

static const struct passwd *server_user(void)
{
    return geteuid() == 0 ? getpwnam("postgres") : NULL;
}

/* Starts one of PostgreSQL's programs, with its output in the folder's log. It looks for its kin
 * beside what argv[0] says, so that becomes the whole path. */
static pid_t server_spawn(char **argv)
{
    char path[320], log[96];
    const struct passwd *user = server_user();
    snprintf(path, sizeof(path), "%s/%s", server.programs, argv[0]);
    snprintf(log, sizeof(log), "%s/log", server.folder);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (user && (setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(126);
    if (!freopen(log, "a", stdout) || !freopen(log, "a", stderr) || chdir(server.folder))
        _exit(126);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* a test that aborts leaves no server */
    argv[0] = path;
    execv(path, argv);
    _exit(127);
}

static int free_port(void)
{
    uint16_t port;
    close(dead_port(&port));
    return port;
}

/* A connection of the superuser. */
static PGconn *server_connect(const char *database)
{
    char text[256];
    /* A statement that waits for ever fails, and tells which. */
    snprintf(text, sizeof(text),
             "host=%s port=%d user=postgres dbname=%s connect_timeout=2"
             " options='-c statement_timeout=60000'",
             server.folder, server.port, database);
    return PQconnectdb(text);
}

static void server_sql(const char *database, const char *sql)
{
    PGconn *conn = server_connect(database);
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

static void server_start(void)
{
    char port[8];
    snprintf(port, sizeof(port), "%d", server.port);
    char *argv[] = {"postgres",
                    "-D",
                    server.data,
                    "-p",
                    port,
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-k",
                    server.folder,
                    "-c",
                    "shared_buffers=16MB",
                    "-c",
                    "max_connections=40",
                    "-c",
                    "fsync=off", /* it is killed, but the machine isn't */
                    NULL};
    server.pid = server_spawn(argv);
    uint64_t deadline = uv_hrtime() + 60000000000U;
    for (;;) {
        PGconn *conn = server_connect("postgres");
        bool is_up = PQstatus(conn) == CONNECTION_OK;
        PQfinish(conn);
        if (is_up)
            return;
        if (uv_hrtime() > deadline || waitpid(server.pid, NULL, WNOHANG) != 0)
            fail_msg("PostgreSQL does not start: see %s/log", server.folder);
        usleep(20000);
    }
}

/* kill -9 of the server and of all that works for it. */
static void server_kill(void)
{
    char command[96];
    if (!server.pid)
        return;
    kill(server.pid, SIGSTOP); /* so that it starts none meanwhile */
    snprintf(command, sizeof(command), "ps -o pid= --ppid %d", (int)server.pid);
    FILE *children = popen(command, "r");
    for (int child; children && fscanf(children, "%d", &child) == 1;)
        kill(child, SIGKILL);
    if (children)
        pclose(children);
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
    server.pid = 0;
}

static void server_create(void)
{
    int status;
    const struct passwd *user = server_user();
    snprintf(server.folder, sizeof(server.folder), "/tmp/weir-test-postgres-XXXXXX");
    assert_non_null(mkdtemp(server.folder));
    snprintf(server.data, sizeof(server.data), "%s/data", server.folder);
    if (user)
        assert_int_equal(chown(server.folder, user->pw_uid, user->pw_gid), 0);
    server.port = free_port();
    char *argv[] = {"initdb",
                    "-D",
                    server.data,
                    "-U",
                    "postgres",
                    "--auth-local=trust",
                    "--auth-host=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                    NULL};
    pid_t pid = server_spawn(argv);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    server_start();
    server_sql("postgres", "CREATE USER weir PASSWORD 'secret'");
    server_sql("postgres", "CREATE DATABASE weir OWNER weir");
}

static void server_remove(void)
{
    char command[96];
    server_kill();
    snprintf(command, sizeof(command), "rm -rf %s", server.folder);
    if (server.folder[0] && system(command) != 0)
        perror(command);
}

#endif
