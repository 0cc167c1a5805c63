#include "control/first_process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_first(void)
{
    return getpid() == 1;
}

static void end(int signum)
{
    _exit(128 + signum); /* as a shell tells it */
}

void first_process_heed_signals(void)
{
    static const int signums[] = {SIGTERM, SIGINT, SIGQUIT};
    for (size_t i = 0; is_first() && i < sizeof(signums) / sizeof(*signums); i++)
        signal(signums[i], end);
}

unsigned first_process_take_orphans(void)
{
    unsigned count = 0;
    for (;;) {
        siginfo_t ended = {0};
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) || ended.si_pid == 0)
            return count;
        if (getpgid(ended.si_pid) == getpgrp())
            return count; /* those behind it come with the next SIGCHLD */
        waitpid(ended.si_pid, NULL, WNOHANG);
        count++;
    }
}

static void on_child_ended(uv_signal_t *handle, int signum)
{
    (void)handle, (void)signum;
    first_process_take_orphans();
}

int first_process_reap(uv_loop_t *loop, uv_signal_t *handle)
{
    int rc = uv_signal_init(loop, handle);
    if (rc || !is_first())
        return rc;
    uv_unref((uv_handle_t *)handle);
    return uv_signal_start(handle, on_child_ended, SIGCHLD);
}
