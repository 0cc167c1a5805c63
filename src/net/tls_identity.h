/* tls_identity.h - who we are to a TLS peer: one or more certificates with their chains and keys,
 * of different key types, of which OpenSSL shows the one that the peer understands best.
 *
 * Parses PEM and nothing else; which name an identity belongs to is tls_names.h's.
 *
 * Thread: immutable and counted, so any. Memory: owns what it parsed; keys are never logged. */
#ifndef NET_TLS_IDENTITY_H
#define NET_TLS_IDENTITY_H

#include <stdbool.h>
#include <time.h>

#include "base/error.h"
#include "base/str.h"

#define TLS_IDENTITY_MAX_PAIRS 4

struct ssl_st;
struct ssl_ctx_st;
struct tls_identity;
struct x509_st;

/* A certificate, followed by those that vouch for it, and its key. Borrowed. */
struct tls_pem {
    struct str cert;
    struct str key;
    const char *cert_field, *key_field; /* what errors call them */
};

/* 0 with one reference, UV_ENOMEM, or UV_EINVAL with *err: a text that is no certificate or key, a
 * key that is not the certificate's, two certificates of one key type. */
int tls_identity_create(const struct tls_pem *pairs, unsigned count, struct tls_identity **ret,
                        struct error *err);
struct tls_identity *tls_identity_ref(struct tls_identity *identity);
void tls_identity_unref(struct tls_identity *identity); /* NULL is fine */

/* Makes a connection, or all of a context, use it instead of what was set before. 0 or UV_EINVAL.
 */
int tls_identity_use(const struct tls_identity *identity, struct ssl_st *ssl);
int tls_identity_use_for_all(const struct tls_identity *identity, struct ssl_ctx_st *context);

/* When the first of its certificates ends, in seconds since 1970. */
time_t tls_identity_not_after(const struct tls_identity *identity);

unsigned tls_identity_count(const struct tls_identity *identity); /* of its certificates */
/* One of them, and the one in its chain that has issued it; NULL: that isn't there. Borrowed. */
struct x509_st *tls_identity_cert(const struct tls_identity *identity, unsigned i);
struct x509_st *tls_identity_issuer(const struct tls_identity *identity, unsigned i);

/* The first name in the first certificate: of its alternative names of hosts, or its common name;
 * empty when there is none. Bytes that are not printable are '?'. */
const char *tls_identity_name(const struct tls_identity *identity);

#endif
