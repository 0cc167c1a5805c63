/* relay_parts.h - what the files of a relay share; nobody else's business.
 *
 *   relay.c          its life: drawn there, from its first byte to its last
 *   relay_opening.c  what the client says before it is passed on: PROXY header, ClientHello
 *   relay_route.c    finding its route, and what that says
 *   relay_try.c      picking a target, connecting, trying another, judging
 *   relay_pump.c     bytes from one end to the other
 *   relay_outcome.c  what is told of it when it is over
 *
 * Thread and memory: as relay.h says. */
#ifndef PROXY_RELAY_PARTS_H
#define PROXY_RELAY_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <uv.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "model/snapshot.h"
#include "net/ip.h"
#include "net/proxy_protocol.h"
#include "net/stream.h"
#include "proxy/client_address.h"
#include "proxy/deadline.h"
#include "proxy/pending.h"
#include "proxy/retry.h"

struct acceptor;
struct meter;
struct relay;
struct target_state;
struct tls_client;
struct upstream_peer;
struct upstream_pool;
struct upstream_state;
struct worker;

/* Bytes queued towards one end beyond which the other is not read. */
#define RELAY_MAX_QUEUED_BYTES 65536u

enum relay_state {
    RELAY_OPENING = 0,
    RELAY_WAITING,
    RELAY_CONNECTING,
    RELAY_OPEN,
    RELAY_CLOSED,
};

/* One of its two connections. */
struct relay_end {
    struct stream stream; /* first: the stream's callbacks turn it back */
    struct relay *relay;  /* NULL: it has nothing to do with it any more, and is being closed */
    bool has_ended;       /* its peer sent FIN: nothing more is read */
    bool is_told;         /* that the other end has ended */
    bool is_broken;       /* takes no more bytes, but what it sent before may still be read */
};

/* The connection of one try. */
struct relay_target {
    struct relay_end end; /* first */
    uv_connect_t connect;
    struct upstream_pool *pool; /* counted in as a connection */
    struct upstream_peer *peer; /* counted in; NULL: without TLS */
};

/* What the route said when the stream began. */
struct relay_plan {
    struct upstream_state *upstream; /* referenced */
    struct tls_client *tls;          /* referenced; NULL: spoken to in clear */
    struct meter *meter;             /* referenced; NULL: it is not measured */
    enum proxy_protocol_version proxy_protocol;
    uint32_t connect_timeout_ms, write_timeout_ms, read_timeout_ms;
    uint32_t total_ms; /* no try is begun later than that after the first */
    uint32_t retries;
    char *texts;                     /* owned: the three below, each terminated */
    struct str route, service, host; /* the last: asked for by TLS; empty: the target's own */
};

struct relay {
    struct relay_end client; /* first */
    struct list link;        /* worker->relays */
    struct list waiting;     /* worker->waiting_relays */
    struct worker *worker;
    enum relay_state state;
    struct deadline deadline;
    uint64_t moved_mark;                        /* relay_moved() when the deadline was set */
    uint64_t started_ms, matched_ms, opened_ms; /* the last: 0: never */

    /* The beginning. */
    uint16_t port;                 /* the listener's */
    struct tls_server *tls_server; /* the acceptor's; NULL: none */
    bool is_tls;                   /* it came to a listener of TLS */
    bool awaits_origin;            /* a PROXY header has to come first */
    bool is_trusted;               /* the peer is a proxy whose word on its clients is taken */
    enum protocol protocol;        /* what it turned out to be: tcp, tls or tls_passthrough */
    struct buf early;              /* what came before there was a target to give it to */
    union ip_address from, to;
    uint8_t peer_len;
    char peer[CLIENT_ADDRESS_BYTES];
    struct str server_name; /* owned; empty: none */

    struct relay_plan plan;

    /* The tries. */
    struct upstream_pool *pool;  /* of the target chosen for this try */
    struct relay_target *target; /* owned until it is let go of; NULL: none */
    uint64_t tried_at_ms;
    bool is_trial;              /* half-open: it decides whether its target is back */
    bool has_waited;            /* for endpoints */
    bool has_waited_out;        /* they did not come in time; or no target below its limit did */
    struct pending_place place; /* while it waits for such a target */
    bool has_failed;            /* the try under way did */
    enum try_failure failure;   /* of the last one that did */
    unsigned try_count;
    unsigned tried_count;
    struct target_state *tried[RETRY_MAX_TRIES]; /* only compared, never followed */
    char target_name[64];                        /* the last one asked */

    uint64_t received_bytes; /* from the client */
    uint64_t sent_bytes;     /* to it */
};

/* relay.c */

/* Ends it: `status` is nginx's for streams, `reason` a constant that says why it failed, or NULL.
 * The connections are closed; with a reset where something is cut off. */
void relay_finish(struct relay *relay, uint16_t status, const char *reason, bool is_cut);
/* There is a target: what came early goes there, and all else. */
void relay_open(struct relay *relay);
/* The time-outs of its state begin anew. */
void relay_watch(struct relay *relay);
uint64_t relay_moved(const struct relay *relay);

/* relay_opening.c */

/* The client may speak, if it has to before it is passed on. 0, or a negative UV_E…. */
int relay_opening_begin(struct relay *relay);
void relay_opening_bytes(struct relay *relay, const char *bytes, size_t len);
/* TLS with the client is up, or failed. */
void relay_opening_secured(struct relay *relay, int error);
/* The client ended its side, or its connection failed. */
void relay_opening_ended(struct relay *relay, int error);
void relay_opening_late(struct relay *relay);

/* relay_route.c */

enum relay_verdict {
    RELAY_ROUTED = 0,
    RELAY_NO_ROUTE,
    RELAY_BAD_SERVICE, /* the route has none, or one that is not for streams */
    RELAY_DENIED,      /* by a plugin */
    RELAY_NO_MEMORY,
};
/* Finds the route of what is known, and fills the plan and relay->protocol. */
enum relay_verdict relay_route(struct relay *relay);
void relay_plan_deinit(struct relay_plan *plan); /* zeroed is fine */

/* relay_try.c */

void relay_try_begin(struct relay *relay);
/* It may be over afterwards. */
void relay_try_fail(struct relay *relay, enum try_failure failure, int error, const char *reason);
/* Leaves the target, if there is one. */
void relay_try_leave(struct relay *relay, bool is_cut);

/* relay_pump.c: what happens at one end of an open relay. Each of these may end it. */

void relay_pump_bytes(struct relay_end *from, const char *bytes, size_t len);
void relay_pump_ended(struct relay_end *from, int error);
void relay_pump_drained(struct relay_end *to, int error);

/* relay_outcome.c */

void relay_outcome_failed_try(struct relay *relay, const struct target_state *target,
                              enum try_failure failure, int error, const char *reason,
                              bool is_last);
void relay_outcome_record(struct relay *relay, uint16_t status, const char *reason);

static inline struct str relay_peer(const struct relay *relay)
{
    return str_make(relay->peer, relay->peer_len);
}

#endif
