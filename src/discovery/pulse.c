#include "discovery/pulse.h"

#include <time.h>

#include "base/log.h"

#define BEAT_MS 500
#define STALL_MS 1000  /* a shorter one is what a busy machine does */
#define ASLEEP_MS 1000 /* the two clocks are not read at the same instant */
#define NS_PER_MS 1000000u

static uint64_t read_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t suspended_ns(void)
{
    uint64_t awake_ns = read_ns(CLOCK_MONOTONIC), all_ns = read_ns(CLOCK_BOOTTIME);
    return all_ns > awake_ns ? all_ns - awake_ns : 0;
}

static void look_for_stall(struct pulse *pulse)
{
    uint64_t now_ns = read_ns(CLOCK_MONOTONIC);
    uint64_t gap_ms = (now_ns - pulse->beaten_ns) / NS_PER_MS;
    pulse->beaten_ns = now_ns;
    if (gap_ms < BEAT_MS + STALL_MS)
        return;
    pulse->stall_count++;
    if (gap_ms - BEAT_MS > pulse->longest_stall_ms)
        pulse->longest_stall_ms = gap_ms - BEAT_MS;
    log_warn("control was blocked", LOG_INT("milliseconds", gap_ms - BEAT_MS),
             LOG_CSTR("effect", "changes were late; traffic went on"));
}

static void look_for_suspension(struct pulse *pulse)
{
    uint64_t asleep_ns = suspended_ns(), before_ns = pulse->suspended_ns;
    pulse->suspended_ns = asleep_ns;
    if (asleep_ns < before_ns + (uint64_t)ASLEEP_MS * NS_PER_MS)
        return;
    log_notice("the machine was suspended",
               LOG_INT("seconds", (asleep_ns - before_ns) / 1000000000u));
    pulse->on_resume(pulse->arg);
}

static void on_beat(uv_timer_t *timer)
{
    /* The timer's data is for who closes it. */
    struct pulse *pulse = (struct pulse *)(void *)timer;
    look_for_stall(pulse);
    look_for_suspension(pulse);
}

void pulse_start(struct pulse *pulse, uv_loop_t *loop, void (*on_resume)(void *arg), void *arg)
{
    *pulse = (struct pulse){.on_resume = on_resume, .arg = arg};
    pulse->beaten_ns = read_ns(CLOCK_MONOTONIC);
    pulse->suspended_ns = suspended_ns();
    uv_timer_init(loop, &pulse->timer);
    pulse->timer.data = arg;
    uv_timer_start(&pulse->timer, on_beat, BEAT_MS, BEAT_MS);
}

void pulse_close(struct pulse *pulse, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&pulse->timer, closed);
}
