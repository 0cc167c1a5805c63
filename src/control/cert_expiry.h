/* cert_expiry.h - when the certificates that clients and upstreams are shown end: warnings in the
 * log while there is time to act, and a metric.
 *
 * A warning comes when a certificate is first seen with less than 14, 7, 3 or 1 days to go or
 * expired, and again with each of these steps; a node that runs for years looks every hour.
 *
 * Thread: control. Memory: embedded; borrows what it looks at. */
#ifndef CONTROL_CERT_EXPIRY_H
#define CONTROL_CERT_EXPIRY_H

#include <stdint.h>
#include <time.h>

#include <uv.h>

#include "base/metrics_text.h"
#include "base/str.h"

struct tls_compiler;
struct tls_identity;
struct tls_setup;

#define CERT_EXPIRY_MAX_LINES 50 /* of the log at a time; the rest is the next look's */

enum cert_stage {
    CERT_GOOD = 0,
    CERT_ENDS_IN_14_DAYS,
    CERT_ENDS_IN_7_DAYS,
    CERT_ENDS_IN_3_DAYS,
    CERT_ENDS_IN_1_DAY,
    CERT_EXPIRED,
};
enum cert_stage cert_stage_of(time_t not_after, time_t now);

/* Warns if the certificate called `id` is at a later stage than *told, which it sets. True when a
 * line was written. */
bool cert_expiry_tell(const struct tls_identity *identity, struct str id, time_t now,
                      enum cert_stage *told);

struct cert_expiry {
    uv_timer_t timer;
    struct tls_setup *setup;       /* borrowed; its identities may be NULL */
    struct tls_compiler *compiler; /* borrowed */
};

void cert_expiry_init(struct cert_expiry *expiry, uv_loop_t *loop);
/* From now on looks every hour, the first time at once. */
void cert_expiry_start(struct cert_expiry *expiry, struct tls_setup *setup,
                       struct tls_compiler *compiler);
void cert_expiry_close(struct cert_expiry *expiry);

/* Every certificate in force with what it is called in logs and metrics: the id of its entity, or
 * "default", "admin", "status" and "client" for those of the settings. All is borrowed during the
 * call. Nothing before the start. */
typedef void (*cert_visit_cb)(void *arg, struct str id, struct tls_identity *identity,
                              enum cert_stage *told);
void cert_expiry_each(const struct cert_expiry *expiry, cert_visit_cb visit, void *arg);

/* Nothing before the start. */
void cert_expiry_print(const struct cert_expiry *expiry, struct metrics_text *text);

#endif
