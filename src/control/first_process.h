/* first_process.h - what falls to a process that is number 1, as in a container without an init:
 * the kernel spares it signals that it doesn't handle, and makes it the parent of every orphan.
 *
 * In other processes these do nothing, except for tests. Thread: the process's first. */
#ifndef CONTROL_FIRST_PROCESS_H
#define CONTROL_FIRST_PROCESS_H

#include <stdbool.h>

#include <uv.h>

/* SIGTERM, SIGINT and SIGQUIT end it, until somebody handles them: a command that hangs, or a
 * start that waits for its database, is stopped at once. */
void first_process_heed_signals(void);

/* From now on, takes orphans that have ended out of the process table. The handle keeps no loop
 * alive; who gave it closes it. 0 or a negative UV_E…; *handle is initialised when 0. */
int first_process_reap(uv_loop_t *loop, uv_signal_t *handle);

/* Takes those that have ended so far. A child of our own process group is none: who started it
 * waits for it. Returns how many. */
unsigned first_process_take_orphans(void);

#endif
