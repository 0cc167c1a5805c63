/* tls_setup.h - what the settings of TLS amount to: the default certificates, read or made, and the
 * level, tickets and checks of clients.
 *
 * Thread: control, at start. Memory: owns what it read; borrows the options. */
#ifndef CONTROL_TLS_SETUP_H
#define CONTROL_TLS_SETUP_H

#include "base/error.h"
#include "control/cert_expiry.h"
#include "net/tls_server.h"

struct options;
struct tls_identity;

struct tls_setup {
    struct tls_level level;
    struct tls_identity *identity;                 /* owned, like those below */
    struct tls_identity *admin_identity;           /* may be the same */
    struct tls_identity *status_identity;          /* may be the same */
    enum cert_stage told, admin_told, status_told; /* how far their end has been warned of */
    struct tls_server_settings proxy;
    struct tls_server_settings streams;
    struct tls_server_settings admin;
    struct tls_server_settings status; /* asks nobody for a certificate */
};

/* Reads certificates and keys; without any it takes those in the data folder's ssl/, which it makes
 * first where they are missing. 0, or a negative UV_E… with *err, whose field is the setting's
 * variable. */
int tls_setup_init(struct tls_setup *setup, const struct options *options, struct error *err);

/* Who we are to upstreams where their service doesn't say: *ret is a reference, NULL without
 * client_ssl. As above. */
int tls_setup_read_client(const struct options *options, struct tls_identity **ret,
                          struct error *err);
void tls_setup_deinit(struct tls_setup *setup); /* zeroed is fine */

#endif
