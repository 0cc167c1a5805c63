#include "net/tls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/stream_parts.h"
#include "net/tls_server.h"

/*   HANDSHAKE --on_secured(0)--> OPEN --close_notify--> ENDED    it may still be written to
 *       |                         |
 *       +---- alert, FIN, reset --+--> BROKEN                    nothing is sent any more
 *       |
 *       +---- first byte is none of TLS's --> (no TLS: MISDIRECTED, plaintext)
 */
enum tls_state {
    TLS_NONE = 0, /* as stream_init leaves it */
    TLS_MISDIRECTED,
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_ENDED,
    TLS_BROKEN,
};

#define RECORD_BYTES 16384
#define RECORD_MAX_BYTES (RECORD_BYTES + 512) /* with its head, tag and padding */
/* A send of this size costs as much as one of twice the size by half. */
#define OUT_BYTES (5 * RECORD_MAX_BYTES)

struct tls_io {
    BIO *bio;              /* where all SSLs of the thread read from and write to */
    struct stream *stream; /* whose turn it is */
    const char *in;        /* borrowed: what was read and is not taken yet */
    size_t in_len;
    int error;           /* of a send in the middle of things */
    const char *failure; /* why it failed the last time; a constant */
    char *plain;         /* what a read amounts to */
    size_t plain_size;
    size_t out_len;
    char out[OUT_BYTES];     /* records that wait to be sent together */
    char flat[RECORD_BYTES]; /* pieces of one record */
};

/* --- between OpenSSL and the buffers --- */

static void flush(struct tls_io *io)
{
    if (io->out_len == 0)
        return;
    uv_buf_t piece = uv_buf_init(io->out, (unsigned)io->out_len);
    io->out_len = 0;
    int rc = stream_send(io->stream, &piece, 1);
    if (rc && !io->error)
        io->error = rc;
}

static int on_bio_read(BIO *bio, char *out, int size)
{
    struct tls_io *io = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (io->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t len = (size_t)size < io->in_len ? (size_t)size : io->in_len;
    memcpy(out, io->in, len);
    io->in += len;
    io->in_len -= len;
    return (int)len;
}

static int on_bio_write(BIO *bio, const char *bytes, int size)
{
    struct tls_io *io = BIO_get_data(bio);
    size_t len = (size_t)size < OUT_BYTES ? (size_t)size : OUT_BYTES;
    BIO_clear_retry_flags(bio);
    if (io->out_len + len > OUT_BYTES)
        flush(io);
    memcpy(io->out + io->out_len, bytes, len);
    io->out_len += len;
    return (int)len;
}

static long on_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* One for the process; made once, by whoever comes first. */
static BIO_METHOD *method;
static uv_once_t method_once = UV_ONCE_INIT;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir stream");
    if (!method)
        return;
    BIO_meth_set_read(method, on_bio_read);
    BIO_meth_set_write(method, on_bio_write);
    BIO_meth_set_ctrl(method, on_bio_ctrl);
}

int tls_io_create(size_t read_bytes, struct tls_io **ret)
{
    uv_once(&method_once, make_method);
    struct tls_io *io = calloc(1, sizeof(*io));
    if (!io)
        return UV_ENOMEM;
    /* Plaintext is shorter than its records, of which one may have waited for its end. */
    io->plain_size = read_bytes + RECORD_MAX_BYTES;
    io->plain = malloc(io->plain_size);
    io->bio = method ? BIO_new(method) : NULL;
    if (!io->plain || !io->bio) {
        tls_io_destroy(io);
        return UV_ENOMEM;
    }
    BIO_set_data(io->bio, io);
    BIO_set_init(io->bio, 1);
    *ret = io;
    return 0;
}

void tls_io_destroy(struct tls_io *io)
{
    if (!io)
        return;
    BIO_free(io->bio);
    free(io->plain);
    free(io);
}

/* Nothing nests: between begin and end no callback of the stream's owner runs. */
static struct tls_io *begin(struct stream *stream)
{
    struct tls_io *io = stream->buffer->tls;
    assert(io->out_len == 0);
    io->stream = stream;
    io->error = 0;
    ERR_clear_error();
    return io;
}

/* Sends what has come together. 0, or the error of a send. */
static int finish(struct tls_io *io)
{
    flush(io);
    io->stream = NULL;
    return io->error;
}

/* --- the beginning and the end --- */

static int attach(struct stream *stream, SSL *ssl)
{
    struct tls_io *io = stream->buffer->tls;
    BIO_up_ref(io->bio);
    SSL_set_bio(ssl, io->bio, io->bio); /* takes one reference for both */
    stream->tls = ssl;
    stream->tls_state = TLS_HANDSHAKE;
    return 0;
}

