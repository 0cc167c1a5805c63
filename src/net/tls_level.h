/* tls_level.h - which protocol versions and ciphers a listener speaks: Mozilla's levels, as Kong
 * names them, or a list of one's own.
 *
 * Thread: any. Memory: constants, and texts of the caller's. */
#ifndef NET_TLS_LEVEL_H
#define NET_TLS_LEVEL_H

#include <stdbool.h>

#include "base/error.h"

struct ssl_ctx_st;

struct tls_level {
    const char *name;
    const char *protocols; /* "TLSv1.2 TLSv1.3" */
    const char *ciphers;   /* OpenSSL's names for up to 1.2 and of 1.3's suites ("TLS_…"), between
                              colons; NULL: OpenSSL's own */
    bool prefers_server;   /* our order of ciphers counts, not the client's */
};

/* "modern", "intermediate" or "old"; NULL for another name. */
const struct tls_level *tls_level_find(const char *name);

/* 0, UV_ENOMEM, or UV_EINVAL with *err, whose field is "ssl_protocols" or "ssl_ciphers". */
int tls_level_use(const struct tls_level *level, struct ssl_ctx_st *context, struct error *err);

#endif
