/* retry.h - whether a request whose try failed may be sent to another target.
 *
 * Kong's rule: a method that is not idempotent is tried again only when the upstream cannot have
 * seen it. One more of ours: a kept connection that was closed just when it was used again is no
 * fault of its target, and not counted as a try.
 *
 * Thread: any. Memory: none. */
#ifndef PROXY_RETRY_H
#define PROXY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_MAX_TRIES 16 /* whatever a service asks for */

/* How a try failed. */
enum try_failure {
    TRY_CONNECT_FAILED = 0,
    TRY_CONNECT_TIMEOUT,
    TRY_RESET, /* writing failed, or the upstream closed before its response was whole */
    TRY_SEND_TIMEOUT,
    TRY_READ_TIMEOUT,
    TRY_BAD_RESPONSE,
};
#define TRY_FAILURE_COUNT (TRY_BAD_RESPONSE + 1)

enum retry_verdict {
    RETRY_NO = 0,
    RETRY_ELSEWHERE, /* at a target that was not tried yet */
    RETRY_AFRESH,    /* at any target, the same too, but on a new connection */
};

/* What a try that failed tells. */
struct retry_case {
    enum try_failure failure;
    uint8_t method;     /* llhttp's */
    bool was_sent;      /* bytes of the request may have reached the target */
    bool is_replayable; /* all content so far is at hand */
    bool is_reused;     /* the connection had carried requests before */
    bool has_news;      /* bytes of a response came, none of which the client has seen */
    bool was_refused;   /* the target says that it has not looked at the request */
    bool needs_fresh;   /* RETRY_AFRESH was the verdict before */
    bool is_late;       /* the request's total time is over (proxy/limits.h) */
    unsigned try_count; /* before this one */
    uint32_t retries;   /* of the service */
};

enum retry_verdict retry_judge(const struct retry_case *facts);
bool retry_is_idempotent(uint8_t method);
/* Whether repeating costs: the try may have reached its target, which others like it would burden.
 */
bool retry_costs(enum try_failure failure);
/* What a client is told when there is no other try: 502 or 504. */
uint16_t retry_status(enum try_failure failure);
const char *retry_failure_name(enum try_failure failure);

#endif
