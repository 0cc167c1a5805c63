/* wall_clock.h - the time of day as headers and logs write it, worked out once a second.
 *
 * Thread: one owner. Memory: embedded. */
#ifndef PROXY_WALL_CLOCK_H
#define PROXY_WALL_CLOCK_H

#include <stdint.h>

#include "base/str.h"

#define WALL_CLOCK_HTTP_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7) */
#define WALL_CLOCK_LOG_BYTES 26  /* "06/Nov/1994:08:49:37 +0000" */

#define WALL_CLOCK_ISO_BYTES 25 /* "1994-11-06T08:49:37+00:00" */

struct wall_clock {
    uint64_t next_ms; /* loop time at which the second changes */
    char http_text[WALL_CLOCK_HTTP_BYTES + 1];
    char log_text[WALL_CLOCK_LOG_BYTES + 1];
    char iso_text[WALL_CLOCK_ISO_BYTES + 1];
};

/* A zeroed clock is ready. Texts are right to the second as of the loop's now. */
void wall_clock_refresh(struct wall_clock *clock, uint64_t now_ms);

static inline void wall_clock_turn(struct wall_clock *clock, uint64_t now_ms)
{
    if (now_ms >= clock->next_ms)
        wall_clock_refresh(clock, now_ms);
}

#endif
