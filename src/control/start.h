/* start.h - puts the node together: starts its parts in their order, and ties each to the others.
 * What it leaves is control.c's to run and to take apart, after a start that failed half-way, too.
 *
 * Thread: control. Memory: control_run() owns the struct and what is in it. */
#ifndef CONTROL_START_H
#define CONTROL_START_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/error.h"
#include "base/mailbox.h"
#include "control/admin_setup.h"
#include "control/cert_expiry.h"
#include "control/expiry.h"
#include "control/file_config.h"
#include "control/log_override.h"
#include "control/meters.h"
#include "control/metrics.h"
#include "control/node_id.h"
#include "control/options.h"
#include "control/snapshot_build.h"
#include "control/ticket_keys.h"
#include "control/tls_setup.h"

struct acme;
struct admin_server;
struct cluster;
struct committer;
struct config;
struct consul_routes;
struct control;
struct handshake_limit;
struct registry;
struct snapshot;
struct stapling;
struct tls_compiler;
struct worker;

struct worker_end {
    struct mail mail; /* first: a mail is its worker_end */
    struct control *control;
};

struct control {
    uv_loop_t loop;
    const struct options *options;
    struct mailbox mailbox; /* from the workers */
    uv_signal_t signals[7];
    unsigned signal_count;
    struct node_id node_id;
    json_t *settings;     /* for GET / */
    struct tls_setup tls; /* zeroed while no listener has TLS */
    struct tls_compiler *tls_compiler;
    struct handshake_limit *handshake_limit; /* NULL: none */
    struct config *config;
    struct file_config file_config;
    struct cluster *cluster;
    bool is_cluster_open;
    struct registry *registry;
    struct consul_routes *consul_routes; /* NULL: routes are made by hand alone */
    struct committer *committer;
    struct admin_setup admin_setup;
    struct admin_server *admin;
    struct admin_server *status; /* NULL: there is no listener for it */
    const char *told_state;      /* of the node, in the last event of it; constant, NULL: none */
    struct meters meters;
    struct build_cache build; /* from one snapshot to the next */
    struct build_metrics builds;
    struct worker *workers[OPTIONS_WORKERS_MAX];
    struct worker_end ends[OPTIONS_WORKERS_MAX];
    unsigned worker_count;
    unsigned workers_running;
    uint64_t version;          /* of the last snapshot */
    struct snapshot *snapshot; /* the last one; a reference */
    struct log_override log_override;
    uv_check_t turn; /* ends each turn of the loop */
    struct expiry expiry;
    struct cert_expiry cert_expiry;
    struct ticket_keys ticket_keys;
    struct stapling *stapling; /* NULL: nobody wants it */
    struct acme *acme;         /* the same */
    uv_timer_t delay;          /* before the stop */
    bool is_delaying;
    bool is_handing_over; /* a new process has been started */
    bool is_stopping;
};

/* A config_submit_cb whose first argument is a struct control. */
void start_submit(void *control, struct config_write *write);

/* Starts the parts on the loop, which is initialised like the mailbox and the timer. 0, or a
 * negative UV_E… with *err (no sentence: what UV_E… says), and what had been started by then is
 * there. */
int start_node(struct control *control, uv_signal_cb on_signal, struct error *err);

#endif
