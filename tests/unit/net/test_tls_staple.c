#include "net/tls_staple.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <uv.h>

#include "unit/test.h"

#define HOUR_S 3600

static EVP_PKEY *key; /* one will do for all */
static X509 *issuer, *other_issuer, *leaf, *other_leaf, *delegate, *servant;

static void extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *issue(const char *name, X509 *by, EVP_PKEY *by_key, EVP_PKEY *own, int serial, int nid,
                   const char *value)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -10 * HOUR_S);
    X509_gmtime_adj(X509_getm_notAfter(cert), 10 * HOUR_S);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, by ? X509_get_subject_name(by) : subject);
    X509_set_pubkey(cert, own);
    if (!by)
        extend(cert, NID_basic_constraints, "critical,CA:TRUE");
    if (value)
        extend(cert, nid, value);
    assert_true(X509_sign(cert, by_key, EVP_sha256()) > 0);
    return cert;
}

static EVP_PKEY *other_key;

static int set_up(void **state)
{
    (void)state;
    key = EVP_EC_gen("P-256");
    other_key = EVP_EC_gen("P-256");
    issuer = issue("issuer", NULL, key, key, 1, 0, NULL);
    other_issuer = issue("issuer", NULL, other_key, other_key, 1, 0, NULL);
    leaf = issue("leaf", issuer, key, key, 2, NID_info_access, "OCSP;URI:http://127.0.0.1:1/ask");
    other_leaf = issue("other", issuer, key, key, 3, 0, NULL);
    delegate = issue("delegate", issuer, key, other_key, 4, NID_ext_key_usage, "OCSPSigning");
    servant = issue("servant", issuer, key, other_key, 5, NID_ext_key_usage, "serverAuth");
    return tls_staple_prepare(leaf);
}

static int tear_down(void **state)
{
    (void)state;
    X509 *const all[] = {issuer, other_issuer, leaf, other_leaf, delegate, servant};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        X509_free(all[i]);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    return 0;
}

struct answer {
    X509 *about, *signer;
    EVP_PKEY *signer_key;
    int status;
    long from_s, until_s; /* from now */
    bool has_no_end;
};

/* The caller frees it. */
static struct str respond(struct answer answer, time_t now)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, answer.about, issuer);
    ASN1_TIME *from = ASN1_TIME_set(NULL, now + answer.from_s);
    ASN1_TIME *until = answer.has_no_end ? NULL : ASN1_TIME_set(NULL, now + answer.until_s);
    ASN1_TIME *revoked =
        answer.status == V_OCSP_CERTSTATUS_REVOKED ? ASN1_TIME_set(NULL, now - HOUR_S) : NULL;
    assert_non_null(OCSP_basic_add1_status(basic, id, answer.status, 0, revoked, from, until));
    assert_int_equal(
        OCSP_basic_sign(basic, answer.signer, answer.signer_key, EVP_sha256(), NULL, 0), 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(response, &der);
    assert_true(len > 0);
    char *copy = malloc((size_t)len);
    memcpy(copy, der, (size_t)len);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
    return str_make(copy, (size_t)len);
}

static struct answer good(void)
{
    return (struct answer){.about = leaf,
                           .signer = issuer,
                           .signer_key = key,
                           .status = V_OCSP_CERTSTATUS_GOOD,
                           .from_s = -HOUR_S,
                           .until_s = HOUR_S};
}

static const char *why;

static int set(struct answer answer)
{
    time_t now = time(NULL), until = 0;
    struct str response = respond(answer, now);
    int rc = tls_staple_set(leaf, issuer, response, now, &until, &why);
    if (!rc)
        assert_int_equal(until, now + answer.until_s);
    free((char *)(uintptr_t)response.ptr);
    return rc;
}

TEST(a_response_of_the_issuer_or_its_delegate_is_taken)
{
    assert_int_equal(set(good()), 0);
    struct answer by_delegate = good();
    by_delegate.signer = delegate;
    by_delegate.signer_key = other_key;
    assert_int_equal(set(by_delegate), 0);
}

