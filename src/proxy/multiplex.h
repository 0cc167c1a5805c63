/* multiplex.h - a client's connection that speaks HTTP/2: an exchange for each of its streams, side
 * by side.
 *
 * http/http2.h knows the protocol and the limits; this is its socket, its time-outs and its
 * exchanges' clients. Frames are sent once a turn of the loop, when all that happened in it is
 * known: what many streams have to say leaves in one write.
 *
 * Thread: its worker's. Memory: one block, owned by the downstream, and one for each stream. */
#ifndef PROXY_MULTIPLEX_H
#define PROXY_MULTIPLEX_H

#include <stdbool.h>
#include <stddef.h>

struct downstream;
struct multiplex;
struct worker;

/* Begins to speak HTTP/2 on a connection, which has said nothing yet or goes on to its preface. 0,
 * or a negative UV_E…. */
int multiplex_begin(struct downstream *conn);
/* Cuts its exchanges; for downstream.c, when the connection closes. */
void multiplex_destroy(struct multiplex *multiplex);

/* What happens to the connection. Each may close it. */
void multiplex_take(struct multiplex *multiplex, const char *bytes, size_t len);
void multiplex_drained(struct multiplex *multiplex);
void multiplex_timed_out(struct multiplex *multiplex);

/* Some target has left: see exchange_target_left. */
void multiplex_target_left(struct multiplex *multiplex);
/* The worker is stopping: the client is told, what it has sent is served. */
void multiplex_stop(struct multiplex *multiplex);
/* The worker waits no longer. */
void multiplex_cut(struct multiplex *multiplex);
/* Nothing is under way, and its client knows that it is served. */
bool multiplex_is_idle(const struct multiplex *multiplex);
/* Takes leave of the client and closes. */
void multiplex_close(struct multiplex *multiplex);

/* Sends what its connections have to say; before the worker's loop sleeps. */
void multiplex_flush_all(struct worker *worker);

#endif
