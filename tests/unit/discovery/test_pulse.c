#include "unit/test.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "discovery/pulse.h"

/* The clocks of this program: the real ones, put forward. libuv reads them here too. */
static _Atomic long awake_s, asleep_s;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, ret);
    ret->tv_sec += awake_s;
    if (clock == CLOCK_BOOTTIME)
        ret->tv_sec += asleep_s;
    return rc;
}

static struct pulse pulse;
static uv_loop_t loop;
static unsigned resumed;
static uint64_t beaten_ns;

static void on_resume(void *arg)
{
    assert_ptr_equal(arg, &resumed);
    resumed++;
}

static int setup(void **state)
{
    (void)state;
    resumed = 0;
    uv_loop_init(&loop);
    pulse_start(&pulse, &loop, on_resume, &resumed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pulse_close(&pulse, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static void run_until_it_beats(void)
{
    beaten_ns = pulse.beaten_ns;
    while (pulse.beaten_ns == beaten_ns)
        uv_run(&loop, UV_RUN_ONCE);
}

TEST(a_loop_that_did_not_run_for_long_is_noticed)
{
    awake_s += 30;
    run_until_it_beats();
    assert_int_equal(pulse.stall_count, 1);
    assert_in_range(pulse.longest_stall_ms, 29000, 60000);
    assert_int_equal(resumed, 0);
}

TEST(the_longest_stall_is_kept)
{
    awake_s += 300;
    run_until_it_beats();
    awake_s += 30;
    run_until_it_beats();
    assert_in_range(pulse.stall_count, 2, 3);
    assert_in_range(pulse.longest_stall_ms, 299000, 329000);
}

TEST(a_machine_that_slept_is_noticed_once)
{
    asleep_s += 60;
    run_until_it_beats();
    assert_int_equal(resumed, 1);
    run_until_it_beats();
    assert_int_equal(resumed, 1);
    asleep_s += 60;
    run_until_it_beats();
    assert_int_equal(resumed, 2);
}

#define TS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TS(a_loop_that_did_not_run_for_long_is_noticed), TS(the_longest_stall_is_kept),
    TS(a_machine_that_slept_is_noticed_once))
