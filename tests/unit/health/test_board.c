#include "unit/test.h"

#include <arpa/inet.h>

#include "health/board.h"

static struct target_state *target;

static int setup(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    const struct target_identity identity = {.address = (const struct sockaddr *)&address};
    return target_state_create(&identity, 1, &target);
}

static int teardown(void **state)
{
    (void)state;
    target_state_unref(target);
    return 0;
}

TEST(a_reason_takes_a_target_out_and_its_end_brings_it_back)
{
    assert_true(target_state_is_usable(target));
    assert_true(board_set(target, TARGET_OUT_CONSUL, TARGET_OUT_CONSUL));
    assert_false(target_state_is_usable(target));
    assert_true(board_set(target, TARGET_OUT_CONSUL, 0));
    assert_true(target_state_is_usable(target));
}

TEST(each_reason_holds_on_its_own)
{
    board_set(target, TARGET_OUT_PASSIVE, TARGET_OUT_PASSIVE);
    board_set(target, TARGET_OUT_CONSUL | TARGET_OUT_MAINTENANCE, TARGET_OUT_MAINTENANCE);
    assert_int_equal(target->health, TARGET_OUT_PASSIVE | TARGET_OUT_MAINTENANCE);
    board_set(target, TARGET_OUT_CONSUL | TARGET_OUT_MAINTENANCE, 0);
    assert_int_equal(target->health, TARGET_OUT_PASSIVE);
}

TEST(reasons_outside_the_mask_are_not_set)
{
    assert_false(board_set(target, TARGET_OUT_CONSUL, TARGET_OUT_PROBE));
    assert_int_equal(target->health, 0);
}

TEST(the_same_again_is_no_change)
{
    assert_false(board_set(target, TARGET_OUT_CONSUL, 0));
    board_set(target, TARGET_OUT_CONSUL, TARGET_OUT_CONSUL);
    assert_false(board_set(target, TARGET_OUT_CONSUL, TARGET_OUT_CONSUL));
}

#define TL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TL(a_reason_takes_a_target_out_and_its_end_brings_it_back), TL(each_reason_holds_on_its_own),
    TL(reasons_outside_the_mask_are_not_set), TL(the_same_again_is_no_change))
