/* handover.h - an upgrade on one host: this process starts the binary anew, on the same ports, and
 * hears when that one serves.
 *
 * The new process finds a mark in its environment, and writes to a pipe when it serves. From then
 * on new connections are steered to its sockets (a program for the ports' SO_REUSEPORT groups), so
 * that nothing waits any more in the queues of sockets that are about to be closed.
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_HANDOVER_H
#define CONTROL_HANDOVER_H

#include <stdbool.h>

#include <uv.h>

/* ---- the one that goes ---- */

struct handover;

/* serves: the new process does, with that many workers; else it has ended before it did. */
typedef void (*handover_cb)(void *arg, bool serves, unsigned workers);

/* Starts /proc/self/exe with this process's arguments and environment. 0 and done() later, or a
 * negative UV_E…. The object ends by itself, after done(), when its handles are closed. */
int handover_start(uv_loop_t *loop, handover_cb done, void *arg);

/* New connections go to the `new_count` listeners that joined the group of listener `fd` after the
 * first `old_count`. 0 or a negative UV_E…: the kernel chooses among all as before. */
int handover_steer(int fd, unsigned old_count, unsigned new_count);

/* ---- the one that comes ---- */

/* Whether this process has been started so. Its ports are in use, and that is as it should be. */
bool handover_is_receiver(void);
/* Tells the one before that this one serves. Harmless in a process that is no receiver. */
void handover_tell(unsigned workers);

#endif
