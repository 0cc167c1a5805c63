/* acme.h - certificates by ACME (RFC 8555): which of the chosen hosts need one and when, one order
 * after another, and what is told of it. What it gets becomes certificates and snis like any other.
 *
 * Of the nodes that share a database one at a time works at it (acme_lease.h); how it went with a
 * host is in the database, so that no restart and no other node tries too often.
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_ACME_H
#define CONTROL_ACME_H

#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/error.h"
#include "base/metrics_text.h"
#include "model/config.h"

struct acme;
struct options;

struct acme_settings {
    const struct options *options; /* all borrowed */
    const struct config *config;
    const char *node_id;
    config_submit_cb submit;
    /* In a commit's done(): calls back when that is in force on all live nodes, or limit_ms have
     * passed (nodes.h). */
    void (*wait_all)(void *control, uint64_t limit_ms, void (*done)(void *arg, const char *behind),
                     void *arg);
    void *control;
};

/* Does nothing before acme_start. *ret is NULL where no hosts are chosen. 0, or a negative UV_E…
 * with *err. */
int acme_create(uv_loop_t *loop, const struct acme_settings *settings, struct acme **ret,
                struct error *err);
void acme_start(struct acme *acme); /* NULL is fine, like below */
/* No new order; the one under way is given up, and what it left in the database taken out if that
 * can still be. */
void acme_stop(struct acme *acme);
/* After acme_stop, when no write is under way; frees it once its handles are closed. */
void acme_close(struct acme *acme);

/* For GET /acme; owned. */
json_t *acme_to_json(struct acme *acme);
void acme_print(struct acme *acme, struct metrics_text *text);

#endif
