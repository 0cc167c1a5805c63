/* acme_jws.h - what ACME signs with and how: an account's key (P-256, ES256), its public half and
 * thumbprint, and requests as flattened JWS (RFC 7515; RFC 8555, section 6.2).
 *
 * Thread: any. Memory: texts are the caller's (free; those of keys by tls_wipe_text). */
#ifndef CONTROL_ACME_JWS_H
#define CONTROL_ACME_JWS_H

#include <stddef.h>

#include <jansson.h>

#include "base/str.h"

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

/* The alphabet for URLs, no padding; NULL: no memory. */
char *acme_base64(const void *bytes, size_t len);

/* A new key as PEM. 0 or UV_ENOMEM. */
int acme_key_create(char **ret_pem);
/* Owned (EVP_PKEY_free); NULL: it is no key of P-256. */
struct evp_pkey_st *acme_key_read(const char *pem);

/* The public half as a JSON Web Key; NULL: no memory. */
json_t *acme_key_public(struct evp_pkey_st *key);
/* RFC 7638, by SHA-256; NULL: no memory. */
char *acme_key_thumbprint(struct evp_pkey_st *key);

/* A request. Borrowed. */
struct acme_jws {
    struct evp_pkey_st *key;
    const char *account; /* its URL; NULL: the key itself says who signs */
    const char *nonce;
    const char *url;
    const char *payload; /* empty: POST as GET */
};
/* 0 or UV_ENOMEM. */
int acme_jws_sign(const struct acme_jws *jws, char **ret);

/* Binds an account's key to one that the authority knows by another way (RFC 8555, section 7.3.4):
 * the value of externalAccountBinding; NULL: no memory. */
json_t *acme_jws_bind(struct evp_pkey_st *key, const char *url, const char *kid, struct str secret);

#endif
