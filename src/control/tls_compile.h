/* tls_compile.h - makes of the entities what TLS works with: identities by server name, of
 * certificates and snis; and of services by https, how their upstreams are spoken to.
 *
 * What has not changed since the last time is taken over from it, so that a change of one route
 * doesn't parse a thousand keys.
 *
 * Thread: control. Memory: owns a reference to what it made the last time. */
#ifndef CONTROL_TLS_COMPILE_H
#define CONTROL_TLS_COMPILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "control/cert_expiry.h"

struct config;
struct snapshot;
struct tls_compiler;
struct tls_identity;
struct x509_store_st;

/* What counts where a service says nothing. */
struct tls_out_defaults {
    bool verifies;
    uint32_t depth;
    struct x509_store_st *trusted; /* references, which pass to the compiler; NULL: none */
    struct tls_identity *identity; /* who we are */
};

/* 0 or UV_ENOMEM, when the references stay the caller's. */
int tls_compiler_create(const struct tls_out_defaults *defaults, struct tls_compiler **ret);
void tls_compiler_destroy(struct tls_compiler *compiler); /* NULL is fine */

/* Every certificate in force, by its id, which is borrowed during the call. */
void tls_compiler_each(struct tls_compiler *compiler, cert_visit_cb visit, void *arg);

/* Fills the snapshot, which nobody else has yet. A certificate that can't be used is logged and
 * left out. 0 or UV_ENOMEM. */
int tls_compile(struct tls_compiler *compiler, const struct config *config,
                struct snapshot *snapshot);

#endif
