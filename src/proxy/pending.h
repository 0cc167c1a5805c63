/* pending.h - requests, and streams, that wait in the order they came for a target below its
 * limits.
 *
 * An upstream may say how many of them, and for how long (limits.max_pending, pending_timeout); who
 * finds no room, or waits in vain, is answered with 503. Each worker has a queue of its own for
 * each such upstream. It is gone through when a target is left, when a connection ends and when the
 * endpoints change, whichever worker saw that. A request that is repeated doesn't wait: it was
 * served late enough, and so does a stream that has tried a target. Streams wait behind the
 * requests of the same upstream and worker, should it have both.
 *
 * Thread: the worker's, but for pending_call_waiters. Memory: a queue lives while somebody waits in
 * it. */
#ifndef PROXY_PENDING_H
#define PROXY_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct exchange;
struct upstream_state;
struct worker;

/* Whether the exchange may pick a target now: nobody of its worker has waited for longer. */
bool pending_has_turn(const struct exchange *x);

enum pending_verdict {
    PENDING_NEW,      /* it waits from now on; a target that was left meanwhile is worth a look */
    PENDING_WAITS,    /* it goes on waiting */
    PENDING_NO_QUEUE, /* the upstream has none, or not for this request */
    PENDING_NO_ROOM,  /* too many wait */
    PENDING_LATE,     /* it has waited for as long as it may */
};

/* All targets are at their limit, or it is not the exchange's turn. In the last three cases it does
 * not wait (any more). */
enum pending_verdict pending_wait(struct exchange *x);
/* Whether it is the first that waits. */
bool pending_is_alone(const struct exchange *x);
/* It does not wait any more; it need not have. */
void pending_leave(struct exchange *x);

/* A stream's place in the queue; embedded, zeroed at first. */
struct pending_place {
    struct list link;
    /* It may pick now, and stays where it is if there is still nothing for it. May end its owner.
     */
    void (*look_again)(struct pending_place *place);
    bool is_taken;
    bool is_called;
};

/* The same for streams of `worker`. It waits for *ret_wait_ms, set with PENDING_NEW: its clock is
 * its owner's. */
bool pending_place_has_turn(const struct worker *worker, const struct upstream_state *upstream,
                            const struct pending_place *place);
enum pending_verdict pending_place_take(struct worker *worker, struct upstream_state *upstream,
                                        struct pending_place *place, uint32_t *ret_wait_ms);
bool pending_place_is_alone(const struct worker *worker, const struct upstream_state *upstream);
/* It does not wait any more; it need not have. */
void pending_place_leave(struct worker *worker, struct upstream_state *upstream,
                         struct pending_place *place);

/* A target of the upstream may have room: wakes the workers that have requests waiting for it. On
 * any worker's thread. Costs a load where the upstream has no limits. */
void pending_call_waiters(struct upstream_state *upstream);
/* Whether requests wait at other workers, and none at this one. */
bool pending_has_others(const struct worker *worker, const struct upstream_state *upstream);

/* Lets those that wait look again. */
void pending_serve(struct worker *worker);

#endif
