#include "control/acme_cert.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <uv.h> /* error codes only */

#include "control/acme_jws.h"
#include "net/tls_self_signed.h"

#define RSA_BITS 2048
#define NAMES_BYTES 300 /* a host name has at most 253 */
#define CLOCK_SKEW_S 3600

static int no_password(char *out, int size, int rwflag, void *arg)
{
    (void)out, (void)size, (void)rwflag, (void)arg;
    return -1;
}

/* NULL: no memory. */
static char *text_of(BIO *bio)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    return len > 0 ? str_dup(str_make(bytes, (size_t)len)) : NULL;
}

/* --- asking --- */

/* The name stands in the extension alone: a common name is short, and nobody reads it. */
static bool fill(X509_REQ *request, EVP_PKEY *key, const char *host)
{
    char names[NAMES_BYTES];
    X509V3_CTX context;
    snprintf(names, sizeof(names), "DNS:%s", host);
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, NULL, NULL, request, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, names);
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    bool is_filled = extension && list && sk_X509_EXTENSION_push(list, extension) > 0;
    if (is_filled)
        extension = NULL; /* the list's now */
    is_filled = is_filled && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
                X509_REQ_set_pubkey(request, key) == 1 &&
                X509_REQ_add_extensions(request, list) == 1 &&
                X509_REQ_sign(request, key, EVP_sha256()) > 0;
    X509_EXTENSION_free(extension);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return is_filled;
}

int acme_cert_request(const char *host, enum acme_key_type type, char **ret_key, char **ret_request)
{
    char *key_text = NULL, *request_text = NULL;
    unsigned char *der = NULL;
    EVP_PKEY *key = type == ACME_KEY_RSA_2048 ? EVP_RSA_gen(RSA_BITS) : EVP_EC_gen("P-256");
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_secmem());
    if (key && request && bio && fill(request, key, host) &&
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        int len = i2d_X509_REQ(request, &der);
        key_text = text_of(bio);
        request_text = len > 0 ? acme_base64(der, (size_t)len) : NULL;
    }
    OPENSSL_free(der);
    BIO_free(bio);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!key_text || !request_text) {
        tls_wipe_text(key_text);
        free(request_text);
        return UV_ENOMEM;
    }
    *ret_key = key_text;
    *ret_request = request_text;
    return 0;
}

/* --- looking at what came --- */

static bool to_time(const ASN1_TIME *from, time_t *ret)
{
    struct tm parts;
    if (ASN1_TIME_to_tm(from, &parts) != 1)
        return false;
    *ret = timegm(&parts);
    return true;
}

static bool times_of(const X509 *cert, time_t *ret_from, time_t *ret_until)
{
    return to_time(X509_get0_notBefore(cert), ret_from) &&
           to_time(X509_get0_notAfter(cert), ret_until);
}

bool acme_cert_times(const char *pem, time_t *ret_from, time_t *ret_until)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    bool is_read = cert && times_of(cert, ret_from, ret_until);
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    return is_read;
}

static bool is_keys(X509 *cert, const char *key)
{
    BIO *bio = BIO_new_mem_buf(key, -1);
    EVP_PKEY *read = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    bool matches = read && X509_check_private_key(cert, read) == 1;
    EVP_PKEY_free(read);
    BIO_free(bio);
    return matches;
}

/* What speaks against it; NULL: nothing. Whom to trust is not asked: clients do. */
static const char *problem_of(STACK_OF(X509) * chain, const char *key, const char *host, time_t now)
{
    time_t from, until;
    X509 *cert = sk_X509_value(chain, 0);
    if (!is_keys(cert, key))
        return "the certificate is not for the key that was asked for";
    if (X509_check_host(cert, host, strlen(host), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
        return "the certificate is not for the host that was asked for";
    if (!times_of(cert, &from, &until) || until <= now || from > now + CLOCK_SKEW_S)
        return "the certificate is not good at this time";
    for (int i = 0; i + 1 < sk_X509_num(chain); i++) {
        X509 *issuer = sk_X509_value(chain, i + 1);
        if (X509_check_issued(issuer, sk_X509_value(chain, i)) != X509_V_OK ||
            X509_verify(sk_X509_value(chain, i), X509_get0_pubkey(issuer)) != 1)
            return "the certificates don't vouch for each other";
    }
    return NULL;
}

/* Up to one more than there may be. Owned; NULL: no memory. */
static STACK_OF(X509) * read_chain(struct str text)
{
    BIO *bio =
        text.len > 0 && text.len <= INT_MAX ? BIO_new_mem_buf(text.ptr, (int)text.len) : NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *cert;
    while (bio && chain && sk_X509_num(chain) <= ACME_MAX_CHAIN &&
           (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
        if (!sk_X509_push(chain, cert))
            X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    return chain;
}

static char *write_chain(STACK_OF(X509) * chain)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool is_written = bio != NULL;
    for (int i = 0; is_written && i < sk_X509_num(chain); i++)
        is_written = PEM_write_bio_X509(bio, sk_X509_value(chain, i)) == 1;
    char *pem = is_written ? text_of(bio) : NULL;
    BIO_free(bio);
    return pem;
}

int acme_cert_check(struct str text, const char *key, const char *host, time_t now, char **ret_pem,
                    const char **why)
{
    STACK_OF(X509) *chain = read_chain(text);
    char *pem = NULL;
    if (!chain)
        return UV_ENOMEM;
    int count = sk_X509_num(chain);
    *why = count == 0               ? "there is no certificate in it"
           : count > ACME_MAX_CHAIN ? "there are too many certificates in it"
                                    : problem_of(chain, key, host, now);
    int rc = *why ? UV_EINVAL : 0;
    if (!rc && !(pem = write_chain(chain)))
        rc = UV_ENOMEM;
    sk_X509_pop_free(chain, X509_free);
    ERR_clear_error();
    if (!rc)
        *ret_pem = pem;
    return rc;
}
