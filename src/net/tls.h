/* tls.h - TLS on a stream: what is read is decrypted before on_bytes tells it, what is written is
 * encrypted. To the stream's owner nothing else changes.
 *
 * One read of the socket is one on_bytes, as without TLS, and one write one send: ciphertext goes
 * through buffers of the thread, not of the connection. An idle connection holds OpenSSL's state
 * and no buffer.
 *
 * Thread: the stream's. Memory: OpenSSL's, freed when the stream is closed. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct ssl_st;
struct stream;
struct tls_server;

/* A thread's buffers, for all its streams: goes into its struct stream_buffer. */
struct tls_io;
/* read_bytes: the size of the thread's read buffer. 0 or UV_ENOMEM. */
int tls_io_create(size_t read_bytes, struct tls_io **ret);
void tls_io_destroy(struct tls_io *io); /* NULL is fine; after its streams */

/* The stream, which has a socket and has not read yet, takes its peer for a client of TLS. Until
 * on_secured nothing may be written. A peer that doesn't speak TLS is a plaintext stream from its
 * first byte on, for which tls_is_misdirected is true: enough to tell it so. offers_http2: by ALPN.
 * 0 or UV_ENOMEM. */
int tls_accept(struct stream *stream, struct tls_server *server, bool offers_http2);

/* The same towards a server. Takes `ssl`, ready to connect, over. 0, or a negative UV_E… when the
 * first message can't be sent: then the stream is to be closed. */
int tls_connect(struct stream *stream, struct ssl_st *ssl);

/* NULL without TLS. Borrowed while the stream is open. */
struct ssl_st *tls_ssl(const struct stream *stream);
/* The name that the client asked for; empty: none, or no TLS. Borrowed like tls_ssl. */
struct str tls_server_name(const struct stream *stream);
/* The common name in the certificate that the peer has shown and that was found good, cut to size;
 * empty: none, or no TLS. */
void tls_peer_name(const struct stream *stream, char *name, size_t size);
/* The handshake, which is over, took a session up again. */
bool tls_was_resumed(const struct stream *stream);
/* A handshake is under way. */
bool tls_is_shaking_hands(const struct stream *stream);
/* The handshake, which is over, has chosen HTTP/2. */
bool tls_speaks_http2(const struct stream *stream);
/* A plaintext client on a port of TLS. */
bool tls_is_misdirected(const struct stream *stream);
/* Why the last handshake or read of this thread failed; a constant text. */
const char *tls_failure(const struct stream *stream);

#endif
