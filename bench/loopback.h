/* loopback.h - the few socket calls that the benchmark's backend and forwarder share.
 *
 * Single-threaded programs for a machine's own loopback interface: whatever fails here ends the
 * program with a line on stderr, because a benchmark that limps on measures something else. */
#ifndef BENCH_LOOPBACK_H
#define BENCH_LOOPBACK_H

#include <stdint.h>

/* How many events one epoll_wait() may bring. */
#define LOOPBACK_MAX_EVENTS 256

/* Ends the program with `what` and the text of errno. */
void loopback_die(const char *what) __attribute__((noreturn));

/* Lifts the limit of open files to the hard limit and listens on 127.0.0.1:port, port 0 being any
 * free one. Prints the port as a line on stdout, for whoever started the program. Returns a
 * non-blocking socket. */
int loopback_listen(uint16_t port);

/* Takes the next waiting connection, non-blocking and without Nagle's delay; -1 when none waits. */
int loopback_accept(int listener);

/* Starts a connection to 127.0.0.1:port. It may still be under way when this returns. */
int loopback_connect(uint16_t port);

/* Reads a port from a command line's argument; anything else ends the program. */
uint16_t loopback_port(const char *text);

#endif
