/* options.h - the settings of a node: one table that reads the file, the environment and the flags,
 * and writes the help and docs/configuration.md.
 *
 * From weakest to strongest: the default, variables of other tools (CONSUL_HTTP_ADDR), the file,
 * KONG_* variables, WEIR_* variables, flags. An empty value counts as not set.
 *
 * Thread: any; start-up. Memory: struct options owns its strings. */
#ifndef CONTROL_OPTIONS_H
#define CONTROL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/tls_server.h"
#include "proxy/client_address.h"
#include "store/store.h"

#define OPTIONS_MAX 128 /* settings in the table, at most */
#define OPTIONS_WORKERS_MAX 64

struct log_format;

struct options {
    struct listener_spec proxy_listeners[LISTENER_MAX];
    unsigned proxy_listener_count; /* 0: off */
    struct listener_spec stream_listeners[LISTENER_MAX];
    unsigned stream_listener_count; /* 0: off */
    struct listener_spec admin_listeners[LISTENER_MAX];
    unsigned admin_listener_count;
    struct listener_spec status_listeners[LISTENER_MAX];
    unsigned status_listener_count; /* 0: off */
    char *admin_tokens_file;        /* NULL: nobody needs a token */
    char *admin_token_file;         /* of the commands that ask the node; NULL: none */
    char *admin_cors_origins;
    char *admin_ssl_client_certificate; /* NULL: clients need no certificate */
    size_t admin_max_body_bytes;
    uint32_t admin_rate_limit; /* requests a second from an address; 0: any */
    bool admin_audits;
    bool has_metrics;

    char *lua_ssl_trusted_certificate; /* a comma list of paths; "system": the machine's */
    bool upstream_tls_verify;
    uint32_t upstream_tls_verify_depth;
    /* A comma list of paths, or of PEM texts, or base64 of them; NULL: some of our own making. */
    char *ssl_cert;
    char *ssl_cert_key;
    char *admin_ssl_cert; /* the same; NULL: as ssl_cert */
    char *admin_ssl_cert_key;
    char *status_ssl_cert;
    char *status_ssl_cert_key;
    bool has_client_ssl;   /* upstreams that ask get client_ssl_cert */
    char *client_ssl_cert; /* NULL: none */
    char *client_ssl_cert_key;
    char *ssl_cipher_suite;
    char *ssl_ciphers; /* NULL: OpenSSL's. These two count with the suite "custom" */
    char *ssl_protocols;
    char *ssl_client_certificate; /* NULL: none */
    char *stream_ssl_alpn;        /* NULL: none is chosen */
    char *ssl_ticket_secret_file; /* NULL: a secret of this process */
    enum tls_client_check ssl_verify_client;
    uint32_t ssl_verify_depth;
    bool ssl_checks_host;
    bool ssl_never_checks_host; /* both false: where clients are verified */
    bool has_ssl_stapling;      /* responders are asked */
    char *ssl_stapling_file;    /* a comma list of paths; NULL: none */
    char *acme_hosts;           /* a comma list, in lower case; NULL: certificates come by hand */
    char *acme_directory;       /* a URL */
    char *acme_email;           /* NULL: none */
    char *acme_ca_file;         /* NULL: the machine's authorities */
    char *acme_eab_kid;         /* NULL: none */
    char *acme_eab_hmac_file;   /* NULL: none */
    bool acme_agrees;           /* to the authority's terms of service */
    bool acme_by_tls;           /* validated by TLS-ALPN-01, not HTTP-01 */
    bool acme_has_rsa;          /* keys of RSA, not P-256 */
    uint32_t acme_renew_days;
    uint32_t acme_retry_s; /* after a refusal, at least */
    uint32_t ssl_session_timeout_s;
    uint32_t ssl_handshake_timeout_ms;
    uint32_t ssl_handshake_rate;        /* a second, of all clients; 0: any */
    uint32_t ssl_client_handshake_rate; /* of an address */

