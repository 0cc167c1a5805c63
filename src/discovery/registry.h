/* registry.h - watched names to sources, sources to endpoints; keeps the last good answer.
 *
 * Control says which upstreams its configuration wants; the registry opens, shares and closes the
 * sources behind them (Consul blocking queries, DNS, static lists), and swaps each upstream's
 * endpoints as news comes.
 *
 * Thread: the control loop. Memory: owns its sources; holds a reference to each wanted upstream. */
#ifndef DISCOVERY_REGISTRY_H
#define DISCOVERY_REGISTRY_H

#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/metrics_text.h"
#include "base/str.h"
#include "discovery/announced.h"
#include "discovery/consul.h"
#include "health/events.h"
#include "health/passive.h"
#include "model/upstream_state.h"
#include "net/resolver.h"

struct health_order; /* health/pool_orders.h */
struct registry;
struct wanted; /* an upstream that the configuration wants */

struct registry_settings {
    struct consul_settings consul; /* urls NULL: no Consul */
    const char *data_dir;          /* where the last known targets are kept; NULL: nowhere */
    struct resolver_settings dns;
    uint32_t worker_count;
    unsigned panic_percent; /* with fewer targets left by Consul it is not believed; 0: always */
    /* Routes that instances claim (announced.h) have changed; NULL: nobody wants to know. */
    void (*on_routes)(void *owner);
    /* `old` has been replaced; destroy it after every worker has turned its loop. */
    void (*retire)(void *owner, struct endpoints *old);
    void *owner;
};

struct static_target {
    struct str host; /* address or name; IPv6 without brackets */
    uint16_t port;
    uint32_t weight;
};

/* What an upstream's endpoints are made from. Borrowed during the call only. */
struct upstream_spec {
    struct str key;  /* the same upstream has the same key over all configuration changes */
    struct str name; /* for logs: the upstream's name, or the service's host */
    /* A service's host that names no upstream entity: an address, a Consul service, or a DNS name.
     */
    struct str host; /* empty for an upstream entity */
    uint16_t port;
    /* An upstream entity. */
    const struct static_target *targets;
    size_t target_count;
    const json_t *discovery;     /* its discovery record, or NULL */
    struct balancing *balancing; /* NULL: by default */
    /* Of both kinds. */
    const json_t *healthchecks;        /* complete, or NULL: none */
    const json_t *client_certificate;  /* a row: what probes show over TLS; NULL: nothing */
    struct str host_header;            /* what probes send as Host; empty: the target's own name */
    const struct health_order *orders; /* all that are stored about its targets */
    size_t order_count;
};

int registry_create(uv_loop_t *loop, const struct registry_settings *settings,
                    struct registry **ret);

/* One round of configuration: begin; want each upstream (the same key twice is the same upstream);
 * end closes what nobody wanted any more. want returns 0 and a wanted upstream, borrowed as long as
 * each round wants it. An existing upstream takes the new spec without losing target state. */
void registry_begin(struct registry *registry);
int registry_want(struct registry *registry, const struct upstream_spec *spec, struct wanted **ret);
/* Wants it as the round before did: the same spec. */
void registry_keep(struct registry *registry, struct wanted *wanted);
void registry_end(struct registry *registry);
/* Borrowed (take a reference); its endpoints are pending until its source answers. */
struct upstream_state *registry_state(const struct wanted *wanted);

/* The upstream of that key, or NULL. Borrowed. */
struct upstream_state *registry_find(struct registry *registry, struct str key);

/* A worker's news of a target, by live traffic (health/passive.h). Borrows all during the call; of
 * an upstream that has gone they are no news. */
void registry_hear(struct registry *registry, struct upstream_state *upstream,
                   struct target_state *target, const struct passive_news *news);
/* The routes that instances claim; none where nobody wants to know. Borrowed until the loop turns.
 */
size_t registry_claims(const struct registry *registry, const struct announced_claim **ret);
/* What happened to targets lately. Borrowed for the registry's life. */
struct events *registry_events(struct registry *registry);

/* What is known of sources, for /status: {"state": "ready" or "degraded", "consul": {"configured",
 * "reachable", "address", "watches", "last_error"}, …}. An owned JSON object. */
json_t *registry_status(struct registry *registry);

/* Each watch: what it asks for and where, how old its last answer is, what became of asking, and
 * which upstreams it serves. For GET /discovery; docs/discovery.md explains the fields. An owned
 * array. */
json_t *registry_discovery(struct registry *registry);
/* Each target of the upstream of that key: where it comes from, what all who judge it say, and why
 * it takes traffic or not. An owned array, or NULL: there is no such upstream. */
json_t *registry_explain(struct registry *registry, struct str key);

/* What Prometheus is told of sources, pools and targets. */
void registry_print_metrics(const struct registry *registry, struct metrics_text *text);

/* Stops all sources, then calls back once their handles are closed; then the registry is gone. */
void registry_close(struct registry *registry, void (*closed)(void *arg), void *arg);

#endif
