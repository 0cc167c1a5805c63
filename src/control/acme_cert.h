/* acme_cert.h - the certificate's side of ACME: a key and a request for a host, what answers a
 * validation by TLS, and whether what an authority sends is what was asked for.
 *
 * Thread: any; an RSA key takes a part of a second. Memory: texts are the caller's (free; keys by
 * tls_wipe_text). */
#ifndef CONTROL_ACME_CERT_H
#define CONTROL_ACME_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/str.h"

enum acme_key_type { ACME_KEY_ECDSA_P256 = 0, ACME_KEY_RSA_2048 };

#define ACME_MAX_CHAIN 10 /* certificates that an authority may send */

/* A new key as PEM, and the request for this host as base64 for URLs. 0 or UV_ENOMEM. */
int acme_cert_request(const char *host, enum acme_key_type type, char **ret_key,
                      char **ret_request);

/* From when to when a certificate is good (the first in the text). False: there is none. */
bool acme_cert_times(const char *pem, time_t *ret_from, time_t *ret_until);

/* Whether the text begins with a certificate for this host and key that is good now, followed by
 * those that vouch for each other: 0 with the chain written anew, so that nothing else is in it;
 * or UV_EINVAL with *why, a constant; or UV_ENOMEM. */
int acme_cert_check(struct str text, const char *key, const char *host, time_t now, char **ret_pem,
                    const char **why);

#endif
