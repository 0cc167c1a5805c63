#include "discovery/priorities.h"

#define ENOUGH_SRV_PERCENT 50
#define ENOUGH_NEAR_PERCENT 70 /* a zone that carries the load of another is soon down itself */

/* What came from Consul has one where it was asked for; otherwise all are alike. */
static bool has_priority(const struct endpoint_entry *entry)
{
    return entry->kind == SOURCE_DNS_SRV || entry->kind == SOURCE_CONSUL;
}

/* The lowest priority above `level` (-1: of all); -1: there is none. */
static int next_level(const struct endpoint_set *set, int level)
{
    int next = -1;
    for (uint32_t i = 0; i < set->count; i++) {
        int priority = set->entries[i].priority;
        if (has_priority(&set->entries[i]) && priority > level && (next < 0 || priority < next))
            next = priority;
    }
    return next;
}

static bool is_enough(const struct endpoint_set *set, int level)
{
    uint64_t all = 0, usable = 0, percent = ENOUGH_SRV_PERCENT;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct endpoint_entry *entry = &set->entries[i];
        if (!has_priority(entry) || entry->priority != level)
            continue;
        if (entry->kind == SOURCE_CONSUL)
            percent = ENOUGH_NEAR_PERCENT;
        all += entry->weight;
        usable += target_state_is_usable(entry->target) ? entry->weight : 0;
    }
    return usable > 0 && usable * 100 >= all * percent;
}

void priorities_apply(const struct endpoint_set *set, struct endpoint *items)
{
    int level = next_level(set, -1);
    while (level >= 0 && !is_enough(set, level)) {
        int next = next_level(set, level);
        if (next < 0)
            return; /* all are needed */
        level = next;
    }
    for (uint32_t i = 0; i < set->count; i++)
        if (has_priority(&set->entries[i]) && set->entries[i].priority > level) {
            items[i].stands_by = items[i].weight > 0;
            items[i].weight = 0;
        }
}
