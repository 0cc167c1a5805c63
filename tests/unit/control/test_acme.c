/* The pieces of ACME that need no authority: signatures, certificates, leases and rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <uv.h>

#include "control/acme_cert.h"
#include "control/acme_client.h"
#include "control/acme_jws.h"
#include "control/acme_lease.h"
#include "control/acme_rows.h"
#include "model/acme_answers.h"
#include "model/declarative.h"
#include "model/row.h"
#include "model/snapshot.h"
#include "net/tls_identity.h"
#include "net/tls_names.h"
#include "net/tls_self_signed.h"
#include "plugins/jws.h"
#include "unit/test.h"

/* --- base64 and signatures --- */

TEST(base64_is_the_one_for_urls_without_padding)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {{"", ""},           {"f", "Zg"},        {"fo", "Zm8"},
                {"foo", "Zm9v"},    {"foob", "Zm9vYg"}, {"\xfb\xff\xfe", "-__-"},
                {"\xff\xff", "__8"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char *text = acme_base64(rows[i].bytes, strlen(rows[i].bytes));
        assert_string_equal(text, rows[i].text);
        free(text);
    }
}

static size_t decode(const char *text, unsigned char out[512])
{
    char padded[512];
    size_t len = strlen(text), whole = (len + 3) / 4 * 4;
    for (size_t i = 0; i < whole; i++)
        padded[i] = (char)(i >= len ? 'A' : text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    assert_true(EVP_DecodeBlock(out, (unsigned char *)padded, (int)whole) >= 0);
    return len * 3 / 4;
}

static const char *text_in(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static json_t *decode_json(const char *text)
{
    unsigned char bytes[512];
    size_t len = decode(text, bytes);
    json_t *json = json_loadb((char *)bytes, len, 0, NULL);
    assert_non_null(json);
    return json;
}

static EVP_PKEY *new_key(void)
{
    char *pem;
    assert_int_equal(acme_key_create(&pem), 0);
    EVP_PKEY *key = acme_key_read(pem);
    assert_non_null(key);
    tls_wipe_text(pem);
    return key;
}

TEST(a_request_is_signed_so_that_the_key_verifies_it)
{
    EVP_PKEY *key = new_key();
    for (unsigned i = 0; i < 50; i++) { /* halves with leading zeros among them */
        const struct acme_jws jws = {.key = key,
                                     .account = i % 2 ? "https://ca.example/acct/1" : NULL,
                                     .nonce = "abc",
                                     .url = "https://ca.example/order",
                                     .payload = "{}"};
        char *text, both[1024];
        unsigned char signature[512];
        assert_int_equal(acme_jws_sign(&jws, &text), 0);
        json_t *signed_json = json_loads(text, 0, NULL);
        snprintf(both, sizeof(both), "%s.%s", text_in(signed_json, "protected"),
                 text_in(signed_json, "payload"));
        size_t len = decode(text_in(signed_json, "signature"), signature);
        assert_int_equal(len, 64);
        assert_true(jws_verify(STR("ES256"), key, str_of(both), str_make((char *)signature, len)));
        json_t *head = decode_json(text_in(signed_json, "protected"));
        assert_string_equal(text_in(head, "url"), "https://ca.example/order");
        assert_string_equal(text_in(head, "nonce"), "abc");
        assert_true((json_object_get(head, "kid") != NULL) == (i % 2 == 1));
        assert_true((json_object_get(head, "jwk") != NULL) == (i % 2 == 0));
        json_decref(head);
        json_decref(signed_json);
        free(text);
    }
    EVP_PKEY_free(key);
}

TEST(the_thumbprint_is_that_of_the_ordered_public_half)
{
    EVP_PKEY *key = new_key();
    json_t *jwk = acme_key_public(key);
    char text[512], *expected, *thumbprint = acme_key_thumbprint(key);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;
    snprintf(text, sizeof(text), "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
             text_in(jwk, "x"), text_in(jwk, "y"));
    assert_int_equal(strlen(text_in(jwk, "x")), 43);
    assert_int_equal(EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL), 1);
    expected = acme_base64(digest, len);
    assert_string_equal(thumbprint, expected);
    free(expected);
    free(thumbprint);
    json_decref(jwk);
    EVP_PKEY_free(key);
}

TEST(an_account_is_bound_by_the_key_that_the_authority_knows)
{
    EVP_PKEY *key = new_key();
    char both[1024];
    unsigned char signature[512];
    json_t *bound = acme_jws_bind(key, "https://ca.example/account", "kid-1", STR("secret"));
    snprintf(both, sizeof(both), "%s.%s", text_in(bound, "protected"), text_in(bound, "payload"));
    size_t len = decode(text_in(bound, "signature"), signature);
    assert_true(jws_verify_hmac(STR("HS256"), STR("secret"), str_of(both),
                                str_make((char *)signature, len)));
    json_t *payload = decode_json(text_in(bound, "payload")), *jwk = acme_key_public(key);
    assert_true(json_equal(payload, jwk));
    json_decref(jwk);
    json_decref(payload);
    json_decref(bound);
    EVP_PKEY_free(key);
}

TEST(a_key_of_another_kind_is_none_for_an_account)
{
    char *cert, *key;
    assert_null(acme_key_read("junk"));
    assert_int_equal(tls_self_signed(TLS_KEY_RSA, &cert, &key), 0);
    assert_null(acme_key_read(key));
    free(cert);
    tls_wipe_text(key);
}

/* --- what an authority sends --- */

struct issued {
    char *cert, *key, *other_cert, *other_key;
};

static struct issued issue(void)
{
    struct issued issued;
    assert_int_equal(tls_self_signed(TLS_KEY_ECDSA, &issued.cert, &issued.key), 0);
    assert_int_equal(tls_self_signed(TLS_KEY_ECDSA, &issued.other_cert, &issued.other_key), 0);
    return issued;
}

static void forget(struct issued *issued)
{
    free(issued->cert);
    free(issued->other_cert);
    tls_wipe_text(issued->key);
    tls_wipe_text(issued->other_key);
}

static void expect_refused(const char *text, const char *key, const char *host, time_t now,
                           const char *expected)
{
    char *pem = NULL;
    const char *why = NULL;
    assert_int_equal(acme_cert_check(str_of(text), key, host, now, &pem, &why), UV_EINVAL);
    assert_string_equal(why, expected);
    assert_null(pem);
}

TEST(a_chain_is_taken_for_its_key_its_host_and_its_time_alone)
{
    struct issued issued = issue();
    char text[8192], *pem;
    const char *why;
    time_t now = time(NULL), from, until;
    snprintf(text, sizeof(text), "junk before\n%sand behind", issued.cert);
    assert_int_equal(acme_cert_check(str_of(text), issued.key, "localhost", now, &pem, &why), 0);
    assert_string_equal(pem, issued.cert); /* nothing else is stored */
    free(pem);
    assert_true(acme_cert_times(issued.cert, &from, &until));
    assert_true(from <= now && until > now);

    expect_refused("", issued.key, "localhost", now, "there is no certificate in it");
    expect_refused("junk", issued.key, "localhost", now, "there is no certificate in it");
    expect_refused(issued.key, issued.key, "localhost", now, "there is no certificate in it");
    expect_refused(issued.cert, issued.other_key, "localhost", now,
                   "the certificate is not for the key that was asked for");
    expect_refused(issued.cert, issued.key, "a.example", now,
                   "the certificate is not for the host that was asked for");
    expect_refused(issued.cert, issued.key, "localhost", until + 1,
                   "the certificate is not good at this time");
    expect_refused(issued.cert, issued.key, "localhost", from - 7200,
                   "the certificate is not good at this time");
    forget(&issued);
}

TEST(a_chain_whose_links_don_t_hold_is_refused)
{
    struct issued issued = issue();
    char text[32768];
    snprintf(text, sizeof(text), "%s%s", issued.cert, issued.other_cert);
    expect_refused(text, issued.key, "localhost", time(NULL),
                   "the certificates don't vouch for each other");
    text[0] = '\0';
    for (unsigned i = 0; i <= ACME_MAX_CHAIN; i++)
        strcat(text, issued.cert);
    expect_refused(text, issued.key, "localhost", time(NULL),
                   "there are too many certificates in it");
    forget(&issued);
}

static struct acme_trouble trouble_of(const char *json)
{
    struct acme_trouble trouble = {.kind = ACME_NO_TROUBLE};
    json_t *problem = json_loads(json, JSON_DECODE_ANY, NULL);
    acme_trouble_read(&trouble, problem);
    json_decref(problem);
    return trouble;
}

TEST(problems_are_told_in_the_authoritys_words_and_sorted_by_what_to_do)
{
    static const struct {
        const char *json;
        enum acme_trouble_kind kind;
        const char *why;
    } rows[] = {
        {"{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"slow\"}", ACME_LIMITED,
         "rateLimited: slow"},
        {"{\"type\":\"urn:ietf:params:acme:error:accountDoesNotExist\"}", ACME_NO_ACCOUNT,
         "accountDoesNotExist"},
        {"{\"type\":\"urn:ietf:params:acme:error:dns\",\"detail\":\"no\",\"subproblems\":[{"
         "\"detail\":\"really\"}]}",
         ACME_REFUSED, "dns: no; really"},
        {"{\"type\":\"about:blank\"}", ACME_REFUSED, "about:blank"},
        {"{\"type\":5,\"detail\":[],\"subproblems\":7}", ACME_REFUSED, "no reason"},
        {"{\"type\":\"caa\",\"detail\":\"caf\\u00e9\\n\"}", ACME_REFUSED, "caa: caf???"},
        {"{\"type\":\"urn:ietf:params:acme:error:badNonce\"}", ACME_AWAY, "badNonce"},
        {"[]", ACME_REFUSED, "no reason"},
        {"null", ACME_REFUSED, "no reason"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct acme_trouble trouble = trouble_of(rows[i].json);
        assert_int_equal(trouble.kind, rows[i].kind);
        assert_string_equal(trouble.why, rows[i].why);
    }
}

/* --- rows --- */

static struct config *config;
static bool store_fails;

static int set_up(void **state)
{
    (void)state;
    store_fails = false;
    return config_create(&config);
}

static int tear_down(void **state)
{
    (void)state;
    config_destroy(config);
    return 0;
}

/* Carried out at once. */
static void submit(void *control, struct config_write *write)
{
    (void)control;
    int rc = write->plan(write, config);
    if (rc == 0 && store_fails)
        rc = UV_ENOTCONN;
    if (rc == 0)
        config_apply(config, &write->change);
    write->done(write, rc);
}

static void note_rc(void *arg, int rc)
{
    *(int *)arg = rc;
}

static const struct acme_rows *rows(void)
{
    static struct acme_rows all;
    all = (struct acme_rows){config, submit, NULL};
    return &all;
}

static int put_challenge(const char *token, const char *type)
{
    int rc = 1;
    acme_rows_put(
        rows(), "acme_challenges", token,
        json_pack("{s:s, s:s, s:s}", "host", "localhost", "type", type, "answer", "the answer"),
        false, note_rc, &rc);
    return rc;
}

TEST(a_certificate_is_put_in_its_place_and_made_where_there_is_none)
{
    struct issued issued = issue();
    int rc = 1;
    put_challenge("t", "http-01");
    acme_rows_store(rows(), "localhost", issued.cert, issued.key, note_rc, &rc);
    assert_int_equal(rc, 0);
    const json_t *row = acme_rows_certificate(config, "localhost");
    assert_true(acme_rows_is_ours(row));
    char *id = str_dup(row_text(row, "id"));
    assert_null(acme_rows_find(config, "acme_challenges", "t"));
    acme_rows_store(rows(), "localhost", issued.other_cert, issued.other_key, note_rc, &rc);
    assert_int_equal(rc, 0);
    row = acme_rows_certificate(config, "localhost");
    assert_string_equal(json_string_value(json_object_get(row, "id")), id);
    assert_string_equal(text_in(row, "cert"), issued.other_cert);
    assert_int_equal(config_count(config, entity_find(STR("certificates"))), 1);
    acme_rows_store(rows(), "localhost", issued.cert, issued.other_key, note_rc, &rc);
    assert_int_equal(rc, UV_EINVAL); /* not a pair */
    free(id);
    forget(&issued);
}

/* The same, issued seconds later; owned. */
static char *issue_later(const char *cert, const char *key, long seconds)
{
    BIO *in = BIO_new_mem_buf(cert, -1), *key_in = BIO_new_mem_buf(key, -1);
    BIO *out = BIO_new(BIO_s_mem());
    X509 *x509 = PEM_read_bio_X509(in, NULL, NULL, NULL);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key_in, NULL, NULL, NULL);
    X509_gmtime_adj(X509_getm_notBefore(x509), seconds);
    assert_true(X509_sign(x509, pkey, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(out, x509), 1);
    char *bytes;
    long len = BIO_get_mem_data(out, &bytes);
    char *text = calloc(1, (size_t)len + 1);
    memcpy(text, bytes, (size_t)len); /* no NUL stands behind it */
    EVP_PKEY_free(pkey);
    X509_free(x509);
    BIO_free(out);
    BIO_free(key_in);
    BIO_free(in);
    return text;
}

TEST(a_newer_certificate_of_another_node_is_not_written_over)
{
    struct issued issued = issue();
    char *later = issue_later(issued.cert, issued.key, 600);
    int rc = 1;
    acme_rows_store(rows(), "localhost", later, issued.key, note_rc, &rc);
    assert_int_equal(rc, 0);
    acme_rows_store(rows(), "localhost", issued.other_cert, issued.other_key, note_rc, &rc);
    assert_int_equal(rc, UV_EALREADY);
    assert_string_equal(text_in(acme_rows_certificate(config, "localhost"), "cert"), later);
    free(later);
    forget(&issued);
}

TEST(a_certificate_of_somebody_else_is_not_written_over)
{
    struct issued issued = issue();
    struct config_change change = {NULL, 0};
    struct violation violation = {0};
    int rc = 1;
    json_t *input =
        json_pack("{s:s, s:s, s:[s]}", "cert", issued.cert, "key", issued.key, "snis", "localhost");
    assert_int_equal(config_plan_insert(config, entity_find(STR("certificates")), input, NULL, NULL,
                                        &change, NULL, &violation),
                     0);
    config_apply(config, &change);
    config_change_deinit(&change);
    json_decref(input);
    acme_rows_store(rows(), "localhost", issued.other_cert, issued.other_key, note_rc, &rc);
    assert_int_equal(rc, UV_EPERM);
    forget(&issued);
}

TEST(workers_get_the_answers_to_validations_under_way)
{
    struct snapshot *snapshot;
    assert_int_equal(snapshot_create(1, &snapshot), 0);
    assert_int_equal(acme_rows_compile(config, snapshot), 0);
    assert_null(snapshot->acme);
    assert_null(snapshot->acme_names);
    put_challenge("by-http", "http-01");
    put_challenge("by-tls", "tls-alpn-01");
    put_challenge("by-post", "post-01");
    assert_int_equal(acme_rows_compile(config, snapshot), 0);
    const struct acme_answers *answers = snapshot->acme;
    struct str found =
        acme_answers_find(answers, STR("LocalHost"), STR("/.well-known/acme-challenge/by-http"));
    assert_true(str_equal(found, STR("the answer")));
    static const char *const paths[] = {
        "/.well-known/acme-challenge/by-tls", "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge", "/.well-known/acme-challenge/by-http/",
        "/x/.well-known/acme-challenge/by-http"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        assert_int_equal(acme_answers_find(answers, STR("localhost"), str_of(paths[i])).len, 0);
    assert_int_equal(
        acme_answers_find(answers, STR("other.example"), STR("/.well-known/acme-challenge/by-http"))
            .len,
        0);
    struct tls_identity *proof = tls_names_find(snapshot->acme_names, STR("localhost"));
    assert_non_null(proof);
    assert_string_equal(tls_identity_name(proof), "localhost");
    snapshot_unref(snapshot);
}

TEST(what_was_left_behind_in_bulk_is_bounded)
{
    struct snapshot *snapshot;
    char token[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(token, sizeof(token), "t%u", i);
        assert_int_equal(put_challenge(token, "http-01"), 0);
    }
    assert_int_equal(snapshot_create(1, &snapshot), 0);
    assert_int_equal(acme_rows_compile(config, snapshot), 0);
    snapshot_unref(snapshot);
}

TEST(no_row_of_acme_is_in_a_declarative_file)
{
    int rc = 1;
    acme_rows_put(rows(), "acme_accounts", "https://ca.example/",
                  json_pack("{s:s}", "private_key", "hush"), true, note_rc, &rc);
    assert_int_equal(rc, 0);
    put_challenge("t", "http-01");
    json_t *file = declarative_export(config);
    char *text = json_dumps(file, JSON_COMPACT);
    assert_null(strstr(text, "acme"));
    assert_null(strstr(text, "hush"));
    free(text);
    json_decref(file);
}

TEST(a_key_that_is_there_is_not_replaced)
{
    int rc = 1;
    acme_rows_put(rows(), "acme_accounts", "d", json_pack("{s:s}", "private_key", "first"), true,
                  note_rc, &rc);
    acme_rows_put(rows(), "acme_accounts", "d", json_pack("{s:s}", "private_key", "second"), true,
                  note_rc, &rc);
    assert_int_equal(rc, 0);
    assert_string_equal(text_in(acme_rows_find(config, "acme_accounts", "d"), "private_key"),
                        "first");
}

/* --- the lease --- */

static struct acme_lease lease_of(const char *node)
{
    struct acme_lease lease;
    acme_lease_init(&lease, config, submit, NULL, node);
    return lease;
}

TEST(one_node_at_a_time_has_the_lease)
{
    struct acme_lease a = lease_of("a"), b = lease_of("b");
    acme_lease_want(&a, 1000);
    assert_true(acme_lease_want(&a, 1001));
    assert_string_equal(acme_lease_holder(&a), "a");
    assert_false(acme_lease_want(&b, 1000));
    assert_false(acme_lease_want(&b, 2000));
    acme_lease_release(&a);
    assert_null(acme_lease_holder(&a));
    acme_lease_want(&b, 3000);
    assert_true(acme_lease_want(&b, 3001));
}

TEST(a_holder_that_renews_keeps_it_and_one_that_is_silent_loses_it)
{
    struct acme_lease a = lease_of("a"), b = lease_of("b");
    uint64_t now = 0;
    put_challenge("left", "http-01");
    for (; now < 10 * ACME_LEASE_MS; now += 500) {
        acme_lease_want(&a, now);
        assert_false(acme_lease_want(&b, now));
    }
    put_challenge("left", "http-01");
    uint64_t last = now;
    while (!acme_lease_want(&b, now))
        now += 500;
    assert_true(now - last >= ACME_LEASE_MS - ACME_LEASE_RENEW_MS);
    assert_true(now - last <= ACME_LEASE_MS + 1000);
    assert_null(acme_rows_find(config, "acme_challenges", "left")); /* nobody waits for it */
    assert_false(acme_lease_want(&a, now));                         /* and hears of it */
    assert_string_equal(acme_lease_holder(&a), "b");
}

TEST(a_restarted_node_takes_its_own_lease_up_again)
{
    struct acme_lease before = lease_of("a");
    acme_lease_want(&before, 0);
    struct acme_lease after = lease_of("a");
    acme_lease_want(&after, 0);
    assert_true(acme_lease_want(&after, 1));
}

TEST(two_processes_that_bear_one_id_don_t_take_it_from_each_other)
{
    struct acme_lease a = lease_of("a"), clone = lease_of("a");
    acme_lease_want(&a, 0);
    assert_true(acme_lease_want(&a, 1));
    acme_lease_want(&clone, 2); /* it may be the next life of the first */
    for (uint64_t now = 3; now < 10 * ACME_LEASE_MS; now += 500) {
        assert_true(acme_lease_want(&clone, now));
        assert_false(acme_lease_want(&a, now));
    }
}

static struct config_write *hanging;

static void submit_for_ever(void *control, struct config_write *write)
{
    (void)control;
    hanging = write;
}

TEST(a_lease_is_not_held_for_longer_because_its_write_hangs)
{
    struct acme_lease a = lease_of("a");
    acme_lease_want(&a, 0);
    a.submit = submit_for_ever;
    assert_true(acme_lease_want(&a, ACME_LEASE_RENEW_MS));
    assert_non_null(hanging);
    assert_true(acme_lease_want(&a, ACME_LEASE_MS - 1));
    assert_false(acme_lease_want(&a, ACME_LEASE_MS));
    hanging->done(hanging, UV_ENOTCONN);
    assert_false(acme_lease_want(&a, ACME_LEASE_MS + 1));
}

TEST(a_lease_that_can_t_be_renewed_is_given_up_in_time)
{
    struct acme_lease a = lease_of("a");
    acme_lease_want(&a, 0);
    assert_true(acme_lease_want(&a, 1));
    store_fails = true;
    assert_true(acme_lease_want(&a, ACME_LEASE_MS - 1));
    assert_false(acme_lease_want(&a, ACME_LEASE_MS));
}

#define KEPT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(base64_is_the_one_for_urls_without_padding),
        T(a_request_is_signed_so_that_the_key_verifies_it),
        T(the_thumbprint_is_that_of_the_ordered_public_half),
        T(an_account_is_bound_by_the_key_that_the_authority_knows),
        T(a_key_of_another_kind_is_none_for_an_account),
        T(a_chain_is_taken_for_its_key_its_host_and_its_time_alone),
        T(a_chain_whose_links_don_t_hold_is_refused),
        T(problems_are_told_in_the_authoritys_words_and_sorted_by_what_to_do),
        KEPT(a_certificate_is_put_in_its_place_and_made_where_there_is_none),
        KEPT(a_newer_certificate_of_another_node_is_not_written_over),
        KEPT(a_certificate_of_somebody_else_is_not_written_over),
        KEPT(workers_get_the_answers_to_validations_under_way),
        KEPT(what_was_left_behind_in_bulk_is_bounded),
        KEPT(no_row_of_acme_is_in_a_declarative_file),
        KEPT(a_key_that_is_there_is_not_replaced),
        KEPT(one_node_at_a_time_has_the_lease),
        KEPT(a_holder_that_renews_keeps_it_and_one_that_is_silent_loses_it),
        KEPT(a_restarted_node_takes_its_own_lease_up_again),
        KEPT(two_processes_that_bear_one_id_don_t_take_it_from_each_other),
        KEPT(a_lease_is_not_held_for_longer_because_its_write_hangs),
        KEPT(a_lease_that_can_t_be_renewed_is_given_up_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
