#include "net/tls_identity.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <uv.h> /* error codes only */

#include "net/tls_staple.h"

#define MAX_CHAIN 16
#define NAME_BYTES 128 /* longer ones are cut: they are for human eyes */

struct pair {
    X509 *cert;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
};

struct tls_identity {
    _Atomic unsigned refs;
    unsigned count;
    time_t not_after;
    char name[NAME_BYTES];
    struct pair pairs[TLS_IDENTITY_MAX_PAIRS];
};

/* A key that is encrypted is refused; without this OpenSSL would ask at the terminal. */
static int no_password(char *out, int size, int rwflag, void *arg)
{
    (void)out, (void)size, (void)rwflag, (void)arg;
    return -1;
}

/* The first of the errors that OpenSSL has piled up, which is the cause of the others. */
static const char *reason(void)
{
    unsigned long code = ERR_get_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text ? text : "not PEM";
}

static int refuse(struct error *err, const char *field, const char *what)
{
    error_set(err, field, "%s: %s", what, reason());
    return UV_EINVAL;
}

/* The certificates after the first, up to the end of the text. */
static int read_chain(BIO *bio, struct pair *pair, const char *field, struct error *err)
{
    pair->chain = sk_X509_new_null();
    if (!pair->chain)
        return UV_ENOMEM;
    X509 *cert;
    while ((cert = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
        if (sk_X509_num(pair->chain) == MAX_CHAIN || !sk_X509_push(pair->chain, cert)) {
            X509_free(cert);
            error_set(err, field, "invalid certificate: more than %d in its chain", MAX_CHAIN);
            return UV_EINVAL;
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return refuse(err, field, "invalid certificate");
    ERR_clear_error();
    return 0;
}

static int read_pair(const struct tls_pem *pem, struct pair *pair, struct error *err)
{
    ERR_clear_error();
    if (pem->cert.len > INT_MAX || pem->key.len > INT_MAX)
        return UV_E2BIG;
    BIO *certs = BIO_new_mem_buf(pem->cert.ptr, (int)pem->cert.len);
    BIO *key = BIO_new_mem_buf(pem->key.ptr, (int)pem->key.len);
    int rc = certs && key ? 0 : UV_ENOMEM;
    if (!rc && !(pair->cert = PEM_read_bio_X509(certs, NULL, no_password, NULL)))
        rc = refuse(err, pem->cert_field, "invalid certificate");
    if (!rc)
        rc = read_chain(certs, pair, pem->cert_field, err);
    if (!rc && !(pair->key = PEM_read_bio_PrivateKey(key, NULL, no_password, NULL)))
        rc = refuse(err, pem->key_field, "invalid key");
    if (!rc && X509_check_private_key(pair->cert, pair->key) != 1) {
        error_set(err, pem->key_field, "certificate does not match key");
        rc = UV_EINVAL;
    }
    ERR_clear_error();
    BIO_free(certs);
    BIO_free(key);
    return rc;
}

/* What OpenSSL would else work out, and write down, at the first use: on any thread. */
static void settle(const struct pair *pair)
{
    X509_check_purpose(pair->cert, -1, 0);
    for (int i = 0; i < sk_X509_num(pair->chain); i++)
        X509_check_purpose(sk_X509_value(pair->chain, i), -1, 0);
    ERR_clear_error(); /* of an extension that is broken */
}

static void note_end(struct tls_identity *identity, const X509 *cert)
{
    struct tm end;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1)
        return;
    time_t at = timegm(&end);
    if (identity->not_after == 0 || at < identity->not_after)
        identity->not_after = at;
}

static void copy_name(const ASN1_STRING *from, char to[NAME_BYTES])
{
    const unsigned char *bytes = from ? ASN1_STRING_get0_data(from) : NULL;
    int len = from ? ASN1_STRING_length(from) : 0;
    int i = 0;
    for (; i < len && i < NAME_BYTES - 1; i++)
        to[i] = bytes[i] > ' ' && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    to[i] = '\0';
}

static void note_name(struct tls_identity *identity, const X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; identity->name[0] == '\0' && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            copy_name(name->d.dNSName, identity->name);
    }
    GENERAL_NAMES_free(names);
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (identity->name[0] == '\0' && at >= 0)
        copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), identity->name);
    ERR_clear_error(); /* of an extension that is broken */
}

int tls_identity_create(const struct tls_pem *pairs, unsigned count, struct tls_identity **ret,
                        struct error *err)
{
    assert(count > 0 && count <= TLS_IDENTITY_MAX_PAIRS);
    struct tls_identity *identity = calloc(1, sizeof(*identity));
    if (!identity)
        return UV_ENOMEM;
    atomic_init(&identity->refs, 1);
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        struct pair *pair = &identity->pairs[identity->count++];
        rc = read_pair(&pairs[i], pair, err);
        if (!rc)
            rc = tls_staple_prepare(pair->cert);
        if (rc)
            break;
        settle(pair);
        note_end(identity, pair->cert);
        if (i == 0)
            note_name(identity, pair->cert);
        for (unsigned j = 0; j < i; j++) {
            if (EVP_PKEY_get_base_id(identity->pairs[j].key) != EVP_PKEY_get_base_id(pair->key))
                continue;
            error_set(err, pairs[i].cert_field,
                      "certificates of one name must have keys of different types");
            rc = UV_EINVAL;
        }
    }
    if (rc)
        tls_identity_unref(identity);
    else
        *ret = identity;
    return rc;
}

struct tls_identity *tls_identity_ref(struct tls_identity *identity)
{
    atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

void tls_identity_unref(struct tls_identity *identity)
{
    if (!identity || atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < identity->count; i++) {
        X509_free(identity->pairs[i].cert);
        EVP_PKEY_free(identity->pairs[i].key);
        sk_X509_pop_free(identity->pairs[i].chain, X509_free);
    }
    free(identity);
}

int tls_identity_use(const struct tls_identity *identity, struct ssl_st *ssl)
{
    SSL_certs_clear(ssl);
    for (unsigned i = 0; i < identity->count; i++) {
        const struct pair *pair = &identity->pairs[i];
        if (SSL_use_cert_and_key(ssl, pair->cert, pair->key, pair->chain, 1) != 1)
            return UV_EINVAL;
    }
    return 0;
}

int tls_identity_use_for_all(const struct tls_identity *identity, struct ssl_ctx_st *context)
{
    for (unsigned i = 0; i < identity->count; i++) {
        const struct pair *pair = &identity->pairs[i];
        if (SSL_CTX_use_cert_and_key(context, pair->cert, pair->key, pair->chain, 1) != 1)
            return UV_EINVAL;
    }
    return 0;
}

time_t tls_identity_not_after(const struct tls_identity *identity)
{
    return identity->not_after;
}

const char *tls_identity_name(const struct tls_identity *identity)
{
    return identity->name;
}

unsigned tls_identity_count(const struct tls_identity *identity)
{
    return identity->count;
}

struct x509_st *tls_identity_cert(const struct tls_identity *identity, unsigned i)
{
    return identity->pairs[i].cert;
}

struct x509_st *tls_identity_issuer(const struct tls_identity *identity, unsigned i)
{
    const struct pair *pair = &identity->pairs[i];
    X509 *first = sk_X509_num(pair->chain) > 0 ? sk_X509_value(pair->chain, 0) : NULL;
    bool is_issuer = first && X509_check_issued(first, pair->cert) == X509_V_OK;
    return is_issuer ? first : NULL;
}
