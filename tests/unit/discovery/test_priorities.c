#include "unit/test.h"

#include <stdlib.h>

#include "discovery/priorities.h"
#include "model/target_state.h"

#define TARGETS_MAX 4

static struct endpoint_entry entries[TARGETS_MAX];
static struct endpoint items[TARGETS_MAX];

/* Each is "priority weight usable?". Returns who stands by, as "-x--". */
static const char *applied(enum source_kind kind, uint32_t count, const uint32_t rows[][3])
{
    static char text[TARGETS_MAX + 1];
    struct endpoint_set set = {.entries = entries, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        struct target_state *target = calloc(1, sizeof(*target));
        assert_non_null(target);
        atomic_init(&target->health, rows[i][2] ? 0 : TARGET_OUT_ANY);
        entries[i] = (struct endpoint_entry){
            .target = target, .kind = kind, .priority = (uint16_t)rows[i][0], .weight = rows[i][1]};
        items[i] = (struct endpoint){.target = target, .weight = rows[i][1]};
    }
    priorities_apply(&set, items);
    for (uint32_t i = 0; i < count; i++) {
        text[i] = items[i].stands_by ? 'x' : '-';
        assert_int_equal(items[i].weight, items[i].stands_by ? 0 : rows[i][1]);
        free(entries[i].target);
    }
    text[count] = '\0';
    return text;
}

#define EXPECT(kind, wanted, ...)                                                                  \
    do {                                                                                           \
        const uint32_t rows_[][3] = {__VA_ARGS__};                                                 \
        assert_string_equal(applied((kind), sizeof(rows_) / sizeof(*rows_), rows_), (wanted));     \
    } while (0)

TEST(the_lowest_priority_takes_all_while_half_of_it_can)
{
    EXPECT(SOURCE_DNS_SRV, "--x", {1, 1, 1}, {1, 1, 1}, {2, 1, 1});
    EXPECT(SOURCE_DNS_SRV, "--x", {1, 1, 1}, {1, 1, 0}, {2, 1, 1});
    EXPECT(SOURCE_DNS_SRV, "---", {1, 2, 1}, {1, 3, 0}, {2, 1, 1});
    EXPECT(SOURCE_DNS_SRV, "---", {1, 1, 0}, {1, 1, 0}, {2, 1, 1});
}

TEST(near_instances_take_all_while_seven_in_ten_can)
{
    EXPECT(SOURCE_CONSUL, "--x", {0, 7, 1}, {0, 3, 0}, {1, 1, 1});
    EXPECT(SOURCE_CONSUL, "---", {0, 69, 1}, {0, 31, 0}, {1, 1, 1});
}

TEST(the_next_level_may_be_enough)
{
    EXPECT(SOURCE_CONSUL, "--x", {0, 1, 0}, {1, 1, 1}, {2, 1, 1});
    EXPECT(SOURCE_CONSUL, "---", {0, 1, 0}, {1, 1, 0}, {2, 1, 1});
}

TEST(one_without_weight_stands_not_by)
{
    EXPECT(SOURCE_CONSUL, "-x-", {0, 1, 1}, {1, 1, 1}, {1, 0, 1});
    EXPECT(SOURCE_CONSUL, "--", {0, 0, 1}, {1, 1, 1}); /* it can carry nothing */
}

TEST(alike_none_stands_by_and_static_targets_know_no_levels)
{
    EXPECT(SOURCE_CONSUL, "---", {0, 1, 1}, {0, 1, 0}, {0, 1, 0});
    EXPECT(SOURCE_STATIC, "--", {0, 1, 1}, {5, 1, 1});
}

RUN(T(the_lowest_priority_takes_all_while_half_of_it_can),
    T(near_instances_take_all_while_seven_in_ten_can), T(the_next_level_may_be_enough),
    T(one_without_weight_stands_not_by), T(alike_none_stands_by_and_static_targets_know_no_levels))
