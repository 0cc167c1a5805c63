/* tls_self_signed.h - certificates of our own making: for a node that was given none, and for an
 * authority that wants to see that a host is ours.
 *
 * Thread: any. An RSA key takes a part of a second. */
#ifndef NET_TLS_SELF_SIGNED_H
#define NET_TLS_SELF_SIGNED_H

#include <stdint.h>

enum tls_key_type { TLS_KEY_RSA = 0, TLS_KEY_ECDSA };

/* A certificate for localhost that is good for 20 years, and its key, as PEM texts that the caller
 * owns (free; the key is wiped by tls_wipe_text). 0 or UV_ENOMEM. */
int tls_self_signed(enum tls_key_type type, char **ret_cert, char **ret_key);

/* What answers an authority that validates `host`, a plain name, by TLS-ALPN-01: a certificate for
 * it that has the SHA-256 of what is to be proved (RFC 8737, section 3), and its key. As above. */
int tls_acme_proof(const char *host, const uint8_t digest[32], char **ret_cert, char **ret_key);

/* Overwrites a secret and frees it; NULL is fine. */
void tls_wipe_text(char *text);

#endif
