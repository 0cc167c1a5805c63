/* loop.h - waiting on a libuv loop for something to become true. */
#ifndef UNIT_LOOP_H
#define UNIT_LOOP_H

#include <stdbool.h>

#include <uv.h>

#define LOOP_PATIENCE_MS 20000 /* for a machine that is busy; nothing is judged by it */

static inline void loop_on_patience_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Turns the loop until `condition` holds; false when it never does. */
#define LOOP_UNTIL(loop, condition)                                                                \
    ({                                                                                             \
        bool over_ = false;                                                                        \
        uv_timer_t patience_;                                                                      \
        uv_timer_init((loop), &patience_);                                                         \
        patience_.data = &over_;                                                                   \
        uv_timer_start(&patience_, loop_on_patience_over, LOOP_PATIENCE_MS, 0);                    \
        while (!(condition) && !over_)                                                             \
            uv_run((loop), UV_RUN_ONCE);                                                           \
        bool holds_ = (condition);                                                                 \
        loop_close_now((loop), &patience_);                                                        \
        holds_;                                                                                    \
    })

static inline void loop_on_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

static inline void loop_close_now(uv_loop_t *loop, uv_timer_t *timer)
{
    bool closed = false;
    timer->data = &closed;
    uv_close((uv_handle_t *)timer, loop_on_closed);
    while (!closed)
        uv_run(loop, UV_RUN_NOWAIT);
}

/* Turns the loop for a while, to see that something does not happen. */
#define LOOP_FOR(loop, ms)                                                                         \
    do {                                                                                           \
        bool over_ = false;                                                                        \
        uv_timer_t timer_;                                                                         \
        uv_timer_init((loop), &timer_);                                                            \
        timer_.data = &over_;                                                                      \
        uv_timer_start(&timer_, loop_on_patience_over, (ms), 0);                                   \
        while (!over_)                                                                             \
            uv_run((loop), UV_RUN_ONCE);                                                           \
        loop_close_now((loop), &timer_);                                                           \
    } while (0)

#endif
