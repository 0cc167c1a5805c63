#include "net/tls_staple.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <uv.h>

#include "base/str.h"

#define SKEW_S 300 /* of the responder's clock */

struct staple {
    uv_mutex_t lock; /* guards the rest; held for a copy of some two thousand bytes a handshake */
    unsigned char *der; /* NULL: none */
    size_t len;
    time_t until;
};

/* --- on the certificate --- */

static int place = -1; /* in a certificate's extra data; set once */
static uv_once_t place_once = UV_ONCE_INIT;

static void free_staple(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long argl,
                        void *argp)
{
    struct staple *staple = data;
    (void)parent, (void)all, (void)index, (void)argl, (void)argp;
    if (!staple)
        return;
    uv_mutex_destroy(&staple->lock);
    free(staple->der);
    free(staple);
}

static void make_place(void)
{
    place = X509_get_ex_new_index(0, NULL, NULL, NULL, free_staple);
}

static struct staple *staple_of(const X509 *cert)
{
    return place < 0 ? NULL : X509_get_ex_data(cert, place);
}

int tls_staple_prepare(struct x509_st *cert)
{
    uv_once(&place_once, make_place);
    struct staple *staple = place < 0 ? NULL : calloc(1, sizeof(*staple));
    if (!staple)
        return UV_ENOMEM;
    if (uv_mutex_init(&staple->lock)) {
        free(staple);
        return UV_ENOMEM;
    }
    if (X509_set_ex_data(cert, place, staple) != 1) {
        free_staple(NULL, staple, NULL, 0, 0, NULL);
        return UV_ENOMEM;
    }
    return 0;
}

static void replace(struct staple *staple, unsigned char *der, size_t len, time_t until)
{
    uv_mutex_lock(&staple->lock);
    unsigned char *old = staple->der;
    staple->der = der;
    staple->len = len;
    staple->until = until;
    uv_mutex_unlock(&staple->lock);
    free(old);
}

/* A copy in OpenSSL's memory; NULL: there is none, or its time is over. */
static unsigned char *copy(struct staple *staple, time_t now, size_t *ret_len)
{
    unsigned char *der = NULL;
    uv_mutex_lock(&staple->lock);
    if (staple->der && now < staple->until)
        der = OPENSSL_memdup(staple->der, staple->len);
    *ret_len = staple->len;
    uv_mutex_unlock(&staple->lock);
    return der;
}

static int on_status_request(SSL *ssl, void *arg)
{
    (void)arg;
    const X509 *cert = SSL_get_certificate(ssl);
    struct staple *staple = cert ? staple_of(cert) : NULL;
    size_t len;
    unsigned char *der = staple ? copy(staple, time(NULL), &len) : NULL;
    if (!der)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, der, (long)len); /* takes it */
    return SSL_TLSEXT_ERR_OK;
}

void tls_staple_use(struct ssl_ctx_st *context)
{
    uv_once(&place_once, make_place);
    SSL_CTX_set_tlsext_status_cb(context, on_status_request);
}

/* --- the question --- */

static char *find_url(X509 *cert)
{
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(cert);
    char *found = NULL;
    for (int i = 0; !found && i < sk_OPENSSL_STRING_num(urls); i++) {
        const char *url = sk_OPENSSL_STRING_value(urls, i);
        if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0)
            found = strdup(url);
    }
    X509_email_free(urls);
    return found;
}

int tls_staple_ask(struct x509_st *cert, struct x509_st *issuer, struct tls_staple_question *ret)
{
    char *url = find_url(cert);
    if (!url)
        return UV_ENOENT;
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, cert, issuer);
    unsigned char *der = NULL;
    int len = -1;
    if (request && id && OCSP_request_add0_id(request, id)) {
        id = NULL; /* the request's */
        len = i2d_OCSP_REQUEST(request, NULL);
        der = len > 0 ? malloc((size_t)len) : NULL;
    }
    if (der) {
        unsigned char *at = der;
        i2d_OCSP_REQUEST(request, &at);
    }
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    if (!der) {
        ERR_clear_error();
        free(url);
        return UV_ENOMEM;
    }
    *ret = (struct tls_staple_question){url, der, (size_t)len};
    return 0;
}

void tls_staple_question_free(struct tls_staple_question *question)
{
    free(question->url);
    free(question->der);
    *question = (struct tls_staple_question){NULL, NULL, 0};
}

/* --- the answer --- */

/* Signed by the issuer, or by one whom it has charged with that. */
static bool is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *known = sk_X509_new_null();
    /* The issuer is often no root; it is trusted all the same, for it is what the chain shows. */
    bool is_good = store && known && sk_X509_push(known, issuer) &&
                   X509_STORE_add_cert(store, issuer) == 1 &&
                   X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                   OCSP_basic_verify(basic, known, store, 0) == 1;
    sk_X509_free(known);
    X509_STORE_free(store);
    return is_good;
}

static time_t seconds_of(const ASN1_GENERALIZEDTIME *time)
{
    struct tm parts;
    return time && ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

static int read_basic(OCSP_BASICRESP *basic, X509 *cert, X509 *issuer, time_t now,
                      time_t *ret_until, const char **ret_why)
{
    ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
    int status = -1, reason = -1;
    if (!is_signed(basic, issuer)) {
        *ret_why = "not signed by the certificate's issuer";
        return UV_EINVAL;
    }
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, cert, issuer);
    int found =
        id ? OCSP_resp_find_status(basic, id, &status, &reason, NULL, &this_update, &next_update)
           : 0;
    OCSP_CERTID_free(id);
    time_t from = seconds_of(this_update), until = seconds_of(next_update);
    *ret_why = found != 1                            ? "about another certificate"
               : from == 0                           ? "without a time"
               : until == 0                          ? "without an end"
               : from > now + SKEW_S                 ? "of the future"
               : until <= now                        ? "out of date"
               : status == V_OCSP_CERTSTATUS_UNKNOWN ? "the responder doesn't know the certificate"
                                                     : NULL;
    if (*ret_why)
        return UV_EINVAL;
    if (status != V_OCSP_CERTSTATUS_GOOD) {
        *ret_why = "the certificate is revoked";
        return UV_EACCES;
    }
    *ret_until = until;
    return 0;
}

static int check(X509 *cert, X509 *issuer, struct str der, time_t now, time_t *ret_until,
                 const char **ret_why)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    int rc = UV_EINVAL;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    OCSP_BASICRESP *basic = NULL;
    *ret_why = "not an OCSP response";
    if (response && at == (const unsigned char *)der.ptr + der.len) {
        *ret_why = "the responder refuses to answer";
        if (OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
            basic = OCSP_response_get1_basic(response);
    }
    if (basic)
        rc = read_basic(basic, cert, issuer, now, ret_until, ret_why);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return rc;
}

int tls_staple_set(struct x509_st *cert, struct x509_st *issuer, struct str response, time_t now,
                   time_t *ret_until, const char **ret_why)
{
    time_t until = 0;
    *ret_why = "too large";
    if (response.len == 0 || response.len > TLS_STAPLE_MAX_BYTES)
        return UV_EINVAL;
    int rc = check(cert, issuer, response, now, &until, ret_why);
    struct staple *staple = staple_of(cert);
    if (rc == UV_EACCES)
        replace(staple, NULL, 0, 0);
    if (rc)
        return rc;
    unsigned char *der = malloc(response.len);
    if (!der)
        return UV_ENOMEM;
    memcpy(der, response.ptr, response.len);
    replace(staple, der, response.len, until);
    *ret_until = until;
    return 0;
}
