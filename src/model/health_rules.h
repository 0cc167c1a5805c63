/* health_rules.h - an upstream's health checks, compiled: what counts as a failure, how many in a
 * row take a target out, and how it is probed. Made from the `healthchecks` record of an upstream
 * or a service.
 *
 * Workers read them from the endpoints of the moment, control from the pool.
 *
 * Thread: immutable once made. Memory: one object, reference-counted. */
#ifndef MODEL_HEALTH_RULES_H
#define MODEL_HEALTH_RULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/str.h"

/* How a request or a probe went. The order is that of a target's rows of results. */
enum health_result {
    HEALTH_SUCCESS = 0,
    HEALTH_HTTP_FAILURE, /* answered, with a status that is listed as unhealthy */
    HEALTH_TCP_FAILURE,  /* refused, reset, or no TLS */
    HEALTH_TIMEOUT,
    HEALTH_RESULT_COUNT,
    HEALTH_IGNORED = HEALTH_RESULT_COUNT, /* a status in neither list counts for nothing */
};

enum check_type { CHECK_TCP = 0, CHECK_HTTP, CHECK_HTTPS, CHECK_GRPC, CHECK_GRPCS };

#define HEALTH_STATUS_MIN 100
#define HEALTH_STATUS_MAX 999
/* Rows are counted in bytes, and one value stays out of reach. */
#define HEALTH_LIMIT_MAX 254

struct status_set {
    uint64_t bits[(HEALTH_STATUS_MAX - HEALTH_STATUS_MIN) / 64 + 1];
};

/* What active and passive checks have in common. */
struct health_limits {
    uint8_t in_a_row[HEALTH_RESULT_COUNT]; /* that many turn a target; 0: never */
    struct status_set healthy;
    struct status_set unhealthy;
};

struct health_rules {
    _Atomic uint32_t refs;
    bool has_checks;  /* by Kong's rule: an interval, or a limit of passive failures, is not 0 */
    double threshold; /* percent of weight that must be exceeded by what is usable */
    struct health_limits passive;
    uint32_t pause_ms; /* before the first half-open trial; 0: not said */
    struct health_limits active;
    uint32_t healthy_interval_ms;   /* between probes of a target that takes traffic; 0: none */
    uint32_t unhealthy_interval_ms; /* … that takes none */
    enum check_type type;
    uint32_t timeout_ms;
    uint32_t concurrency;
    bool verify_certificate;
    char *path;         /* owned, as all texts */
    char *grpc_service; /* NULL: the server as a whole */
    char *sni;          /* NULL: none said */
    char *host;         /* for the Host header; NULL: the target's own */
    char *client_cert;  /* PEM, shown over TLS; NULL: none */
    char *client_key;   /* likewise */
    char *header_lines; /* "Name: value\r\n"…; empty: none */
    char *probe_key;    /* of two rules with the same one, a target needs one prober */
};

/* `healthchecks` is a complete record (borrowed); `host_header` may be empty. 0 and an owned
 * object, or UV_ENOMEM. */
int health_rules_create(const json_t *healthchecks, struct str host_header,
                        struct health_rules **ret);
/* Before they are shared. Copies. 0 or UV_ENOMEM. */
int health_rules_set_certificate(struct health_rules *rules, struct str cert, struct str key);
struct health_rules *health_rules_ref(struct health_rules *rules); /* NULL is fine */
void health_rules_unref(struct health_rules *rules);               /* NULL is fine */

static inline bool status_set_has(const struct status_set *set, unsigned status)
{
    if (status < HEALTH_STATUS_MIN || status > HEALTH_STATUS_MAX)
        return false;
    unsigned bit = status - HEALTH_STATUS_MIN;
    return set->bits[bit / 64] >> (bit % 64) & 1;
}

/* What an answer with that status is; 0 stands for one that could not be understood. */
static inline enum health_result health_result_of_status(const struct health_limits *limits,
                                                         unsigned status)
{
    if (status_set_has(&limits->healthy, status))
        return HEALTH_SUCCESS;
    return status == 0 || status_set_has(&limits->unhealthy, status) ? HEALTH_HTTP_FAILURE
                                                                     : HEALTH_IGNORED;
}

/* Probes are sent to targets of either kind. */
static inline bool health_rules_probe(const struct health_rules *rules)
{
    return rules && (rules->healthy_interval_ms > 0 || rules->unhealthy_interval_ms > 0);
}

#endif
