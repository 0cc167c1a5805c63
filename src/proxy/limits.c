#include "proxy/limits.h"

#define ONE_RETRY 1000 /* the budget is kept in thousandths */

static uint32_t add_up_to(uint32_t sum, uint64_t more, uint32_t most)
{
    return more > most - sum ? most : sum + (uint32_t)more;
}

static void refill(struct upstream_slot *slot, uint64_t now_ms)
{
    uint64_t tries = slot->first_tries - slot->budget_tries;
    uint64_t elapsed_ms = now_ms - slot->budget_ms;
    slot->budget_tries = slot->first_tries;
    slot->budget_ms = now_ms;
    slot->budget_shared =
        add_up_to(slot->budget_shared, tries * LIMITS_RETRY_PERCENT * ONE_RETRY / 100,
                  LIMITS_SAVED_RETRIES * ONE_RETRY);
    slot->budget_floor = add_up_to(slot->budget_floor, elapsed_ms * LIMITS_RETRIES_PER_S,
                                   LIMITS_RETRIES_PER_S * ONE_RETRY);
}

bool limits_take_retry(struct upstream_slot *slot, uint64_t now_ms)
{
    refill(slot, now_ms);
    uint32_t *budget =
        slot->budget_shared >= ONE_RETRY ? &slot->budget_shared : &slot->budget_floor;
    if (*budget < ONE_RETRY)
        return false;
    *budget -= ONE_RETRY;
    return true;
}

uint64_t limits_total_ms(const struct service *service)
{
    uint64_t sum = (uint64_t)service->connect_timeout_ms + service->write_timeout_ms +
                   service->read_timeout_ms;
    return sum > LIMITS_LEAST_TOTAL_MS ? sum : LIMITS_LEAST_TOTAL_MS;
}
