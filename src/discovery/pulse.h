/* pulse.h - notices when its loop was not run for a while, and when the machine was suspended.
 *
 * Time-outs run on a clock that stands still while the machine sleeps: after that every connection
 * may be dead and every answer old, and nobody was told.
 *
 * Thread: its loop's. Memory: embedded by its owner until closed. */
#ifndef DISCOVERY_PULSE_H
#define DISCOVERY_PULSE_H

#include <uv.h>

struct pulse {
    uv_timer_t timer;      /* first: a beat finds its pulse by it */
    uint64_t beaten_ns;    /* when it beat last */
    uint64_t suspended_ns; /* how long the machine has slept since it started */
    uint64_t stall_count, longest_stall_ms;
    void (*on_resume)(void *arg);
    void *arg;
};

/* on_resume is called after each suspension, on the loop. */
void pulse_start(struct pulse *pulse, uv_loop_t *loop, void (*on_resume)(void *arg), void *arg);
/* The callback gets the timer, whose data is `arg` of pulse_start. */
void pulse_close(struct pulse *pulse, uv_close_cb closed);

#endif
