#include "proxy/retry.h"

#include <llhttp.h>

bool retry_is_idempotent(uint8_t method)
{
    return method != HTTP_POST && method != HTTP_PATCH && method != HTTP_LOCK;
}

enum retry_verdict retry_judge(const struct retry_case *facts)
{
    if (facts->failure == TRY_BAD_RESPONSE) /* it would not be better for another request */
        return RETRY_NO;
    if (!facts->is_replayable)
        return RETRY_NO;
    if (facts->was_refused && !facts->needs_fresh)
        return RETRY_AFRESH;
    if (facts->was_sent && !facts->was_refused && !retry_is_idempotent(facts->method))
        return RETRY_NO;
    if (facts->failure == TRY_RESET && facts->is_reused && !facts->has_news && !facts->needs_fresh)
        return RETRY_AFRESH;
    if (facts->is_late)
        return RETRY_NO;
    if (facts->try_count >= facts->retries || facts->try_count + 1 >= RETRY_MAX_TRIES)
        return RETRY_NO;
    return RETRY_ELSEWHERE;
}

bool retry_costs(enum try_failure failure)
{
    return failure != TRY_CONNECT_FAILED;
}

uint16_t retry_status(enum try_failure failure)
{
    switch (failure) {
    case TRY_CONNECT_TIMEOUT:
    case TRY_SEND_TIMEOUT:
    case TRY_READ_TIMEOUT:
        return 504;
    case TRY_CONNECT_FAILED:
    case TRY_RESET:
    case TRY_BAD_RESPONSE:
        break;
    }
    return 502;
}

const char *retry_failure_name(enum try_failure failure)
{
    static const char *const names[] = {
        [TRY_CONNECT_FAILED] = "connect failed", [TRY_CONNECT_TIMEOUT] = "connect timed out",
        [TRY_RESET] = "connection lost",         [TRY_SEND_TIMEOUT] = "write timed out",
        [TRY_READ_TIMEOUT] = "read timed out",   [TRY_BAD_RESPONSE] = "bad response",
    };
    return names[failure];
}
