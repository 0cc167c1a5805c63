#include "health/passive.h"

#include "health/board.h"

#define ROW_SHIFT(kind) ((unsigned)(kind)*8)
#define ROW_MASK 0xffu
#define SUCCESS_ROW (ROW_MASK << ROW_SHIFT(HEALTH_SUCCESS))

static struct passive_news nothing(void)
{
    return (struct passive_news){.turn = PASSIVE_NO_TURN};
}

/* Counts one more of a kind. True for the one caller whose count filled the row; all rows then
 * begin anew. */
static bool fills_row(struct target_state *target, enum health_result kind, uint8_t limit)
{
    uint32_t other_side = kind == HEALTH_SUCCESS ? ~SUCCESS_ROW : SUCCESS_ROW;
    uint32_t before = atomic_load_explicit(&target->rows, memory_order_relaxed), after;
    bool is_full;
    do {
        uint32_t count = (before >> ROW_SHIFT(kind) & ROW_MASK) + 1;
        is_full = count >= limit;
        after = (before & ~other_side & ~(ROW_MASK << ROW_SHIFT(kind))) | count << ROW_SHIFT(kind);
        if (is_full)
            after = 0;
    } while (!atomic_compare_exchange_weak_explicit(&target->rows, &before, after,
                                                    memory_order_relaxed, memory_order_relaxed));
    return is_full;
}

/* Ends the rows of the other side; the healthy target's way through here is the load alone. */
static void end_rows(struct target_state *target, uint32_t ended)
{
    if (atomic_load_explicit(&target->rows, memory_order_relaxed) & ended)
        atomic_fetch_and_explicit(&target->rows, ~ended, memory_order_relaxed);
}

static bool is_out(const struct target_state *target)
{
    return atomic_load_explicit(&target->health, memory_order_relaxed) & TARGET_OUT_PASSIVE;
}

static struct passive_news count_failure(const struct health_rules *rules,
                                         struct target_state *target, enum health_result kind,
                                         uint16_t status)
{
    uint8_t limit = rules ? rules->passive.in_a_row[kind] : 0;
    if (limit == 0)
        return nothing();
    if (is_out(target)) {
        end_rows(target, SUCCESS_ROW);
        return nothing();
    }
    if (!fills_row(target, kind, limit) ||
        !board_set(target, TARGET_OUT_PASSIVE, TARGET_OUT_PASSIVE))
        return nothing();
    return (struct passive_news){PASSIVE_OUT, kind, status, limit};
}

static struct passive_news count_success(const struct health_rules *rules,
                                         struct target_state *target, uint16_t status)
{
    end_rows(target, ~SUCCESS_ROW);
    uint8_t limit = rules->passive.in_a_row[HEALTH_SUCCESS];
    if (limit == 0 || !is_out(target) || !fills_row(target, HEALTH_SUCCESS, limit) ||
        !board_set(target, TARGET_OUT_PASSIVE, 0))
        return nothing();
    return (struct passive_news){PASSIVE_BACK, HEALTH_SUCCESS, status, limit};
}

struct passive_news passive_answered(const struct health_rules *rules, struct target_state *target,
                                     uint16_t status)
{
    if (status >= 500 && board_disprove(target))
        return (struct passive_news){PASSIVE_DISPROVED, HEALTH_HTTP_FAILURE, status, 1};
    if (!rules)
        return nothing();
    switch (health_result_of_status(&rules->passive, status)) {
    case HEALTH_SUCCESS:
        return count_success(rules, target, status);
    case HEALTH_HTTP_FAILURE:
        return count_failure(rules, target, HEALTH_HTTP_FAILURE, status);
    default:
        return nothing();
    }
}

struct passive_news passive_connected(const struct health_rules *rules, struct target_state *target)
{
    return rules ? count_success(rules, target, 0) : nothing();
}

struct passive_news passive_failed(const struct health_rules *rules, struct target_state *target,
                                   enum health_result failure)
{
    if (board_disprove(target))
        return (struct passive_news){PASSIVE_DISPROVED, failure, 0, 1};
    return count_failure(rules, target, failure, 0);
}

void passive_forget(struct target_state *target)
{
    atomic_store_explicit(&target->rows, 0, memory_order_relaxed);
}
