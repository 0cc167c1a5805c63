/* exchange.h - one request and its response crossing the gateway.
 *
 * Only exchange.c knows the order of an exchange's steps. request.c looks after what comes from the
 * client, response.c after what comes from the upstream, try.c after asking one target after
 * another, outcome.c after what is told when it is over. They share this struct.
 *
 * Thread: its worker's. Memory: from the worker's spare list, at a request's first byte; given back
 * with the response's last. What is kept of the request hangs on its arena. */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "http/http1.h"
#include "http/message.h"
#include "http/uri.h"
#include "proxy/answer.h"
#include "proxy/client_address.h"
#include "proxy/deadline.h"
#include "proxy/forward.h"
#include "proxy/retry.h"
#include "proxy/router.h"

struct worker;
struct client;
struct http2_head;
struct snapshot_use;
struct upstream_conn;
struct upstream_lane;
struct upstream_pool;
struct target_state;
struct hedge;
struct plugin_run;

/* Bytes queued towards one side beyond which the other side is not read. */
#define EXCHANGE_MAX_QUEUED_BYTES 65536u
/* Request content kept for another try. While no upstream is there yet, one read may pass it. */
#define EXCHANGE_MAX_KEPT_BYTES 65536u
/* A response up to this long is held until it is whole, or for EXCHANGE_MAX_HELD_MS. */
#define EXCHANGE_MAX_HELD_BYTES 16384u
#define EXCHANGE_MAX_HELD_MS 100

enum request_part { REQUEST_HEAD = 0, REQUEST_BODY, REQUEST_DONE };

/* Of the try under way: nothing of a final head, its body, all of it. */
enum response_part { RESPONSE_HEAD = 0, RESPONSE_BODY, RESPONSE_DONE };

/* A response being read: leased from the worker with its first byte until the try is over. */
struct reply {
    struct list link; /* worker->spare_replies */
    struct http1_parser parser;
    struct http_head head;
};

struct exchange {
    struct list link; /* worker->parked, an upstream's pending ones or the spare list */
    struct worker *worker;
    struct deadline deadline; /* for what the upstream's side has to do */
    struct deadline total;    /* for all of it */
    struct arena arena;
    struct buf head_bytes;     /* a request head that came in pieces */
    struct buf response_bytes; /* a response head that did */
    struct buf kept;           /* the request's content, for another try */

    /* From here to `answer` all is zero when an exchange begins. */
    struct client *client; /* borrowed: it outlives its exchange */
    struct snapshot_use *config;
    unsigned step; /* index into exchange.c's steps */
    uint64_t started_ms;
    uint64_t moved_bytes;  /* mark: what had gone from or to the client when its time-out was set */
    bool is_watching_head; /* the time-out for the head runs */
    bool is_watching_body; /* the one for progress, from moved_bytes on */
    bool is_overdue;       /* it took longer than any may */
    bool is_client_gone;   /* reading from it or writing to it failed: nobody waits any more */
    bool is_client_too_slow; /* gone, for it did not take its response */
    bool has_client_ended;   /* it sent FIN */
    bool has_waited_out;     /* for endpoints or a free target, which did not come in time */
    bool is_pending;         /* waits for a free target: proxy/pending.h */
    bool is_called;          /* to look again, as it is its turn */

    /* The request. */
    enum request_part request_part;
    bool wants_upgrade;       /* the upstream is asked for another protocol */
    struct str websocket_key; /* by a CONNECT of HTTP/2, with this key of ours; else empty */
    bool is_replayable;       /* `kept` holds the content from its start */
    bool has_sent_head;       /* to the upstream of this try */
    bool is_send_broken;      /* the upstream takes no more bytes, but may still respond */
    uint16_t refused_status;  /* by the parser or a limit; 0: not refused */
    const char *refused_reason;
    const char *refused_message; /* for the client; NULL: the status's own */
    uint64_t request_bytes;      /* of content so far */
    struct uri uri;
    struct str path;           /* normalised */
    struct str authority;      /* as sent */
    struct str client_address; /* once the request is matched; see exchange_client */
    bool is_grpc;              /* of gRPC's protocol: answers of weir's own are too */
    uint8_t grpc_status;       /* that its response told: enum grpc_status */
    bool is_secure;            /* the client's side is TLS, also when a trusted proxy ended it */
    struct router_match match;
    char request_id[FORWARD_REQUEST_ID_BYTES];

    /* What the upstream hashes on, once it was looked for. */
    bool is_hashed;
    bool has_hash;
    uint64_t hash;
    struct str set_cookie; /* a line for the response; empty: none */

    struct plugin_run *plugins; /* on the arena; NULL: none run */
    /* Whole lines that plugins add; empty: none. */
    struct str request_lines;
    struct str response_lines;