TEST(what_cannot_be_trusted_or_is_of_another_day_is_refused)
{
    struct answer other = good(), forged = good(), by_servant = good(), old = good(),
                  future = good(), endless = good(), unknown = good();
    other.about = other_leaf;
    forged.signer = other_issuer;
    forged.signer_key = other_key;
    by_servant.signer = servant;
    by_servant.signer_key = other_key;
    old.until_s = 0;
    future.from_s = 301 + 60;
    endless.has_no_end = true;
    unknown.status = V_OCSP_CERTSTATUS_UNKNOWN;
    const struct {
        struct answer answer;
        const char *why;
    } table[] = {
        {other, "about another certificate"},
        {forged, "not signed by the certificate's issuer"},
        {by_servant, "not signed by the certificate's issuer"},
        {old, "out of date"},
        {future, "of the future"},
        {endless, "without an end"},
        {unknown, "the responder doesn't know the certificate"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        assert_int_equal(set(table[i].answer), UV_EINVAL);
        assert_string_equal(why, table[i].why);
    }
}

TEST(what_is_no_response_is_refused)
{
    struct str whole = respond(good(), time(NULL));
    char longer[8192];
    time_t until;
    assert_true(whole.len < sizeof(longer));
    memcpy(longer, whole.ptr, whole.len);
    longer[whole.len] = 'x';
    const struct str table[] = {
        STR(""),
        STR("junk"),
        str_make(whole.ptr, whole.len - 1),
        str_make(longer, whole.len + 1),
        STR("\x30\x03\x0a\x01\x03"), /* try later */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        assert_int_equal(tls_staple_set(leaf, issuer, table[i], time(NULL), &until, &why),
                         UV_EINVAL);
    free((char *)(uintptr_t)whole.ptr);
}

/* What a client that asks is shown; -1: nothing. */
static long shown(void)
{
    SSL_CTX *server_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX *client_context = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_cert_and_key(server_context, leaf, key, NULL, 1), 1);
    tls_staple_use(server_context);
    SSL *server = SSL_new(server_context), *client = SSL_new(client_context);
    BIO *one, *two;
    assert_int_equal(BIO_new_bio_pair(&one, 0, &two, 0), 1);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, two, two);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    SSL_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    assert_true(SSL_is_init_finished(client));
    const unsigned char *response;
    long len = SSL_get_tlsext_status_ocsp_resp(client, &response);
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(server_context);
    SSL_CTX_free(client_context);
    return len;
}

TEST(a_client_is_shown_it_as_long_as_its_time_lasts)
{
    struct answer answer = good();
    assert_int_equal(set(answer), 0);
    assert_true(shown() > 0);
    /* Good when it came, an hour and a half ago. */
    time_t then = time(NULL) - 3 * HOUR_S / 2, until;
    struct str response = respond(answer, then);
    assert_int_equal(tls_staple_set(leaf, issuer, response, then, &until, &why), 0);
    free((char *)(uintptr_t)response.ptr);
    assert_int_equal(shown(), -1);
}

TEST(a_revocation_ends_the_response_before_it_and_a_bad_one_does_not)
{
    struct answer revoked = good(), old = good();
    revoked.status = V_OCSP_CERTSTATUS_REVOKED;
    old.until_s = -60;
    assert_int_equal(set(good()), 0);
    assert_int_equal(set(old), UV_EINVAL);
    assert_true(shown() > 0);
    assert_int_equal(set(revoked), UV_EACCES);
    assert_int_equal(shown(), -1);
}

TEST(the_question_goes_where_the_certificate_says)
{
    struct tls_staple_question question;
    assert_int_equal(tls_staple_ask(leaf, issuer, &question), 0);
    assert_string_equal(question.url, "http://127.0.0.1:1/ask");
    const unsigned char *at = question.der;
    OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &at, (long)question.len);
    assert_non_null(request);
    assert_int_equal(OCSP_request_onereq_count(request), 1);
    OCSP_REQUEST_free(request);
    tls_staple_question_free(&question);
    assert_int_equal(tls_staple_ask(other_leaf, issuer, &question), UV_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_response_of_the_issuer_or_its_delegate_is_taken),
        T(what_cannot_be_trusted_or_is_of_another_day_is_refused),
        T(what_is_no_response_is_refused),
        T(a_client_is_shown_it_as_long_as_its_time_lasts),
        T(a_revocation_ends_the_response_before_it_and_a_bad_one_does_not),
        T(the_question_goes_where_the_certificate_says),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
