#include "control/cli.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/dead_port.h"

static char output[65536]; /* of the last command: standard output and standard error */

/* Runs a command with its output caught. */
static int run(char **argv, char *variable)
{
    char *environment[] = {"HOME=/home/jane", variable, NULL};
    int argc = 0;
    while (argv[argc])
        argc++;

    FILE *file = tmpfile();
    assert_non_null(file);
    int saved[2] = {dup(1), dup(2)};
    fflush(NULL);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    int code = cli_main(argc, argv, environment);
    fflush(NULL);
    for (int fd = 0; fd < 2; fd++) {
        dup2(saved[fd], fd + 1);
        close(saved[fd]);
    }
    rewind(file);
    output[fread(output, 1, sizeof(output) - 1, file)] = '\0';
    fclose(file);
    return code;
}

#define RUN(...) run((char *[]){"weir", __VA_ARGS__, NULL}, NULL)

/* A listening socket on a free port; *variable gets the setting that names it. */
static int open_listener(char variable[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(variable, 64, "WEIR_ADMIN_LISTEN=0.0.0.0:%u", ntohs(address.sin_port));
    return fd;
}

struct answer {
    int listener;
    const char *bytes;
};

static void *answer_once(void *arg)
{
    struct answer *answer = arg;
    char request[1024];
    int fd = accept(answer->listener, NULL, NULL);
    if (fd >= 0 && read(fd, request, sizeof(request)) > 0 &&
        write(fd, answer->bytes, strlen(answer->bytes)) < 0)
        perror("write");
    close(fd);
    return NULL;
}

/* Asks a node that answers with `bytes`. */
static int ask(const char *bytes)
{
    char variable[64];
    pthread_t thread;
    struct answer answer = {.listener = open_listener(variable), .bytes = bytes};
    assert_int_equal(pthread_create(&thread, NULL, answer_once, &answer), 0);
    int code = run((char *[]){"weir", "health", NULL}, variable);
    pthread_join(thread, NULL);
    close(answer.listener);
    return code;
}

static void the_version_is_the_bare_number(void **state)
{
    (void)state;
    assert_int_equal(RUN("version"), 0);
    assert_string_equal(output, WEIR_VERSION "\n");
}

static void help_names_the_commands(void **state)
{
    (void)state;
    assert_int_equal(run((char *[]){"weir", NULL}, NULL), 0);
    assert_non_null(strstr(output, "health"));
    assert_int_equal(RUN("run", "--workers", "x", "--help"), 0);
    assert_non_null(strstr(output, "--proxy-listen"));
}

static void an_unknown_command_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(RUN("start\n"), 1);
    assert_string_equal(output, "error: start?: is not a command; it must be run, health, "
                                "watch, migrations, config, version or help\n");
}

static void a_wrong_setting_is_one_line(void **state)
{
    (void)state;
    assert_int_equal(run((char *[]){"weir", "run", NULL}, "WEIR_WORKERS=x\ny"), 1);
    assert_string_equal(output, "error: WEIR_WORKERS: must be 1 to 64 or auto, not \"x?y\"\n");
}

static void a_node_that_answers_is_healthy(void **state)
{
    (void)state;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), 0);
    assert_non_null(strstr(output, "weir is healthy at 127.0.0.1:"));
}

static void a_node_that_answers_with_an_error_is_not(void **state)
{
    (void)state;
    assert_int_equal(ask("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), 1);
    assert_non_null(strstr(output, "weir is not healthy at 127.0.0.1:"));
    assert_non_null(strstr(output, ": it answered 503\n"));
    assert_int_equal(ask("SSH-2.0-OpenSSH\r\n"), 1);
}

static void no_node_is_not_healthy(void **state)
{
    (void)state;
    char variable[64];
    close(open_listener(variable));
    assert_int_equal(run((char *[]){"weir", "health", NULL}, variable), 1);
    assert_non_null(strstr(output, "weir is not running at 127.0.0.1:"));
    assert_non_null(strstr(output, ": connection refused\n"));
    assert_int_equal(RUN("health", "--admin-listen", "off", "--proxy-listen", "off"), 1);
    assert_non_null(strstr(output, "nobody can be asked"));
}

static void a_node_whose_database_is_away_is_healthy_and_says_so(void **state)
{
    (void)state;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n"
                         "{\"database\":{\"reachable\":false}} "),
                     0);
    assert_non_null(strstr(output, "its database takes no writes\n"));
}

static void without_an_admin_api_the_proxy_is_asked(void **state)
{
    (void)state;
    char variable[64];
    pthread_t thread;
    struct answer answer = {open_listener(variable),
                            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"};
    assert_int_equal(pthread_create(&thread, NULL, answer_once, &answer), 0);
    const char *address = strchr(variable, '=') + 1;
    assert_int_equal(
        RUN("health", "--admin-listen", "off", "--proxy-listen", (char *)(uintptr_t)address), 0);
    pthread_join(thread, NULL);
    close(answer.listener);
}

static void of_several_listeners_the_plain_one_is_asked(void **state)
{
    (void)state;
    char variable[64], list[128];
    pthread_t thread;
    struct answer answer = {open_listener(variable),
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"};
    uint16_t port;
    int dead = dead_port(&port);
    snprintf(list, sizeof(list), "127.0.0.1:%u ssl, %s", port, strchr(variable, '=') + 1);
    assert_int_equal(pthread_create(&thread, NULL, answer_once, &answer), 0);
    assert_int_equal(RUN("health", "--admin-listen", list), 0);
    pthread_join(thread, NULL);
    close(answer.listener);
    snprintf(list, sizeof(list), "127.0.0.1:%u ssl", port);
    assert_int_equal(RUN("health", "--admin-listen", list), 1);
    close(dead);
}

static void called_kong_it_takes_kongs_commands(void **state)
{
    (void)state;
    assert_int_equal(run((char *[]){"/usr/bin/kong", "version", "--vv", NULL}, NULL), 0);
    assert_string_equal(output, WEIR_VERSION "\n");
    assert_int_equal(
        run((char *[]){"kong", "docker-start", "-p", "/usr/local/kong", NULL}, "KONG_DATABASE=x"),
        1);
    assert_non_null(strstr(output, "KONG_DATABASE: must be sqlite, postgres or off"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_version_is_the_bare_number),
        cmocka_unit_test(help_names_the_commands),
        cmocka_unit_test(an_unknown_command_is_an_error),
        cmocka_unit_test(a_wrong_setting_is_one_line),
        cmocka_unit_test(a_node_that_answers_is_healthy),
        cmocka_unit_test(a_node_that_answers_with_an_error_is_not),
        cmocka_unit_test(no_node_is_not_healthy),
        cmocka_unit_test(a_node_whose_database_is_away_is_healthy_and_says_so),
        cmocka_unit_test(without_an_admin_api_the_proxy_is_asked),
        cmocka_unit_test(of_several_listeners_the_plain_one_is_asked),
        cmocka_unit_test(called_kong_it_takes_kongs_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
