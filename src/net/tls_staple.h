/* tls_staple.h - a certificate's proof that it has not been revoked, stapled to handshakes: an OCSP
 * response (RFC 6960), checked before it is shown and dropped when its time is over.
 *
 * The response hangs on the certificate itself, so whoever shows that shows it. Where responses
 * come from is not its business.
 *
 * Thread: tls_staple_set: one; handshakes read on any. Memory: owned by the certificate. */
#ifndef NET_TLS_STAPLE_H
#define NET_TLS_STAPLE_H

#include <stddef.h>
#include <time.h>

#include "base/str.h"

#define TLS_STAPLE_MAX_BYTES 65535u /* real ones have one or two thousand */

struct ssl_ctx_st;
struct x509_st;

/* Clients of the context who ask for it get what their certificate has. */
void tls_staple_use(struct ssl_ctx_st *context);

/* Makes room on a certificate that no other thread has yet. 0 or UV_ENOMEM. */
int tls_staple_prepare(struct x509_st *cert);

/* Whose revocation is asked about, and how. */
struct tls_staple_question {
    char *url;          /* of the responder; owned: free() */
    unsigned char *der; /* the request; owned: free() */
    size_t len;
};

/* What to ask the responder that the certificate names. 0; UV_ENOENT: it names none, by http or
 * https; UV_ENOMEM. */
int tls_staple_ask(struct x509_st *cert, struct x509_st *issuer, struct tls_staple_question *ret);
void tls_staple_question_free(struct tls_staple_question *question);

/* For a certificate that was prepared: takes a response in place of the one before, if it is signed
 * by the issuer or whom that has charged with it, is about this certificate, calls it good and is
 * of today. 0, and *ret_until is when its time is over; UV_ENOMEM; or UV_EINVAL, and *ret_why is a
 * constant text. What calls the certificate revoked (UV_EACCES, with a text) ends the one before.
 */
int tls_staple_set(struct x509_st *cert, struct x509_st *issuer, struct str response, time_t now,
                   time_t *ret_until, const char **ret_why);

#endif
