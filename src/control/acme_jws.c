#include "control/acme_jws.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <uv.h> /* error codes only */

#define HALF_BYTES 32 /* a coordinate of P-256, and half of a signature */

char *acme_base64(const void *bytes, size_t len)
{
    char *out = len <= INT_MAX / 2 ? malloc((len + 2) / 3 * 4 + 1) : NULL;
    if (!out)
        return NULL;
    int written = EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    while (written > 0 && out[written - 1] == '=')
        written--;
    out[written] = '\0';
    for (char *at = out; *at; at++)
        *at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at);
    return out;
}

/* --- keys --- */

int acme_key_create(char **ret_pem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    char *bytes, *pem = NULL;
    if (key && bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long len = BIO_get_mem_data(bio, &bytes);
        pem = len > 0 ? str_dup(str_make(bytes, (size_t)len)) : NULL;
    }
    BIO_free(bio);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!pem)
        return UV_ENOMEM;
    *ret_pem = pem;
    return 0;
}

static int no_password(char *out, int size, int rwflag, void *arg)
{
    (void)out, (void)size, (void)rwflag, (void)arg;
    return -1;
}

EVP_PKEY *acme_key_read(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    char group[32] = "";
    BIO_free(bio);
    if (key && EVP_PKEY_base_id(key) == EVP_PKEY_EC)
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
    if (key && strcmp(group, "prime256v1") != 0) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

/* A coordinate of the public half, in its full length. NULL: no memory. */
static char *coordinate(EVP_PKEY *key, const char *name)
{
    unsigned char bytes[HALF_BYTES];
    BIGNUM *number = NULL;
    bool is_there = EVP_PKEY_get_bn_param(key, name, &number) == 1 &&
                    BN_bn2binpad(number, bytes, sizeof(bytes)) == HALF_BYTES;
    BN_free(number);
    return is_there ? acme_base64(bytes, sizeof(bytes)) : NULL;
}

json_t *acme_key_public(EVP_PKEY *key)
{
    char *x = coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X);
    char *y = coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y);
    json_t *jwk =
        x && y ? json_pack("{s:s, s:s, s:s, s:s}", "crv", "P-256", "kty", "EC", "x", x, "y", y)
               : NULL;
    free(x);
    free(y);
    return jwk;
}

char *acme_key_thumbprint(EVP_PKEY *key)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    json_t *jwk = acme_key_public(key);
    char *text = jwk ? json_dumps(jwk, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool is_done = text && EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL) == 1;
    free(text);
    json_decref(jwk);
    return is_done ? acme_base64(digest, len) : NULL;
}

/* --- signing --- */

/* OpenSSL's form of a signature becomes both halves behind each other (RFC 7518, section 3.4). */
static bool flatten(const unsigned char *der, size_t len, unsigned char out[2 * HALF_BYTES])
{
    const unsigned char *at = der;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    bool is_done = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, HALF_BYTES) == HALF_BYTES &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + HALF_BYTES, HALF_BYTES) == HALF_BYTES;
    ECDSA_SIG_free(pair);
    return is_done;
}

static char *sign_es256(EVP_PKEY *key, const char *text)
{
    unsigned char der[2 * HALF_BYTES + 16], flat[2 * HALF_BYTES];
    size_t len = sizeof(der);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done =
        context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(context, der, &len, (const unsigned char *)text, strlen(text)) == 1 &&
        flatten(der, len, flat);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_done ? acme_base64(flat, sizeof(flat)) : NULL;
}

static char *sign_hs256(struct str secret, const char *text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool is_done = HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)text,
                        strlen(text), digest, &len) != NULL;
    return is_done ? acme_base64(digest, len) : NULL;
}

/* base64(head) "." base64(payload), and both parts by themselves; the caller frees all three. */
struct parts {
    char *head, *payload, *both;
};

/* Takes the head over. */
static bool encode(json_t *head, const char *payload, struct parts *parts)
{
    char *text = head ? json_dumps(head, JSON_COMPACT) : NULL;
    json_decref(head);
    parts->head = text ? acme_base64(text, strlen(text)) : NULL;
    parts->payload = acme_base64(payload, strlen(payload));
    parts->both = NULL;
    free(text);
    if (!parts->head || !parts->payload)
        return false;
    size_t size = strlen(parts->head) + strlen(parts->payload) + 2;
    parts->both = malloc(size);
    if (parts->both)
        snprintf(parts->both, size, "%s.%s", parts->head, parts->payload);
    return parts->both != NULL;
}

/* Takes parts and signature over. */
static json_t *assemble(struct parts *parts, char *signature)
{
    json_t *jws = signature ? json_pack("{s:s, s:s, s:s}", "protected", parts->head, "payload",
                                        parts->payload, "signature", signature)
                            : NULL;
    free(parts->head);
    free(parts->payload);
    free(parts->both);
    free(signature);
    return jws;
}

int acme_jws_sign(const struct acme_jws *jws, char **ret)
{
    json_t *head =
        json_pack("{s:s, s:s, s:s}", "alg", "ES256", "nonce", jws->nonce, "url", jws->url);
    int rc = head ? 0 : -1;
    if (head && jws->account)
        rc = json_object_set_new(head, "kid", json_string(jws->account));
    else if (head)
        rc = json_object_set_new(head, "jwk", acme_key_public(jws->key));
    struct parts parts;
    if (rc) {
        json_decref(head);
        head = NULL;
    }
    bool is_encoded = encode(head, jws->payload, &parts);
    json_t *whole = assemble(&parts, is_encoded ? sign_es256(jws->key, parts.both) : NULL);
    char *text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;
    json_decref(whole);
    if (!text)
        return UV_ENOMEM;
    *ret = text;
    return 0;
}

json_t *acme_jws_bind(EVP_PKEY *key, const char *url, const char *kid, struct str secret)
{
    struct parts parts;
    json_t *jwk = acme_key_public(key);
    char *payload = jwk ? json_dumps(jwk, JSON_COMPACT) : NULL;
    json_decref(jwk);
    if (!payload)
        return NULL;
    bool is_encoded = encode(json_pack("{s:s, s:s, s:s}", "alg", "HS256", "kid", kid, "url", url),
                             payload, &parts);
    free(payload);
    return assemble(&parts, is_encoded ? sign_hs256(secret, parts.both) : NULL);
}
