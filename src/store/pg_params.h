/* pg_params.h - where PostgreSQL is and how to log in: the settings as libpq takes them, and what
 * its refusals mean.
 *
 * Thread: any, one at a time. Memory: struct pg_params owns copies of its texts. */
#ifndef STORE_PG_PARAMS_H
#define STORE_PG_PARAMS_H

#include <stdint.h>

#include <libpq-fe.h>

#include "store/store.h"

#define PG_HOSTS_MAX 16
#define PG_STATE_BYTES 6 /* an SQLSTATE with its terminator */

struct pg_host {
    char *name; /* a name, an address, or the folder of a Unix socket */
    uint16_t port;
};

struct pg_params {
    struct pg_host hosts[PG_HOSTS_MAX];
    unsigned host_count;
    char *user, *password, *database, *schema, *ca_file, *cert_file, *key_file;
    uint32_t timeout_ms;
    bool has_tls, verifies_tls;
};

/* 0, UV_ENOMEM, or UV_EINVAL with *err for a list of hosts that can't be read. */
int pg_params_init(struct pg_params *params, const struct store_pg_settings *settings,
                   struct error *err);
void pg_params_deinit(struct pg_params *params); /* zeroed or half-built is fine */

/* Starts to connect to one host, without waiting and, given its numeric `address` (NULL: libpq asks
 * the resolver, which blocks), without blocking. NULL when memory is short. The caller's. */
PGconn *pg_params_start(const struct pg_params *params, unsigned host, const char *address);

/* Connects to the first host that takes writes. Blocks, up to the time-out for each host. 0 with
 * the connection in *ret, search_path set; else UV_ENOTCONN, UV_EACCES or UV_ENOTSUP with *err. */
int pg_params_connect(const struct pg_params *params, PGconn **ret, struct error *err);

/* What a failed attempt means, in one line with what to do. UV_ENOTCONN: another attempt, or
 * another host, may do; UV_EACCES: no attempt will. */
int pg_params_explain(const struct pg_params *params, unsigned host, PGconn *conn,
                      struct error *err);

/* libpq's last words as one line without their labels; cut to `size`. */
void pg_one_line(const char *message, char *out, size_t size);

#endif
