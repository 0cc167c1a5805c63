/* probe.h - asks one target once how it is: by a TCP connection, by HTTP or HTTPS, or by
 * gRPC's health protocol, with TLS or without.
 *
 * Whatever the target sends or does not send, a probe ends within its time-out and takes bounded
 * memory. What the answer means is the caller's business.
 *
 * Thread: the loop's. Memory: a probe frees itself after its end. */
#ifndef HEALTH_PROBE_H
#define HEALTH_PROBE_H

#include <stdint.h>

#include <uv.h>

#include "model/health_rules.h"
#include "model/target_state.h"
#include "net/curl_loop.h"

struct probe;

struct probe_result {
    enum probe_end {
        PROBE_CONNECTED,   /* of CHECK_TCP */
        PROBE_ANSWERED,    /* with `status` */
        PROBE_SERVING,     /* of CHECK_GRPC and CHECK_GRPCS */
        PROBE_NOT_SERVING, /* `why` says what it says instead, and `status` gRPC's, if not 0 */
        PROBE_GARBAGE,     /* an answer that is no HTTP (no gRPC), or too long */
        PROBE_FAILED,      /* no connection, no TLS, or closed without an answer */
        PROBE_TIMED_OUT,
    } end;
    uint16_t status;
    const char *why; /* constant text, of the last four; may be NULL */
};

/* Runs once, unless the probe is cancelled, and never within probe_start_…. */
typedef void (*probe_done_cb)(void *arg, const struct probe_result *result);

/* Rules and target are borrowed during the call. 0 and a probe that is under way, or UV_ENOMEM. */
int probe_start_plain(uv_loop_t *loop, const struct health_rules *rules,
                      const struct target_state *target, probe_done_cb done, void *arg,
                      struct probe **ret);
int probe_start_https(struct curl_loop *curl, const struct health_rules *rules,
                      const struct target_state *target, probe_done_cb done, void *arg,
                      struct probe **ret);
int probe_start_grpc(struct curl_loop *curl, const struct health_rules *rules,
                     const struct target_state *target, probe_done_cb done, void *arg,
                     struct probe **ret);
/* Ends it without a word. */
void probe_cancel(struct probe *probe);

/* For the three kinds: each probe begins with it. */
struct probe {
    void (*cancel)(struct probe *probe);
    probe_done_cb done;
    void *arg;
};

#endif
