/* jws.h - whether a signature is one, by the algorithms of JSON Web Algorithms (RFC 7518, section
 * 3; RFC 8037 for EdDSA).
 *
 * Which algorithm a key is for is the key owner's to say: a token's own word is only compared with
 * that before.
 *
 * Thread: any. Memory: OpenSSL's, given back at once. */
#ifndef PLUGINS_JWS_H
#define PLUGINS_JWS_H

#include <stdbool.h>

#include "base/str.h"

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

bool jws_is_known(struct str algorithm);
/* The algorithm is one of HMAC: the key is a secret. */
bool jws_is_hmac(struct str algorithm);
bool jws_verify_hmac(struct str algorithm, struct str secret, struct str text,
                     struct str signature);
/* False also where the key is not of that algorithm. */
bool jws_verify(struct str algorithm, struct evp_pkey_st *key, struct str text,
                struct str signature);

#endif
