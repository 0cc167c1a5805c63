#include "control/first_process.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Waits until `pid` is a zombie, without taking it. */
static void await_end(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static pid_t start_child(bool is_orphan)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (is_orphan)
            setsid(); /* as what a container's engine starts beside us */
        _exit(0);
    }
    await_end(pid);
    return pid;
}

static void orphans_are_taken_and_our_own_children_are_not(void **state)
{
    (void)state;
    assert_int_equal(first_process_take_orphans(), 0);
    start_child(true);
    start_child(true);
    assert_int_equal(first_process_take_orphans(), 2);
    pid_t own = start_child(false);
    assert_int_equal(first_process_take_orphans(), 0);
    assert_int_equal(waitpid(own, NULL, 0), own); /* still there for who started it */
}

static void another_process_than_the_first_is_left_alone(void **state)
{
    (void)state;
    struct sigaction now;
    first_process_heed_signals();
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orphans_are_taken_and_our_own_children_are_not),
        cmocka_unit_test(another_process_than_the_first_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
