#include "health/board.h"

#include <stdio.h>

#include <uv.h> /* its clock only */

#include "base/log.h"

#define EVIDENCE                                                                                   \
    (TARGET_OUT_ANY &                                                                              \
     ~(uint32_t)(TARGET_OUT_CONSUL | TARGET_OUT_MAINTENANCE)) /* ours, not Consul's */

uint32_t board_word(uint32_t before, uint32_t consul, bool is_panic)
{
    uint32_t ours = before & EVIDENCE;
    if (consul & TARGET_OUT_MAINTENANCE)
        return ours | TARGET_OUT_MAINTENANCE;
    if (!(consul & TARGET_OUT_CONSUL))
        return ours;
    if (is_panic && !(before & TARGET_DISPROVED))
        return ours | TARGET_IN_PANIC;
    return ours | TARGET_OUT_CONSUL | (before & TARGET_DISPROVED);
}

bool board_is_panic(uint32_t known, uint32_t critical, unsigned percent)
{
    return critical > 0 && (uint64_t)(known - critical) * 100 < (uint64_t)percent * known;
}

/* Who comes back starts slowly where the upstream says so (balance/slow_start.h). */
static void note_recovery(struct target_state *target, uint32_t before, uint32_t after)
{
    if ((before & TARGET_OUT_ANY) && !(after & TARGET_OUT_ANY))
        atomic_store_explicit(&target->ready_since_ms, uv_hrtime() / 1000000, memory_order_relaxed);
}

bool board_hear_consul(struct target_state *target, uint32_t consul, bool is_panic)
{
    uint32_t before = atomic_load_explicit(&target->health, memory_order_relaxed), after;
    do {
        after = board_word(before, consul, is_panic);
    } while (after != before &&
             !atomic_compare_exchange_weak_explicit(&target->health, &before, after,
                                                    memory_order_relaxed, memory_order_relaxed));
    note_recovery(target, before, after);
    return after != before;
}

bool board_set(struct target_state *target, uint32_t mask, uint32_t reasons)
{
    uint32_t before = atomic_load_explicit(&target->health, memory_order_relaxed), after;
    do {
        after = (before & ~mask) | (reasons & mask);
    } while (after != before &&
             !atomic_compare_exchange_weak_explicit(&target->health, &before, after,
                                                    memory_order_relaxed, memory_order_relaxed));
    note_recovery(target, before, after);
    return after != before;
}

bool board_disprove(struct target_state *target)
{
    uint32_t before = atomic_load_explicit(&target->health, memory_order_relaxed), after;
    do {
        if (!(before & TARGET_IN_PANIC))
            return false;
        after = (before & ~(uint32_t)TARGET_IN_PANIC) | TARGET_OUT_CONSUL | TARGET_DISPROVED;
    } while (!atomic_compare_exchange_weak_explicit(&target->health, &before, after,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

const char *board_reasons(uint32_t word, char *text, size_t size)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } reasons[] = {
        {TARGET_OUT_CONSUL, "consul"}, {TARGET_OUT_MAINTENANCE, "maintenance"},
        {TARGET_OUT_PROBE, "probe"},   {TARGET_OUT_PASSIVE, "passive"},
        {TARGET_OUT_MANUAL, "manual"}, {TARGET_IN_PANIC, "kept in panic"},
    };
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (word & reasons[i].bit && len < size)
            len +=
                (size_t)snprintf(text + len, size - len, "%s%s", len ? ", " : "", reasons[i].name);
    return text;
}

void board_log(enum board_event event, const char *upstream, const struct target_state *target,
               uint32_t weight, struct str why)
{
    static const char *const messages[] = {"target joined", "target left", "target changed"};
    struct log_field fields[7];
    int count = 0;
    fields[count++] = LOG_CSTR("upstream", upstream);
    fields[count++] = LOG_CSTR("target", target->name);
    if (target->instance[0])
        fields[count++] = LOG_CSTR("instance", target->instance);
    if (target->node[0])
        fields[count++] = LOG_CSTR("node", target->node);
    if (event != BOARD_LEFT) {
        fields[count++] = LOG_BOOL("takes_traffic", weight > 0 && target_state_is_usable(target));
        fields[count++] = LOG_INT("weight", weight);
    }
    fields[count++] = LOG_STR("why", why);
    if (log_is_on(LOG_INFO))
        log_write(LOG_INFO, messages[event], fields, count);
}