int tls_accept(struct stream *stream, struct tls_server *server, bool offers_http2)
{
    SSL *ssl = SSL_new(tls_server_context(server));
    if (!ssl)
        return UV_ENOMEM;
    tls_server_offer(ssl, offers_http2);
    SSL_set_accept_state(ssl);
    return attach(stream, ssl);
}

int tls_connect(struct stream *stream, struct ssl_st *ssl)
{
    SSL_set_connect_state(ssl);
    attach(stream, ssl);
    struct tls_io *io = begin(stream);
    SSL_do_handshake(ssl); /* the first message; that an answer is missing is no error */
    return finish(io);
}

void tls_notify_close(struct stream *stream)
{
    bool is_up = stream->tls_state == TLS_OPEN || stream->tls_state == TLS_ENDED;
    if (!is_up || stream->has_notified)
        return;
    struct tls_io *io = begin(stream);
    SSL_shutdown(stream->tls); /* does not wait for the peer's, and what it sends is still read */
    stream->has_notified = true;
    (void)finish(io); /* a peer that has gone knows */
}

void tls_forget(struct stream *stream)
{
    if (!stream->tls)
        return;
    /* Without this OpenSSL would take the session for one that must not be resumed. */
    SSL_set_shutdown(stream->tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(stream->tls);
    stream->tls = NULL;
    stream->tls_state = TLS_BROKEN;
}

/* --- reading --- */

/* A handshake starts with a record of type 22. SSL 2's first bytes, with their highest bit set, are
 * left to OpenSSL to refuse. */
static bool speaks_tls(char first)
{
    return first == 0x16 || ((unsigned char)first & 0x80) != 0;
}

static void note_failure(struct tls_io *io, SSL *ssl)
{
    long verdict = SSL_get_verify_result(ssl);
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    if (verdict != X509_V_OK)
        text = X509_verify_cert_error_string(verdict);
    io->failure = text ? text : "not TLS";
}

/* 1: it is over; 0: more is to come; or a negative UV_E…. */
static int shake_hands(struct tls_io *io, SSL *ssl)
{
    int rc = SSL_do_handshake(ssl);
    if (rc == 1 && SSL_is_server(ssl) && tls_server_is_validation(ssl)) {
        SSL_shutdown(ssl);
        io->failure = "validation by ACME, answered";
        return UV_EPROTO;
    }
    if (rc == 1)
        return 1;
    if (SSL_get_error(ssl, rc) == SSL_ERROR_WANT_READ)
        return 0;
    note_failure(io, ssl);
    return UV_EPROTO;
}

/* Decrypts all there is. 0: more is to come; UV_EOF: the peer has ended its side; or an error. */
static int read_all(struct tls_io *io, SSL *ssl, size_t *ret_len)
{
    size_t len = 0;
    int rc = 0, count;
    do {
        size_t room = io->plain_size - len;
        count = SSL_read(ssl, io->plain + len, (int)room);
        if (count > 0)
            len += (size_t)count;
    } while (count > 0 && len < io->plain_size);
    if (count <= 0) {
        int why = SSL_get_error(ssl, count);
        if (why == SSL_ERROR_ZERO_RETURN) {
            rc = UV_EOF;
        } else if (why != SSL_ERROR_WANT_READ) {
            note_failure(io, ssl);
            rc = UV_EPROTO;
        }
    }
    *ret_len = len;
    return rc;
}

static void turn_plain(struct stream *stream)
{
    tls_forget(stream);
    stream->tls_state = TLS_MISDIRECTED;
}

void tls_take(struct stream *stream, const char *bytes, size_t len)
{
    SSL *ssl = stream->tls;
    if (stream->tls_state > TLS_OPEN) /* after its own last word */
        return;
    if (!stream->has_taken && SSL_is_server(ssl) && !speaks_tls(bytes[0])) {
        turn_plain(stream);
        stream->events->on_bytes(stream, bytes, len);
        return;
    }
    stream->has_taken = true;

    struct tls_io *io = begin(stream);
    bool is_secured = false;
    int rc = 0;
    size_t plain_len = 0;
    io->in = bytes;
    io->in_len = len;
    if (stream->tls_state == TLS_HANDSHAKE) {
        rc = shake_hands(io, ssl);
        is_secured = rc == 1;
        if (is_secured)
            stream->tls_state = TLS_OPEN;
    }
    if (stream->tls_state == TLS_OPEN)
        rc = read_all(io, ssl, &plain_len);
    io->in_len = 0;
    int send_error = finish(io);
    bool was_open = stream->tls_state == TLS_OPEN;
    if (rc == UV_EOF)
        stream->tls_state = TLS_ENDED;
    else if (rc || send_error)
        stream->tls_state = TLS_BROKEN;
    if (rc == 0 && send_error) {
        io->failure = "the peer has closed the connection";
        rc = send_error;
    }

    const struct stream_events *events = stream->events;
    if (is_secured || (rc && !was_open))
        events->on_secured(stream, is_secured ? 0 : rc);
    if (plain_len > 0 && !stream->is_closing)
        events->on_bytes(stream, io->plain, plain_len);
    if (rc && was_open && !stream->is_closing) {
        stream_stop_reading(stream);
        events->on_end(stream, rc == UV_EOF ? 0 : rc);
    }
}

/* A peer that ends without a close_notify may have been cut off by somebody else: what it has sent
 * can't be taken for the whole (RFC 8446, section 6.1). */
void tls_end(struct stream *stream, int error)
{
    enum tls_state before = stream->tls_state;
    if (before > TLS_OPEN)
        return; /* told already */
    stream->buffer->tls->failure = "the peer has closed the connection";
    if (error == 0 && before == TLS_OPEN)
        error = UV_ECONNRESET;
    stream->tls_state = before == TLS_OPEN ? TLS_ENDED : TLS_BROKEN;
    if (before == TLS_HANDSHAKE)
        stream->events->on_secured(stream, error ? error : UV_ECONNRESET);
    else
        stream->events->on_end(stream, error);
}

/* --- writing --- */

static int encrypt(struct tls_io *io, const char *bytes, size_t len)
{
    /* Nothing in it waits: the output takes all that OpenSSL has. */
    if (SSL_write(io->stream->tls, bytes, (int)len) == (int)len)
        return 0;
    note_failure(io, io->stream->tls);
    return UV_EPROTO;
}

int tls_write(struct stream *stream, const uv_buf_t *pieces, unsigned count)
{
    bool is_up = stream->tls_state == TLS_OPEN || stream->tls_state == TLS_ENDED;
    if (!is_up || stream->has_notified)
        return UV_EPIPE;
    struct tls_io *io = begin(stream);
    int rc = 0;
    size_t flat = 0;
    for (unsigned i = 0; i < count && rc == 0; i++) {
        const char *at = pieces[i].base;
        size_t left = pieces[i].len;
        while (left > 0 && rc == 0) {
            if (flat == 0 && left >= RECORD_BYTES) { /* whole records need no copy */
                size_t whole = left - left % RECORD_BYTES;
                rc = encrypt(io, at, whole);
                at += whole;
                left -= whole;
                continue;
            }
            size_t part = RECORD_BYTES - flat < left ? RECORD_BYTES - flat : left;
            memcpy(io->flat + flat, at, part);
            flat += part;
            at += part;
            left -= part;
            if (flat == RECORD_BYTES) {
                rc = encrypt(io, io->flat, flat);
                flat = 0;
            }
        }
    }
    if (rc == 0 && flat > 0)
        rc = encrypt(io, io->flat, flat);
    int send_error = finish(io);
    return rc ? rc : send_error;
}

/* --- questions --- */

struct ssl_st *tls_ssl(const struct stream *stream)
{
    return stream->tls;
}

struct str tls_server_name(const struct stream *stream)
{
    return stream->tls ? str_of(SSL_get_servername(stream->tls, TLSEXT_NAMETYPE_host_name))
                       : STR_EMPTY;
}

void tls_peer_name(const struct stream *stream, char *name, size_t size)
{
    name[0] = '\0';
    X509 *cert = stream->tls ? SSL_get0_peer_certificate(stream->tls) : NULL;
    if (!cert || SSL_get_verify_result(stream->tls) != X509_V_OK)
        return;
    if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, (int)size) < 0)
        name[0] = '\0';
}

bool tls_was_resumed(const struct stream *stream)
{
    return stream->tls && SSL_session_reused(stream->tls);
}

bool tls_is_shaking_hands(const struct stream *stream)
{
    return stream->tls_state == TLS_HANDSHAKE;
}

bool tls_speaks_http2(const struct stream *stream)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (stream->tls)
        SSL_get0_alpn_selected(stream->tls, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}

bool tls_is_misdirected(const struct stream *stream)
{
    return stream->tls_state == TLS_MISDIRECTED;
}

const char *tls_failure(const struct stream *stream)
{
    return stream->buffer->tls ? stream->buffer->tls->failure : NULL;
}
