/* target_state.h - what outlives every update of a target: its address, health word, and each
 * worker's connections to it.
 *
 * Thread: the words marked _Atomic are shared; slots[n] belongs to worker n; all else is immutable
 * from creation. Memory: one block, reference-counted; whoever keeps one across callbacks holds a
 * reference (endpoints arrays and worker pools do). */
#ifndef MODEL_TARGET_STATE_H
#define MODEL_TARGET_STATE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"
#include "net/ip.h"

/* Why a target takes no traffic: bits of the health word; none of them: usable. health/board.h says
 * what they mean together, and only health/ sets them. */
enum target_out {
    TARGET_OUT_CONSUL = 1u << 0, /* Consul calls it critical (or warning, where policy says so) */
    TARGET_OUT_MAINTENANCE = 1u << 1, /* its node or service is in maintenance in Consul */
    TARGET_OUT_PROBE = 1u << 2,       /* active checks failed */
    TARGET_OUT_PASSIVE = 1u << 3,     /* live traffic failed */
    TARGET_OUT_MANUAL = 1u << 4,      /* somebody said so */
    TARGET_OUT_ANY = 0xffff,          /* more reasons take bits below 16 */
};

/* What else the health word tells. */
enum target_note {
    TARGET_IN_PANIC = 1u << 16,  /* Consul calls it critical, as it does too many: kept in use */
    TARGET_DISPROVED = 1u << 17, /* it was kept so, and failed: Consul is believed */
};

/* After live traffic took it out, one request is let through now and then. */
enum target_trial {
    TARGET_NO_TRIAL = 0,
    TARGET_TRIAL_OFFERED, /* by control; the next pick that wants it claims it */
    TARGET_TRIAL_CLAIMED, /* by an exchange, which says how it went */
};

/* One worker's part: a cache line each, so that workers don't disturb one another. Others may read
 * what is atomic. */
struct target_slot {
    alignas(64) void *pool;       /* the worker's struct upstream_pool, or NULL */
    _Atomic(void *) worker;       /* who that is, while there is a pool */
    _Atomic uint32_t in_flight;   /* exchanges that have chosen this target (balance/balancer.h) */
    _Atomic uint32_t connections; /* open to it: idle, connecting and busy */
    uint32_t idle_connections;
    uint32_t awaited;         /* of those the ones whose answer has not begun */
    uint64_t silent_since_ms; /* an answer began last, or it was asked when none was awaited */
};

struct target_state {
    _Atomic uint32_t refs;
    _Atomic uint32_t health; /* bits of enum target_out and enum target_note */
    _Atomic uint32_t rows;  /* results of live traffic in a row, a byte a kind (health/passive.h) */
    _Atomic uint32_t trial; /* enum target_trial */
    _Atomic uint64_t avoided_until_ms; /* picked only for want of better (balance/outlier.h) */
    _Atomic uint32_t bad_row;          /* bad answers in a row: the word that each pick reads */
    _Atomic bool gone;    /* left its upstream: workers close what is idle and pick it no more */
    const char *name;     /* "10.0.0.1:8080", "[::1]:80": for logs and the Admin API */
    const char *host;     /* as configured or discovered, without port */
    const char *instance; /* Consul's service id; empty for a static target */
    const char *node;     /* Consul's node; empty for a static target */
    uint16_t port;
    union ip_address address;
    uint32_t worker_count;
    /* What balancing remembers of it; see balance/latency.h, outlier.h and slow_start.h. */
    _Atomic uint64_t latency;
    _Atomic uint64_t ready_since_ms; /* made, or recovered, at this time; 0: long ago */
    _Atomic uint32_t avoided_count;
    struct target_slot slots[]; /* slots[n] belongs to worker n */
};

struct target_identity {
    struct str host;
    struct str instance;
    struct str node;
    const struct sockaddr *address; /* with the port set; AF_INET or AF_INET6 */
};

/* Copies all. The caller owns the first reference. 0 or UV_ENOMEM. */
int target_state_create(const struct target_identity *identity, uint32_t worker_count,
                        struct target_state **ret);
struct target_state *target_state_ref(struct target_state *target);
void target_state_unref(struct target_state *target); /* NULL is fine */

/* Whether it is what a static target of this host and port became: by name, or by an IPv6 address
 * in whatever spelling. A discovered one is not. */
bool target_state_is_at(const struct target_state *target, struct str host, uint16_t port);

static inline bool target_state_is_usable(const struct target_state *target)
{
    return !(atomic_load_explicit(&target->health, memory_order_relaxed) & TARGET_OUT_ANY);
}

#endif