    enum store_engine_kind database;
    char *declarative_config;        /* with STORE_MEMORY: the path of a file; NULL: none */
    char *declarative_config_string; /* or the text itself. Secret */
    char *data_dir;
    char *pg_hosts; /* "db1,db2:5433" */
    char *pg_user;
    char *pg_password; /* NULL: none. Secret */
    char *pg_database;
    char *pg_schema;
    char *pg_ca_file; /* NULL: the system's */
    char *pg_cert_file;
    char *pg_key_file;
    uint32_t pg_port;
    uint32_t pg_timeout_ms;
    bool pg_has_tls;
    bool pg_verifies_tls;
    bool migrates;          /* at start */
    bool has_disk_snapshot; /* of the configuration, to start from while the database is away */
    char *consul_url;       /* "http://127.0.0.1:8500,…", no slash at the ends; NULL: no Consul */
    char *consul_token;     /* NULL: none. Secret */
    char *consul_token_file; /* these five: NULL: none */
    char *consul_cacert;
    char *consul_client_cert;
    char *consul_client_key;
    char *consul_server_name;
    bool has_consul_routes; /* made of tags */
    uint32_t consul_wait_ms;
    char *consul_node;  /* NULL: the host's name */
    char *zone;         /* NULL: unknown */
    char *dns_servers;  /* "ip[:port],…"; NULL: the system's */
    char *dns_forwards; /* "zone=ip[:port],…"; NULL: none */
    unsigned workers;
    enum log_level log_level;
    struct log_format *access_log_format; /* owned; NULL: combined */
    char *access_log_path;                /* NULL: off */

    size_t max_head_bytes;
    uint64_t max_body_bytes; /* 0: unlimited */
    uint32_t stop_timeout_ms;
    uint32_t drain_delay_ms; /* before the stop: not ready, but as before */
    uint32_t client_header_timeout_ms;
    uint32_t client_idle_timeout_ms;
    uint32_t client_body_timeout_ms;
    uint32_t max_connections;       /* of clients, all workers together; 0: by the open files */
    uint32_t client_min_rate;       /* bytes a second; 0: any */
    uint32_t request_timeout_ms;    /* 0: none */
    uint32_t upstream_pool_size;    /* 0: no connection is kept */
    uint32_t upstream_max_requests; /* UINT32_MAX: unlimited */
    uint32_t upstream_idle_timeout_ms;
    bool upstream_http2;
    uint32_t upstream_http2_streams;
    uint32_t panic_percent; /* with fewer targets left, Consul is not believed; 0: always */

    struct client_trust trust; /* whose word on their clients is taken */
    char *real_ip_header;      /* the text of trust.header; empty: none */
    bool add_server_timing;
    bool starts_traces;
    bool add_latency_headers; /* to answers; WEIR_HEADERS */

    char *texts[OPTIONS_MAX]; /* each setting's value in force, as it was written; in table order */
};

/* Reads all settings. `flags` are the arguments after the command, `environment` is environ; both
 * end with NULL. 0, or UV_EINVAL, UV_ENOMEM or the file's error with *err, whose field is what the
 * human wrote: "WEIR_WORKERS", "KONG_DATABASE", "--workers", "workers" of the file. */
int options_init(struct options *options, char *const *flags, char *const *environment,
                 struct error *err);
void options_deinit(struct options *options); /* zeroed or half-read is fine */

/* How to open the store; its texts are the options' own. */
void options_store_settings(const struct options *options, struct store_settings *ret);

/* The "configuration" object of GET /, with Kong's keys and weir's own; secrets are masked. The
 * caller owns it; NULL when memory is short. */
json_t *options_to_json(const struct options *options);

/* The text of `weir run --help`, and of docs/configuration.md. 0 or UV_ENOMEM. */
int options_help(struct buf *out);
int options_help_markdown(struct buf *out);

#endif
