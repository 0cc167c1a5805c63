/* stream_pipe.h - carries bytes from one plaintext stream to another inside the kernel: through a
 * pipe, by splice(2), without a copy and without being looked at.
 *
 * The pipe is empty between calls, so one serves all streams of a thread.
 *
 * Thread: its streams'. Memory: the heap; what a stream doesn't take at once is queued there. */
#ifndef NET_STREAM_PIPE_H
#define NET_STREAM_PIPE_H

#include <stddef.h>
#include <stdint.h>

struct stream;
struct stream_pipe;

/* 0 and an owned pipe in *ret, or a negative UV_E…. */
int stream_pipe_create(struct stream_pipe **ret);
void stream_pipe_destroy(struct stream_pipe *pipe); /* NULL is fine */

/* Moves at most `max` bytes that have come on `from`. For plaintext streams of which `from` is
 * reading; what `to` has queued must be nothing, and is at most a pipe's fill afterwards. Returns
 * how many bytes left `from`: 0 when there are none, or when only reading can tell why. *ret_error:
 * 0, or a negative UV_E… when they are lost and `to` can't go on. */
size_t stream_pipe_move(struct stream_pipe *pipe, struct stream *from, struct stream *to,
                        uint64_t max, int *ret_error);

#endif
