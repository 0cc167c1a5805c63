/* The table of health/board.h and docs/health.md, row by row. */
#include "health/board.h"

#include "health.h"

#define CONSUL TARGET_OUT_CONSUL
#define MAINTENANCE TARGET_OUT_MAINTENANCE
#define DISPROVED TARGET_DISPROVED
#define IN_PANIC TARGET_IN_PANIC

TEST(every_row_of_the_table)
{
    static const struct {
        uint32_t consul;
        bool is_panic, is_disproved;
        uint32_t word;
    } rows[] = {
        {0, false, false, 0},
        {0, false, true, 0},
        {0, true, false, 0},
        {0, true, true, 0},
        {CONSUL, false, false, CONSUL},
        {CONSUL, false, true, CONSUL | DISPROVED},
        {CONSUL, true, false, IN_PANIC},
        {CONSUL, true, true, CONSUL | DISPROVED},
        {MAINTENANCE, false, false, MAINTENANCE},
        {MAINTENANCE, false, true, MAINTENANCE},
        {MAINTENANCE, true, false, MAINTENANCE},
        {MAINTENANCE, true, true, MAINTENANCE},
    };
    static const uint32_t ours[] = {TARGET_OUT_PROBE, TARGET_OUT_PASSIVE, TARGET_OUT_MANUAL};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        /* With each of our own eight combinations, and whatever stood there of Consul's before. */
        for (unsigned set = 0; set < 8; set++) {
            uint32_t own = 0;
            for (unsigned bit = 0; bit < 3; bit++)
                own |= set >> bit & 1 ? ours[bit] : 0;
            for (unsigned old = 0; old < 8; old++) {
                uint32_t before = own | (rows[i].is_disproved ? DISPROVED : 0) |
                                  (old & 1 ? CONSUL : 0) | (old & 2 ? MAINTENANCE : 0) |
                                  (old & 4 ? IN_PANIC : 0);
                uint32_t after = board_word(before, rows[i].consul, rows[i].is_panic);
                assert_int_equal(after, own | rows[i].word);
                bool takes_traffic = !(after & TARGET_OUT_ANY);
                bool consul_lets = rows[i].consul == 0 || rows[i].word == IN_PANIC;
                assert_int_equal(takes_traffic, own == 0 && consul_lets);
            }
        }
    }
}

TEST(panic_begins_below_the_percentage)
{
    assert_false(board_is_panic(10, 0, 50));
    assert_false(board_is_panic(10, 5, 50)); /* half is left */
    assert_true(board_is_panic(10, 6, 50));
    assert_true(board_is_panic(1, 1, 50)); /* a pool of one too */
    assert_false(board_is_panic(2, 1, 50));
    assert_true(board_is_panic(3, 2, 50));
    assert_true(board_is_panic(2, 1, 51));
    assert_true(board_is_panic(10, 1, 100));
    assert_false(board_is_panic(10, 10, 0)); /* off */
    assert_false(board_is_panic(0, 0, 50));
}

TEST(only_what_panic_keeps_can_be_disproved)
{
    struct target_state *target = target_at("10.0.0.1", 80);
    assert_false(board_disprove(target));
    assert_true(board_hear_consul(target, CONSUL, true));
    assert_true(target_state_is_usable(target));
    assert_true(board_disprove(target));
    assert_false(target_state_is_usable(target));
    assert_false(board_disprove(target));
    assert_false(board_hear_consul(target, CONSUL, true)); /* it stays out while panic lasts */
    assert_true(board_hear_consul(target, 0, false));
    assert_int_equal(word_of(target), 0);
    target_state_unref(target);
}

TEST(who_recovers_is_as_good_as_new)
{
    struct target_state *target = target_at("10.0.0.2", 80);
    atomic_store(&target->ready_since_ms, 0);
    board_set(target, TARGET_OUT_PROBE, TARGET_OUT_PROBE);
    board_set(target, TARGET_OUT_MANUAL, TARGET_OUT_MANUAL);
    board_set(target, TARGET_OUT_PROBE, 0);
    assert_int_equal(atomic_load(&target->ready_since_ms), 0); /* still out */
    board_set(target, TARGET_OUT_MANUAL, 0);
    assert_int_not_equal(atomic_load(&target->ready_since_ms), 0);
    target_state_unref(target);
}

TEST(reasons_have_names)
{
    char text[96], tiny[8];
    assert_string_equal(board_reasons(0, text, sizeof(text)), "");
    assert_string_equal(board_reasons(CONSUL | TARGET_OUT_PROBE, text, sizeof(text)),
                        "consul, probe");
    assert_string_equal(board_reasons(IN_PANIC, text, sizeof(text)), "kept in panic");
    board_reasons(~0u, tiny, sizeof(tiny));
    assert_int_equal(strlen(tiny), 7);
}

RUN(T(every_row_of_the_table), T(panic_begins_below_the_percentage),
    T(only_what_panic_keeps_can_be_disproved), T(who_recovers_is_as_good_as_new),
    T(reasons_have_names))
