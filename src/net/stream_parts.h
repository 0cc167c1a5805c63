/* stream_parts.h - what stream.c, stream_pipe.c and tls.c share of a stream; all others see
 * stream.h.
 *
 * Thread: the stream's. */
#ifndef NET_STREAM_PARTS_H
#define NET_STREAM_PARTS_H

#include "net/stream.h"

/* stream.c: the socket; a negative UV_E… while there is none. */
int stream_fd(struct stream *stream);
/* stream.c: sends bytes as they are, whatever the stream is; like stream_write. */
int stream_send(struct stream *stream, const uv_buf_t *pieces, unsigned count);

/* tls.c, for streams with tls set. */

/* What was read from the socket, decrypted and told. */
void tls_take(struct stream *stream, const char *bytes, size_t len);
/* The socket's end: 0 for FIN. */
void tls_end(struct stream *stream, int error);
int tls_write(struct stream *stream, const uv_buf_t *pieces, unsigned count);
/* Tells the peer that nothing more comes, if it can still be told. */
void tls_notify_close(struct stream *stream);
/* The connection is over: gives all up. */
void tls_forget(struct stream *stream);

#endif
