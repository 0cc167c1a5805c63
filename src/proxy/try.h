/* try.h - the steps of an exchange that ask one target: pick it, lease a connection, send, take the
 * response; and what is done when that fails.
 *
 * Thread: the worker's. Memory: the exchange's. */
#ifndef PROXY_TRY_H
#define PROXY_TRY_H

#include <stdbool.h>

#include "proxy/retry.h"
#include "proxy/step.h"

struct exchange;
struct target_state;
struct upstream_peer;
struct upstream_conn;
struct upstream_pool;

/* Waits, on worker->parked, for the first endpoints. */
enum step_result try_pick(struct exchange *x);
/* Whom a connection to the target has to be with: *ret is NULL where the service has no TLS. 0 or
 * UV_ENOMEM. */
int try_find_peer(struct exchange *x, struct target_state *target, struct upstream_peer **ret);

/* Waits for a connection. */
enum step_result try_lease(struct exchange *x);
enum step_result try_send(struct exchange *x);
/* Waits for the response. */
enum step_result try_respond(struct exchange *x);

/* Leaves the try, if there is one: its connection goes back to the pool, or is closed. */
void try_leave(struct exchange *x, bool is_reusable);

/* The same when the exchange's time is up. That a request which is all there got no head meanwhile
 * counts as a time-out of its target's. */
void try_leave_overdue(struct exchange *x);

/* Another connection, that the request was sent on, becomes the try's, in the place of the one just
 * left. The pool's use passes. */
void try_resume(struct exchange *x, struct upstream_pool *pool, struct upstream_conn *conn);

/* The try under way failed, which its step sees next; the first reason stays. `error` is a UV_E…,
 * or 0 and `reason` says it. */
void try_fail(struct exchange *x, enum try_failure failure, int error, const char *reason);

#endif