    /* The tries. */
    struct upstream_pool *pool; /* of the target chosen for this try */
    struct upstream_conn *upstream;
    struct upstream_lane *lane; /* in its place where HTTP/2 is spoken */
    enum try_failure failure;   /* of the last try */
    int failure_error;          /* the UV_E… behind it, or 0 */
    const char *failure_reason;
    bool has_failed;      /* the try under way did */
    bool is_reused;       /* its connection has carried requests before */
    bool has_news;        /* response bytes came on it */
    bool has_told_health; /* that it answered was counted for the target's health */
    bool was_refused;     /* it failed before the target looked at the request */
    bool is_trial;        /* half-open: it decides whether its target is back */
    bool is_panicking;    /* its target is in use only by panic (health/board.h) */
    bool needs_fresh;     /* a kept connection was dead: no more of those */
    bool has_hedged;      /* a second try was begun beside the first */
    bool is_second;       /* the try under way is that one */
    struct hedge *hedge;  /* owned: the second try, or that there may be one; NULL: none */
    unsigned try_count;
    unsigned tried_count;
    uint64_t sent_ms; /* of the last try; 0: nothing was sent */

    /* The response. */
    unsigned interim_count; /* of this try */
    enum response_part response_part;
    struct reply *reply; /* NULL until its first byte */
    bool is_held;        /* all of it so far is in response_bytes */
    bool has_answered;   /* with weir's own answer */
    bool has_responded;  /* bytes of a final response went to the client */
    bool is_tunnel;      /* the upstream has switched: see tunnel.h */
    bool keep_client;    /* the response said that another request may follow */
    bool keep_upstream;
    enum http_framing client_framing;
    uint16_t status; /* sent to the client, or 499 when it left before; 0: none yet */
    uint64_t head_ms;
    uint64_t body_bytes; /* sent to the client */
    uint32_t response_head_bytes;
    char target_name[48]; /* the last one asked, where the access log says more than usual */

    /* Large, and mostly not touched. */
    char client_text[CLIENT_ADDRESS_BYTES];      /* client_address, when a proxy told it */
    struct answer answer;                        /* weir's own; set when has_answered is */
    struct target_state *tried[RETRY_MAX_TRIES]; /* only compared, never followed */
    struct http1_parser request_parser;
    struct http_head request;
};

/* Starts an exchange for bytes that are about to come. NULL when memory is short. */
struct exchange *exchange_begin(struct client *client);
/* For the spare list's end. */
void exchange_destroy(struct exchange *x);

/* What happens to an exchange. Each of these may end it: the caller must not touch it afterwards.
 */
void exchange_client_bytes(struct exchange *x, const char *bytes, size_t len);
/* The same for a request of HTTP/2: its head, which may be one that was refused (borrowed during
 * the call), content, and its end. */
void exchange_client_head(struct exchange *x, const struct http2_head *head, bool is_last);
void exchange_client_content(struct exchange *x, const char *bytes, size_t len);
void exchange_client_request_ended(struct exchange *x, struct str trailers);
void exchange_client_ended(struct exchange *x, int error); /* 0: FIN */
void exchange_client_drained(struct exchange *x, int error);
void exchange_client_timed_out(struct exchange *x);
/* `reason`, a constant, says more than the error; or NULL. */
void exchange_connected(struct exchange *x, int error, const char *reason);
void exchange_upstream_bytes(struct exchange *x, const char *bytes, size_t len);
/* The upstream has something: true when it was taken without being read. */
bool exchange_upstream_readable(struct exchange *x);
/* The same from a lane of HTTP/2: heads, interim ones too, content, and the response's end; and
 * that nothing comes any more: `error`, or 0 and `reason` says it. */
void exchange_upstream_head(struct exchange *x, const struct http2_head *head, bool is_last);
void exchange_upstream_content(struct exchange *x, const char *bytes, size_t len);
void exchange_upstream_response_ended(struct exchange *x, struct str trailers);
void exchange_upstream_gone(struct exchange *x, int error, const char *reason);
void exchange_upstream_ended(struct exchange *x, int error);
void exchange_upstream_drained(struct exchange *x, int error);
void exchange_endpoints_changed(struct exchange *x);
/* Some target has left: one that is still being connected to is not waited for. */
void exchange_target_left(struct exchange *x);
/* The worker stops and does not wait any longer. */
void exchange_cut(struct exchange *x);

/* The request is bad or passes a limit: it is answered with the status's default text, and its
 * connection closed; the first reason stays. */
static inline void exchange_refuse(struct exchange *x, uint16_t status, const char *reason)
{
    if (x->refused_status)
        return;
    x->refused_status = status;
    x->refused_reason = reason;
}

/* The same with a message of its own. */
static inline void exchange_refuse_saying(struct exchange *x, uint16_t status, const char *message)
{
    if (!x->refused_status)
        x->refused_message = message;
    exchange_refuse(x, status, message);
}

/* Whose request it is: the peer's, or of whom a trusted peer says so. */
struct str exchange_client(const struct exchange *x);

static inline bool exchange_is_head_request(const struct exchange *x)
{
    return x->request.method == HTTP_HEAD;
}

#endif
