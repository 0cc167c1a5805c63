/* A client's bytes to a listener of TLS: its handshake, and what comes behind it.
 *
 * The first byte says how. Below 128: the rest is what the client sends, in reads of so many bytes
 * (0: in one). From 128 on: OpenSSL's own client shakes hands, in a way that this byte chooses, and
 * each further three bytes are a place in its flight of words and what is XORed to it: so that
 * messages beyond the first are reached, which are under keys. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "net/stream.h"
#include "net/tls.h"
#include "net/tls_identity.h"
#include "net/tls_names.h"
#include "net/tls_self_signed.h"
#include "net/tls_server.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define READ_BYTES 65536
#define MAX_TURNS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    uv_loop_t loop;
    struct tls_server *server;
    struct tls_names *names;
    struct stream_buffer buffer;
    SSL_CTX *client;
    SSL_SESSION *session; /* with a ticket of the server's */
} world;

/* One connection, as its owner sees it. */
struct conn {
    struct stream stream;
    bool is_secured, has_failed, has_ended, is_closed;
};

static void on_bytes(struct stream *stream, const char *bytes, size_t len)
{
    struct conn *conn = (struct conn *)stream;
    (void)bytes;
    MUST(len > 0 && !conn->has_failed && !conn->has_ended);
    MUST(conn->is_secured || tls_is_misdirected(stream));
}

static void on_end(struct stream *stream, int error)
{
    struct conn *conn = (struct conn *)stream;
    (void)error;
    MUST(conn->is_secured && !conn->has_ended);
    conn->has_ended = true;
}

static void on_drained(struct stream *stream, int error)
{
    (void)stream, (void)error;
}

static void on_closed(struct stream *stream)
{
    ((struct conn *)stream)->is_closed = true;
}

static void on_secured(struct stream *stream, int error)
{
    struct conn *conn = (struct conn *)stream;
    MUST(!conn->is_secured && !conn->has_failed);
    MUST(tls_is_shaking_hands(stream) == false);
    conn->is_secured = error == 0;
    conn->has_failed = error != 0;
    MUST(error == 0 || tls_failure(stream));
}

static const struct stream_events events = {.on_bytes = on_bytes,
                                            .on_end = on_end,
                                            .on_drained = on_drained,
                                            .on_closed = on_closed,
                                            .on_secured = on_secured};

static const struct tls_names *names(void *owner)
{
    (void)owner;
    return world.names;
}

static struct tls_identity *make_identity(void)
{
    char *cert, *key;
    struct tls_identity *identity;
    struct error err;
    MUST(tls_self_signed(TLS_KEY_ECDSA, &cert, &key) == 0);
    struct tls_pem pem = {str_of(cert), str_of(key), "cert", "key"};
    MUST(tls_identity_create(&pem, 1, &identity, &err) == 0);
    free(cert);
    tls_wipe_text(key);
    return identity;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(world.session);
    world.session = session;
    return 1;
}

static void set_up(void)
{
    static bool is_up;
    struct error err;
    if (is_up)
        return;
    is_up = true;
    struct tls_identity *identity = make_identity();
    struct tls_server_settings settings = {
        .level = tls_level_find("old"), .identity = identity, .session_timeout_s = 86400};
    tls_ticket_seed_random(86400, (uint64_t)time(NULL), &settings.seed);
    MUST(uv_loop_init(&world.loop) == 0);
    MUST(tls_names_create(&world.names) == 0);
    MUST(tls_names_add(world.names, STR("*.a.example"), identity) == 0);
    MUST(tls_server_create(&settings, names, NULL, &world.server, &err) == 0);
    tls_identity_unref(identity);
    world.buffer.bytes = malloc(READ_BYTES);
    world.buffer.size = READ_BYTES;
    MUST(tls_io_create(READ_BYTES, &world.buffer.tls) == 0);
    world.client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(world.client, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(world.client, on_session);
}

/* What the stream's owner does when it is over. */
static void feed(struct conn *conn, const uint8_t *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1); /* of just its size, so that a read past it is seen */
    memcpy(copy, bytes, len);
    if (len > 0 && !conn->has_failed && !conn->has_ended)
        stream_take_again(&conn->stream, copy, len);
    free(copy);
}

static void send_bytes(struct conn *conn, const uint8_t *bytes, size_t len, size_t at_once)
{
    for (size_t at = 0; at < len; at += at_once)
        feed(conn, bytes + at, len - at < at_once ? len - at : at_once);
}

static void change(uint8_t *bytes, size_t len, size_t sent, const uint8_t *edits, size_t count)
{
    for (size_t i = 0; i + 3 <= count; i += 3) {
        size_t place = (size_t)(edits[i] << 8 | edits[i + 1]);
        if (place >= sent && place - sent < len)
            bytes[place - sent] ^= edits[i + 2];
    }
}

static void shake_hands(struct conn *conn, int peer, uint8_t how, const uint8_t *edits,
                        size_t count)
{
    SSL *ssl = SSL_new(world.client);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    uint8_t bytes[READ_BYTES];
    size_t sent = 0;
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    SSL_set_max_proto_version(ssl, how & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
    if (how & 2)
        SSL_set_tlsext_host_name(ssl, "b.a.example");
    if (how & 4)
        SSL_set_alpn_protos(ssl, (const unsigned char *)"\x08http/1.1", 9);
    if (how & 8 && world.session)
        SSL_set_session(ssl, world.session);
    if (how & 16)
        SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
    for (int turn = 0; turn < MAX_TURNS; turn++) {
        if (SSL_do_handshake(ssl) == 1) {
            SSL_write(ssl, "GET / HTTP/1.1\r\n\r\n", 18);
            SSL_read(ssl, bytes, sizeof(bytes)); /* tickets */
        }
        int len = BIO_read(out, bytes, sizeof(bytes));
        if (len > 0) {
            change(bytes, (size_t)len, sent, edits, count);
            sent += (size_t)len;
            feed(conn, bytes, (size_t)len);
        }
        ssize_t got = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got > 0)
            BIO_write(in, bytes, (int)got);
        else if (len <= 0)
            break;
    }
    if (count == 0) /* nobody has disturbed them */
        MUST(conn->is_secured);
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conn conn = {.is_secured = false};
    int ends[2];
    if (size == 0)
        return 0;
    set_up();
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    MUST(stream_init(&conn.stream, &world.loop, &events, &world.buffer) == 0);
    MUST(uv_tcp_open(&conn.stream.tcp, ends[0]) == 0);
    MUST(tls_accept(&conn.stream, world.server, true) == 0);
    if (data[0] < 128)
        send_bytes(&conn, data + 1, size - 1, data[0] ? data[0] : size);
    else
        shake_hands(&conn, ends[1], data[0], data + 1, size - 1);
    stream_close(&conn.stream);
    close(ends[1]);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    MUST(conn.is_closed);
    return 0;
}
