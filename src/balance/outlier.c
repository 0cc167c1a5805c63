#include "balance/outlier.h"

/* Slow is more than four times what is typical, and more than this on top. */
#define SLOW_FACTOR 4
#define SLOW_MARGIN_MS 100

/* Moving averages over about so many answers; the typical time is kept in 1/16 ms, the share of bad
 * answers in 1/OUTLIER_SHARE_UNIT. */
#define AVERAGE_OVER 64
#define TYPICAL_UNIT 16
#define MAX_TYPICAL_MS 600000

uint64_t outlier_slow_ms(const struct upstream_slot *slot)
{
    return (uint64_t)SLOW_FACTOR * slot->typical / TYPICAL_UNIT + SLOW_MARGIN_MS;
}

static uint32_t approach(uint32_t average, uint32_t sample)
{
    int64_t distance = (int64_t)sample - average;
    /* Rounded away from 0: a small distance is closed too. */
    int64_t step = (distance + (distance > 0 ? AVERAGE_OVER - 1 : 1 - AVERAGE_OVER)) / AVERAGE_OVER;
    return (uint32_t)(average + step);
}

static void learn_typical(struct upstream_slot *slot, uint64_t waited_ms)
{
    if (slot->typical == 0) {
        slot->typical = (uint32_t)((waited_ms < MAX_TYPICAL_MS ? waited_ms : MAX_TYPICAL_MS) + 1) *
                        TYPICAL_UNIT;
        return;
    }
    uint64_t most = 2 * outlier_slow_ms(slot); /* a lone time-out is not to move what all take */
    if (most > MAX_TYPICAL_MS)
        most = MAX_TYPICAL_MS;
    uint64_t sample = (waited_ms < most ? waited_ms : most) + 1;
    slot->typical = approach(slot->typical, (uint32_t)sample * TYPICAL_UNIT);
}

/* How many in a row are no accident where bad answers have that share: p^n is below 1 in 10,000. */
static uint32_t telling_row(uint32_t bad_share)
{
    static const struct {
        uint32_t below_percent;
        uint32_t row;
    } table[] = {{5, 3}, {10, 4}, {25, 7}, {50, 13}};
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if ((uint64_t)bad_share * 100 < (uint64_t)table[i].below_percent * OUTLIER_SHARE_UNIT)
            return table[i].row;
    return UINT32_MAX; /* bad answers are the rule here */
}

static void avoid(struct target_state *target, uint64_t now_ms)
{
    uint32_t before = atomic_fetch_add_explicit(&target->avoided_count, 1, memory_order_relaxed);
    uint64_t pause_ms = OUTLIER_MAX_PAUSE_MS;
    if (before < 8 && OUTLIER_FIRST_PAUSE_MS << before < OUTLIER_MAX_PAUSE_MS)
        pause_ms = OUTLIER_FIRST_PAUSE_MS << before;
    atomic_store_explicit(&target->avoided_until_ms, now_ms + pause_ms, memory_order_relaxed);
}

static void note_bad(const struct upstream_slot *slot, struct target_state *target, uint64_t now_ms)
{
    uint32_t row = 1 + atomic_fetch_add_explicit(&target->bad_row, 1, memory_order_relaxed);
    if (row < telling_row(slot->bad_share))
        return;
    /* What was under way when it was found out adds nothing. */
    if (atomic_load_explicit(&target->avoided_until_ms, memory_order_relaxed) <= now_ms)
        avoid(target, now_ms);
}

static void forgive(struct target_state *target)
{
    atomic_store_explicit(&target->bad_row, 0, memory_order_relaxed);
    atomic_store_explicit(&target->avoided_count, 0, memory_order_relaxed);
    atomic_store_explicit(&target->avoided_until_ms, 0, memory_order_relaxed);
}

void outlier_report(struct upstream_slot *slot, struct target_state *target,
                    const struct balancer_report *report)
{
    bool is_slow = slot->typical > 0 && report->waited_ms > outlier_slow_ms(slot);
    bool is_bad = is_slow || report->result == BALANCER_BAD;
    if (report->result == BALANCER_UNTOLD && !is_slow)
        return;
    if (report->result != BALANCER_BAD || is_slow) /* failing fast says nothing of the time */
        learn_typical(slot, report->waited_ms);
    slot->bad_share = approach(slot->bad_share, is_bad ? OUTLIER_SHARE_UNIT : 0);
    if (is_bad)
        note_bad(slot, target, report->now_ms);
    else if (__builtin_expect(atomic_load_explicit(&target->bad_row, memory_order_relaxed) != 0, 0))
        forgive(target);
}
