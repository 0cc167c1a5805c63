/* secrets.h - what is made of passwords before they are stored, and whether a key is one.
 *
 * Thread: any. Memory: the caller's. */
#ifndef MODEL_SECRETS_H
#define MODEL_SECRETS_H

#include <stdbool.h>

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

#define SECRETS_SHA1_BYTES 41
#define SECRETS_PBKDF2_BYTES 160

/* basic-auth's: SHA-1 of the password and the consumer's id, in lower-case hexadecimal, as Kong
 * stores it (so that its rows go on working). */
void secrets_hash_password(const char *password, const char *consumer_id,
                           char hash[SECRETS_SHA1_BYTES]);
/* oauth2's, where hash_secret is set: "$pbkdf2-sha512$i=10000,l=32$salt$hash", a salt of its own
 * each time. Takes some milliseconds. False: OpenSSL has failed. */
bool secrets_hash_client_secret(const char *secret, char hash[SECRETS_PBKDF2_BYTES]);
bool secrets_is_hashed(const char *secret);
/* Whether that hash is of that secret. Takes as long. */
bool secrets_check_client_secret(const char *secret, const char *hash);

/* PEM text of a public key, or of a certificate that has one. */
bool secrets_is_public_key(const char *pem);
/* That key, owned (EVP_PKEY_free); NULL: it is none. */
struct evp_pkey_st *secrets_read_public_key(const char *pem);

#endif
