/* consul_watch_state.h - all that a watch knows. For its own parts only: consul_watch.c opens,
 * closes and hears of answers, consul_watch_read.c asks, consul_watch_trouble.c deals with what
 * goes wrong, consul_watch_verdict.c with what goes right.
 *
 * Thread: the control loop. Memory: consul_watch.c's. */
#ifndef DISCOVERY_CONSUL_WATCH_STATE_H
#define DISCOVERY_CONSUL_WATCH_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "discovery/backoff.h"
#include "discovery/consul.h"
#include "discovery/consul_bell.h"
#include "discovery/consul_head.h"
#include "discovery/consul_parse.h"
#include "discovery/flaps.h"
#include "discovery/source.h"

#define CONSUL_ERROR_BODY_BYTES 4096

/* One query is under way at any time, or about to be sent:
 *
 *   open --> WAITING -- delay over -------> READING
 *               ^  ^                         |   |
 *               |  `-- answer or bad answer -'   | agent not reached
 *               |                                v
 *               `--- the agent is back ------- PARKED          any --> CLOSED
 *
 * Where it is crowded (consul_watch_follow.h), a watch may be LISTENING in place of a query that
 * blocks: an answer leads to it, and a bell back to a read.
 *
 * The index tells Consul what we know; it is forgotten (and the next read returns at once) after
 * every error and when it goes back, since whoever answers then may not be who gave it. */
enum watch_phase { WATCH_WAITING = 0, WATCH_READING, WATCH_PARKED, WATCH_LISTENING, WATCH_CLOSED };

/* What a read asks for. */
enum read_kind {
    READ_FOLLOW = 0, /* any server's view; with an index it blocks */
    READ_FRESH,      /* the leader's view: the server that answered lags */
    READ_CONFIRM,    /* a quorum's view: much would be taken away */
    READ_AGE,        /* of all services, for its index alone: did Consul's state go back? */
};

struct consul_watch {
    struct source source; /* first: a source is freed by its address */
    struct consul *consul;
    struct consul_asker asker;
    struct curl_transfer transfer;
    char error_text[CURL_ERROR_SIZE];
    uv_timer_t timer;
    uv_timer_t damp_timer; /* when a flapping instance may come back */
    unsigned open_handles;
    enum watch_phase phase;
    struct known_entries known;
    struct consul_parser parser; /* of the answer that is coming in */
    size_t received_bytes;       /* of its body */
    struct buf error_body;       /* what came in place of an answer, cut */
    struct consul_head head;
    bool is_cached;          /* reads that follow may be answered from the agent's cache */
    struct consul_view view; /* its strings are in the arena */
    struct arena arena;
    char *path;     /* owned; up to and with the '?' and the constant arguments */
    char *age_path; /* owned; the same, for READ_AGE */

    struct bell_member member;
    struct list seat;    /* among those with a connection of their own, where it is crowded */
    bool takes_turns;    /* connections are shared by short queries */
    bool is_rung;        /* no leader's answer has been asked for since the last ring, or ever */
    uint64_t changed_ms; /* when an answer last brought news; 0: never */

    uint64_t index;               /* 0: none, the next read returns at once */
    uint64_t asked_index;         /* of the read under way */
    uint64_t known_index;         /* of the last answer that was believed in whole */
    enum read_kind kind;          /* of the read under way, or the next one */
    unsigned reads_without_index; /* answers that had none, in a row */

    struct backoff backoff;
    struct token_bucket bucket;
    uint64_t answered_ms;
    bool has_news;      /* the last answer had */
    unsigned idle_run;  /* answers without news in a row */
    int failing_status; /* what has been logged: an HTTP status, -1 for garbage, 0: all is well */

    uint64_t grace_until_ms;
    uint64_t held_ms;                /* since when it is holding */
    struct discovered_list *pending; /* owned; the removal that is to be confirmed; or NULL */
    uint64_t pending_index;
    struct flaps flaps;
    uint64_t audit_ms;              /* when the next is due */
    uint64_t audited_index;         /* which the read under way checks; 0: it is no audit */
    uint32_t missed_count;          /* changes that only audits have shown */
    uint32_t bad_count;             /* entries of the last answer that were left out */
    uint64_t bad_total;             /* of all answers */
    char bad_reason[96];            /* of the last such entry, whenever it was; empty: none yet */
    char bad_entry[104];            /* and which it was; UTF-8 */
    struct consul_skipped *skipped; /* owned: the first of bad_count; NULL: none */
    bool is_partial;                /* the last answer was not all there is */
    uint64_t wakeup_count;          /* answers, whatever they said */
    bool is_index_stale;            /* the read under way would have gone to who knows whom */
    bool was_sent;                  /* the read under way, by some connection */
    bool was_in_trouble;
    bool had_gap;    /* for a moment nobody followed it: it was in trouble if the agent was */
    bool was_blind;  /* the last answer was empty for want of a token */
    bool is_limited; /* the answer that is being taken may not show all, for want of rights */
    bool saw_all;    /* the last answer that was believed, and tells, showed all that there was */
    bool is_holding;
};

static inline uint64_t consul_watch_now(const struct consul_watch *watch)
{
    return uv_now(watch->timer.loop);
}

#endif
