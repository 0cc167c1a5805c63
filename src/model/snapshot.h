/* snapshot.h - the immutable, compiled form of all configuration: services, routes and the router.
 *
 * Built by control (control/snapshot_build.h), swapped into the workers between exchanges, and
 * freed with its last exchange.
 *
 * Thread: immutable once published. Memory: everything hangs on one arena and goes with it; each
 * service holds a reference to its upstream. */
#ifndef MODEL_SNAPSHOT_H
#define MODEL_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/random.h"
#include "base/str.h"
#include "model/upstream_state.h"
#include "net/cidr.h"
#include "net/proxy_protocol.h"

struct acme_answers;     /* model/acme_answers.h */
struct compiled_route;   /* model/compiled_route.h */
struct compiled_service; /* model/compiled_service.h */
struct consumers;        /* model/consumers.h */
struct meter;            /* model/meter.h */
struct plugin_chain;
struct router;
struct stream_router;
struct tls_client;
struct tls_names;
struct tls_ticket_ring;

/* Bits of a route's protocols, and the one of a service. */
enum protocol {
    PROTOCOL_HTTP = 1u << 0,
    PROTOCOL_HTTPS = 1u << 1,
    PROTOCOL_GRPC = 1u << 2,
    PROTOCOL_GRPCS = 1u << 3,
    PROTOCOL_TCP = 1u << 4,
    PROTOCOL_TLS = 1u << 5,
    PROTOCOL_TLS_PASSTHROUGH = 1u << 6,
    PROTOCOL_UDP = 1u << 7,
};

/* Those of routes whose connections are passed on as bytes. */
#define STREAM_PROTOCOLS (PROTOCOL_TCP | PROTOCOL_TLS | PROTOCOL_TLS_PASSTHROUGH)
/* What a plugin's protocols choose between, by Kong's rule: requests, however they come, or
 * streams. They never tell encrypted from plain. */
#define PLUGIN_REQUEST_PROTOCOLS (PROTOCOL_HTTP | PROTOCOL_HTTPS | PROTOCOL_GRPC | PROTOCOL_GRPCS)
#define PLUGIN_STREAM_PROTOCOLS (STREAM_PROTOCOLS | PROTOCOL_UDP)

struct service {
    struct str id;
    struct str name; /* empty when it has none */
    enum protocol protocol;
    struct str host;
    uint16_t port;
    struct str path; /* empty: none */
    uint32_t connect_timeout_ms;
    uint32_t write_timeout_ms; /* between two writes to the upstream */
    uint32_t read_timeout_ms;  /* between two reads from it */
    uint32_t retries;          /* tries after the first */
    /* The Host header where the route does not preserve the client's: the upstream's host_header,
     * or host[:port] of a service that names no upstream; empty: the target's own host[:port]. */
    struct str host_header;
    struct tls_client *tls; /* referenced; NULL: spoken to in clear, or not at all */
    enum proxy_protocol_version proxy_protocol; /* what streams begin with towards a target */
    struct upstream_state *upstream;            /* referenced */
};

struct route_header {
    struct str name;          /* lower case */
    const struct str *values; /* lower case; a lone one that starts with "~*" is a regex */
    uint32_t value_count;
};

/* One of a stream route's sources or destinations. */
struct route_peer {
    struct cidr_range range;
    bool has_range; /* false: any address */
    bool has_port;  /* false: any */
    uint16_t port;
};

struct route {
    struct str id;
    struct str name;
    uint32_t protocols; /* bits of enum protocol */
    uint32_t https_redirect_status_code;
    int64_t regex_priority;
    int64_t created_at;
    bool strip_path;
    bool preserve_host;
    bool path_handling_v1;
    /* Counts stand together: there are many routes, and each is here twice. */
    uint32_t method_count, host_count, path_count, header_count, sni_count;
    uint32_t source_count, destination_count;
    const struct str *methods;
    const struct str *hosts; /* lower case, as configured: may hold a wildcard and a port */
    const struct str *paths; /* literal prefixes, or "~" and a regex */
    const struct route_header *headers;
    const struct str *snis;
    const struct route_peer *sources;
    const struct route_peer *destinations;
    const struct service *service;      /* NULL: none */
    const struct plugin_chain *plugins; /* in the arena; NULL: none run */
    struct meter *meter;                /* referenced; NULL: its requests are not measured */
};

struct snapshot {
    _Atomic uint32_t refs;
    uint64_t version; /* counts up with every publication on this node */
    struct arena arena;
    struct service *services;
    struct compiled_service **compiled_services; /* referenced: what they borrow from, as many */
    uint32_t service_count;
    struct route *routes;
    struct compiled_route **compiled; /* referenced: what the routes borrow from, as many */
    uint32_t route_count;
    struct consumers *consumers;             /* referenced; NULL: not looked for */
    struct tls_names *names;                 /* owned: who we are by server name; NULL: none */
    struct tls_ticket_ring *ticket_ring;     /* owned: of sessions; NULL: the process's own */
    struct acme_answers *acme;               /* owned: to validations by HTTP; NULL: none */
    struct tls_names *acme_names;            /* owned: to those by TLS; NULL: none */
    struct router *router;                   /* owned; NULL until built */
    void (*destroy_router)(struct router *); /* a lower layer knows how */
    struct stream_router *streams;           /* the same for routes that are for streams */
    void (*destroy_streams)(struct stream_router *);
};

/* Empty, with one reference. 0 or UV_ENOMEM. */
int snapshot_create(uint64_t version, struct snapshot **ret);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL is fine; thread: any */

#endif
