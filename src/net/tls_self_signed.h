/* tls_self_signed.h - a certificate of our own making, for a node that was given none.
 *
 * Thread: any. An RSA key takes a part of a second. */
#ifndef NET_TLS_SELF_SIGNED_H
#define NET_TLS_SELF_SIGNED_H

enum tls_key_type { TLS_KEY_RSA = 0, TLS_KEY_ECDSA };

/* A certificate for localhost that is good for 20 years, and its key, as PEM texts that the caller
 * owns (free; the key is wiped by tls_wipe_text). 0 or UV_ENOMEM. */
int tls_self_signed(enum tls_key_type type, char **ret_cert, char **ret_key);

/* Overwrites a secret and frees it; NULL is fine. */
void tls_wipe_text(char *text);

#endif
