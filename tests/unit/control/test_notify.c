#include "control/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* A supervisor's socket; `path` with '@' first is no file. */
static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    return fd;
}

static void assert_receives(int fd, const char *expected)
{
    char got[256];
    ssize_t len = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
    assert_true(len > 0);
    got[len] = '\0';
    assert_string_equal(got, expected);
}

static void without_a_supervisor_nothing_is_told(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(notify_send("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "", 1);
    assert_int_equal(notify_send("READY=1"), 0);
}

static void a_supervisor_is_told_at_a_file_or_a_name(void **state)
{
    (void)state;
    char expected[64], path[64], name[64];
    snprintf(expected, sizeof(expected), "READY=1\nMAINPID=%d", (int)getpid());
    snprintf(path, sizeof(path), "/tmp/weir-test-notify-%d", (int)getpid());
    snprintf(name, sizeof(name), "@weir-test-notify-%d", (int)getpid());
    const char *paths[] = {path, name};
    for (size_t i = 0; i < 2; i++) {
        int fd = open_socket(paths[i]);
        notify_ready();
        assert_receives(fd, expected);
        notify_stopping();
        assert_receives(fd, "STOPPING=1");
        close(fd);
    }
    unlink(path);
}

static void a_supervisor_that_is_gone_is_an_error_and_no_wait(void **state)
{
    (void)state;
    setenv("NOTIFY_SOCKET", "/tmp/weir-test-no-such-socket", 1);
    assert_int_equal(notify_send("READY=1"), UV_ENOENT);
    setenv("NOTIFY_SOCKET", "relative", 1);
    assert_int_equal(notify_send("READY=1"), UV_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_supervisor_nothing_is_told),
        cmocka_unit_test(a_supervisor_is_told_at_a_file_or_a_name),
        cmocka_unit_test(a_supervisor_that_is_gone_is_an_error_and_no_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
