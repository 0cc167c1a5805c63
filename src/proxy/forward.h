/* forward.h - writes the heads that leave weir: a request's for the upstream and its response's for
 * the client, with the fields that a gateway removes, adds and rewrites.
 *
 * Bytes to bytes: no sockets, no exchange.
 *
 * Thread: any. Memory: the caller's. */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/message.h"
#include "http/uri.h"
#include "model/snapshot.h"
#include "proxy/router.h"

#define FORWARD_REQUEST_ID_BYTES 32 /* hexadecimal digits */
#define FORWARD_NO_LATENCY UINT64_MAX

/* All borrowed. */
struct forward_request {
    const struct http_head *head;
    const struct uri *uri;            /* the target's parts as sent */
    struct str path;                  /* normalised */
    const struct router_match *match; /* whose route has a service */
    const struct target_state *target;
    struct str authority; /* Host as sent, or of an absolute-form target */
    struct str peer;      /* who is connected */
    struct str client;    /* who sent it: the peer, or whom it speaks for */
    bool is_trusted;      /* the peer's X-Forwarded-… stand */
    uint16_t listener_port;
    bool is_tls; /* the client's connection */
    const char *request_id;
    bool wants_upgrade;  /* Upgrade goes on to the upstream */
    uint64_t span;       /* of the trace that is begun with this request; 0: none is */
    struct str lines;    /* more whole lines, or empty */
    struct str own_host; /* in place of the Host that follows from the rest, or empty */
    struct str own_path; /* the same for the path */
};

/* Writes the head of the request for the upstream, with its empty line. Returns its length; 0 when
 * it does not fit. */
size_t forward_write_request(const struct forward_request *request, char *out, size_t size);

/* The host in the Host field that goes to the upstream, without port and brackets: who a TLS
 * connection to it has to be with. Borrowed from the arguments. */
struct str forward_host(const struct route *route, struct str authority,
                        const struct target_state *target);

struct forward_response {
    const struct http_head *head;
    enum http_framing framing; /* towards the client: by length, chunked or until close */
    bool has_body;             /* false: also no framing but a Content-Length that is as told */
    bool keep_alive;           /* another request may follow */
    bool is_switch;            /* a 101 that the client has asked for */
    bool is_connect;           /* by a CONNECT of HTTP/2, to which 200 says so */
    bool is_to_http2;          /* where the end tells itself */
    uint8_t client_minor_version;
    const char *request_id;
    struct str date;              /* for a response that came without one */
    bool is_panicking;            /* told by a line of its own */
    struct str lines;             /* more whole lines, or empty */
    struct str set_cookie;        /* a whole line for the client to come back by, or empty */
    uint64_t upstream_latency_ms; /* FORWARD_NO_LATENCY: these headers are switched off */
    uint64_t proxy_latency_ms;
    bool tells_timing;    /* Server-Timing: both of these, also where the headers above are off */
    uint64_t upstream_ms; /* for that */
};

/* The same for the client. */
size_t forward_write_response(const struct forward_response *response, char *out, size_t size);

/* The head of an interim response (1xx) other than 101. */
size_t forward_write_interim(const struct http_head *head, char *out, size_t size);

#endif
