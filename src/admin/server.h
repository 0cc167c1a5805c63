/* server.h - the Admin API's HTTP server on the control loop.
 *
 * Thread: control. Memory: owns its listeners and connections. */
#ifndef ADMIN_SERVER_H
#define ADMIN_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/error.h"
#include "base/log.h"
#include "model/config.h"
#include "net/listener.h"

struct admin_guard;
struct admin_server;
struct tls_server_settings;
struct registry;
struct store;

/* What the endpoints need of the nodes that share a database. The first argument is admin_node's
 * `control`. */
struct admin_cluster {
    const char *(*state)(void *control); /* "ready", "degraded", "draining" */
    json_t *(*status)(void *control);    /* for GET /status; owned by the caller */
    void (*set_draining)(void *control, bool is_draining);
    /* The list passes to done(), which may run before the call returns. */
    void (*list_nodes)(void *control, void (*done)(void *arg, json_t *list), void *arg);
    /* In a write's done(): behind is NULL when all live nodes have it, or says which haven't after
     * limit_ms. */
    void (*wait_all)(void *control, uint64_t limit_ms, void (*done)(void *arg, const char *behind),
                     void *arg);
};

/* What the endpoints need of the node. All borrowed for the server's life. */
struct admin_node {
    struct config *config;
    struct registry *registry;
    struct store *store;
    config_submit_cb submit;
    void *control; /* submit's first argument */
    const char *node_id;
    const json_t *settings; /* the "configuration" object of GET /, secrets masked */
    json_t *(*server_counters)(
        void *control); /* the "server" object of GET /status; owned by the caller */
    /* For for_ms (0: for good); NULL in tests that don't ask it. */
    void (*set_log_level)(void *control, enum log_level level, uint64_t for_ms);
    const struct admin_cluster *cluster; /* NULL in tests that don't ask it */
    /* What GET /metrics answers, as metrics_text has it: *ret is owned by the caller. 0 or
     * UV_ENOMEM. NULL: there are no metrics. */
    int (*metrics)(void *control, char **ret, size_t *ret_len);
    /* What GET /acme answers; owned by the caller. NULL in tests that don't ask it. */
    json_t *(*acme)(void *control);
    struct admin_guard *guard;             /* whom to let in; NULL: everybody */
    size_t max_body_bytes;                 /* of a request; 0: 10 MiB, as Kong */
    const struct tls_server_settings *tls; /* borrowed at start; NULL: no listener has TLS */
    /* Without a database: 32 digits that tell what the node was told last; POST /config writes
     * them. NULL: there is one. */
    char *config_hash;
    bool is_status_only; /* no more than WEIR_STATUS_LISTEN offers */
    unsigned worker_count;
};

int admin_server_start(uv_loop_t *loop, const struct listener_spec *listeners, unsigned count,
                       const struct admin_node *node, struct admin_server **ret, struct error *err);
/* The port that listener `index` has in fact (0 in its spec: the kernel chose); 0: no such. */
uint16_t admin_server_port(const struct admin_server *server, unsigned index);
/* Stops accepting, ends connections once their answers are sent (or at once after 1 s), then calls
 * back. */
void admin_server_close(struct admin_server *server, void (*closed)(void *arg), void *arg);

/* The key under which the registry knows an upstream entity's endpoints: "upstream:<id>". */
#define UPSTREAM_KEY_PREFIX "upstream:"
/* The same of a service with health checks of its own: "service:<id>:<host>:<port>". */
#define SERVICE_KEY_PREFIX "service:"
/* Of all other services whose host names no upstream: "host:<host>:<port>". */
#define HOST_KEY_PREFIX "host:"

#endif
