/* certificate.h - what PEM texts of certificates and keys say, judged by OpenSSL.
 *
 * Thread: any. Memory: the caller's. */
#ifndef MODEL_CERTIFICATE_H
#define MODEL_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>

/* Fills `why` with OpenSSL's reason and returns false where the text holds none. */
bool certificate_is_one(const char *pem, char *why, size_t size);
bool certificate_is_key(const char *pem, char *why, size_t size);
/* Both are fine by themselves. */
bool certificate_matches_key(const char *certificate, const char *key);
bool certificate_has_same_type(const char *certificate, const char *other);
/* What speaks against a certificate as one of an authority, in Kong's words; NULL: nothing. */
const char *certificate_ca_problem(const char *pem);

#define CERTIFICATE_DIGEST_BYTES 65
/* SHA-256 of the certificate in lower-case hexadecimal. */
void certificate_digest(const char *pem, char digest[CERTIFICATE_DIGEST_BYTES]);

/* "{vault://env/name}": stands for a text that is looked up when it is used. */
bool certificate_is_reference(const char *text);

#endif
