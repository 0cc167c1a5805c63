/* worker.h - a thread that carries traffic: its loop, its listeners, its exchanges and upstream
 * connections. Workers share the ports by SO_REUSEPORT and nothing else but what is immutable or
 * atomic.
 *
 * Thread: every function here is control's; what they start runs on the worker's own thread. */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mailbox.h"
#include "base/str.h"
#include "base/tally.h"
#include "model/endpoints.h"
#include "model/snapshot.h"
#include "proxy/retry.h"

struct client_trust; /* client_address.h */
struct handshake_limit;
struct passive_news; /* health/passive.h */
struct worker;
struct log_format;          /* proxy/log_format.h */
struct listener_spec;       /* net/listener.h */
struct tls_server_settings; /* net/tls_server.h */

struct worker_settings {
    const struct listener_spec *listeners; /* borrowed while the worker lives */
    unsigned listener_count;
    const struct listener_spec *stream_listeners; /* the same */
    unsigned stream_listener_count;
    const struct tls_server_settings
        *tls; /* borrowed during worker_start; NULL: no listener is TLS */
    const struct tls_server_settings *stream_tls; /* the same */
    uint32_t tls_handshake_timeout_ms;
    struct handshake_limit *handshake_limit; /* borrowed while the worker lives; NULL: none */
    bool checks_server_name;           /* a request must be for the host that its handshake named */
    bool never_checks_server_name;     /* both false: where clients are verified */
    uint32_t max_clients;              /* connections at a time */
    uint32_t client_header_timeout_ms; /* from a request's first byte to the end of its head */
    uint32_t client_idle_timeout_ms;   /* between requests */
    uint32_t client_body_timeout_ms;   /* between two reads of a body, or writes to a client */
    uint32_t client_progress_bytes;    /* least that a body moves within client_body_timeout_ms */
    uint32_t request_timeout_ms;       /* for all of an exchange; 0: none */
    uint32_t upstream_idle_timeout_ms; /* how long a pooled connection is kept */
    uint32_t upstream_pool_size;       /* idle connections a worker keeps, all targets together */
    uint32_t upstream_max_requests;    /* on one pooled connection */
    uint32_t upstream_http2_streams;   /* at a time on one connection that speaks HTTP/2 */
    bool upstream_http2;               /* offered to targets of https, by ALPN */
    const struct client_trust *trust;  /* borrowed while the worker lives; whom it trusts may be
                                          nobody */
    size_t max_head_bytes;
    uint64_t max_body_bytes; /* 0: unlimited */
    bool add_latency_headers;
    bool add_server_timing;
    bool starts_traces; /* requests without traceparent get one */
    /* Live traffic has turned a target: the word has changed already, this is the reason. Runs on
     * the worker's thread; all is borrowed during the call. NULL: nobody listens. */
    void (*on_health_news)(void *owner, struct upstream_state *upstream,
                           struct target_state *target, const struct passive_news *news);
    void *owner;
    const struct log_format *access_log_format; /* borrowed; NULL: combined */
    const char *access_log_path;                /* NULL: off; "/dev/stdout" is standard output */
    struct snapshot *snapshot; /* the first one, borrowed during worker_start; NULL: none yet */
};

/* Summed over workers for /status and /metrics. */
struct worker_counters {
    uint64_t connections_accepted;
    uint64_t connections_active;
    uint64_t connections_waiting; /* idle, between requests */
    uint64_t requests_total;
    uint64_t exchanges_active;
    uint64_t streams_accepted;
    uint64_t streams_active;
    uint64_t accept_pauses;     /* times that a listener stopped, at the limit of clients */
    uint64_t http2_connections; /* that spoke it */
    uint64_t tls_handshakes;    /* done, and with a session that was resumed, and failed */
    uint64_t tls_resumed;
    uint64_t tls_failed;
    uint64_t failures[TRY_FAILURE_COUNT]; /* of tries */
    uint64_t upstream_opened, upstream_http2, upstream_reused, upstream_open, upstream_idle;
    struct tally tls_failures;                      /* of tls_failed, by reason */
    struct tally refused, answered, streams_failed; /* zeroed at first, like all of it */
};

/* Binds the listeners, then starts thread `index`. On failure *err names the address. Returns 0 or
 * a negative UV_E…. The worker answers 404 until a snapshot is published. */
int worker_start(const struct worker_settings *settings, unsigned index, struct worker **ret,
                 struct error *err);

/* The port that a listener got, those for streams after the others: of interest where the
 * configured one is 0. */
uint16_t worker_port(const struct worker *worker, unsigned listener);

/* The socket of a listener, to set an option of its SO_REUSEPORT group; valid until worker_stop.
 * -1: none. */
int worker_listener_fd(const struct worker *worker, unsigned listener);

/* Hands over a reference: from the return on, every new exchange of this worker uses `snapshot`. */
void worker_publish(struct worker *worker, struct snapshot *snapshot);

/* Posts mail to the worker's loop; mail_deliver_cb gets the worker as owner. */
void worker_post(struct worker *worker, struct mail *mail);

/* For mail that says endpoints were swapped: closes the idle connections to targets of `old` that
 * are gone, and wakes the exchanges that waited for a first answer. On the worker's thread. */
void worker_endpoints_changed(struct worker *worker, const struct endpoints *old);

void worker_read_counters(const struct worker *worker,
                          struct worker_counters *sum); /* adds to *sum */

/* Opens the access log anew: its file was renamed. */
void worker_reopen_log(struct worker *worker);

/* Stops accepting; idle connections are closed, exchanges may end within grace_ms, then are cut.
 * `on_stopped` runs on the worker's thread as its last act (post mail from it); then worker_join
 * frees all. */
void worker_stop(struct worker *worker, uint32_t grace_ms, void (*on_stopped)(void *arg),
                 void *arg);
void worker_join(struct worker *worker);

#endif
