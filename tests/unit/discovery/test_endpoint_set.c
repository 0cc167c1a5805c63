#include "unit/test.h"

#include <stdio.h>

#include "discovery/endpoint_set.h"
#include "net/ip.h"

static struct endpoint_set *set, *next;

static int teardown(void **state)
{
    (void)state;
    endpoint_set_destroy(set);
    endpoint_set_destroy(next);
    set = next = NULL;
    return 0;
}

/* "id ip port weight status" of an instance in Consul. */
static struct candidate instance(const char *id, const char *ip, uint16_t port, uint32_t weight,
                                 enum discovered_status status)
{
    struct candidate candidate = {.kind = SOURCE_CONSUL,
                                  .status = status,
                                  .weight = weight,
                                  .host = str_of(ip),
                                  .instance = str_of(id),
                                  .node = STR("n1"),
                                  .datacenter = STR("dc1")};
    assert_true(ip_parse(str_of(ip), port, &candidate.address));
    return candidate;
}

#define BUILD(old, ret, ...)                                                                       \
    do {                                                                                           \
        const struct candidate candidates_[] = {__VA_ARGS__};                                      \
        assert_int_equal(endpoint_set_build(candidates_,                                           \
                                            sizeof(candidates_) / sizeof(*candidates_), (old), 2,  \
                                            (ret)),                                                \
                         0);                                                                       \
    } while (0)

struct tally {
    char text[256];
};

static void on_change(void *arg, enum endpoint_change change, const struct endpoint_entry *before,
                      const struct endpoint_entry *after)
{
    static const char signs[] = "=+-~";
    struct tally *tally = arg;
    char one[80];
    assert_true((before != NULL) == (change != ENDPOINT_JOINED));
    assert_true((after != NULL) == (change != ENDPOINT_LEFT));
    snprintf(one, sizeof(one), "%c%s ", signs[change], (after ? after : before)->target->name);
    strcat(tally->text, one);
}

static void expect_diff(const char *wanted)
{
    struct tally tally = {""};
    endpoint_set_diff(set, next, on_change, &tally);
    assert_string_equal(tally.text, wanted);
}

TEST(a_set_is_sorted_by_address)
{
    BUILD(NULL, &set, instance("b", "10.0.0.2", 80, 1, 0), instance("c", "10.0.0.1", 81, 1, 0),
          instance("a", "10.0.0.1", 80, 1, 0), instance("d", "9.0.0.1", 80, 1, 0));
    assert_int_equal(set->count, 4);
    assert_string_equal(set->entries[0].target->name, "9.0.0.1:80");
    assert_string_equal(set->entries[1].target->name, "10.0.0.1:80");
    assert_string_equal(set->entries[2].target->name, "10.0.0.1:81");
    assert_string_equal(set->entries[3].target->name, "10.0.0.2:80");
    assert_string_equal(set->entries[1].target->instance, "a");
    assert_string_equal(set->entries[1].target->node, "n1");
}

TEST(what_stays_keeps_its_state_whatever_the_order)
{
    BUILD(NULL, &set, instance("a", "10.0.0.1", 80, 1, 0), instance("b", "10.0.0.2", 80, 1, 0));
    BUILD(set, &next, instance("b", "10.0.0.2", 80, 1, 0), instance("a", "10.0.0.1", 80, 1, 0));
    assert_ptr_equal(set->entries[0].target, next->entries[0].target);
    assert_ptr_equal(set->entries[1].target, next->entries[1].target);
    expect_diff("=10.0.0.1:80 =10.0.0.2:80 ");
}

TEST(a_difference_names_each_once)
{
    BUILD(NULL, &set, instance("a", "10.0.0.1", 80, 1, 0), instance("b", "10.0.0.2", 80, 1, 0),
          instance("c", "10.0.0.3", 80, 1, 0));
    BUILD(set, &next, instance("b", "10.0.0.2", 80, 5, 0), instance("c", "10.0.0.3", 80, 1, 0),
          instance("d", "10.0.0.4", 80, 1, 0));
    expect_diff("-10.0.0.1:80 ~10.0.0.2:80 =10.0.0.3:80 +10.0.0.4:80 ");
    assert_ptr_equal(set->entries[1].target, next->entries[0].target);
    assert_int_equal(next->entries[0].weight, 5);
}

TEST(a_verdict_is_a_change_of_the_same_target)
{
    BUILD(NULL, &set, instance("a", "10.0.0.1", 80, 1, DISCOVERED_PASSING));
    BUILD(set, &next, instance("a", "10.0.0.1", 80, 1, DISCOVERED_CRITICAL));
    expect_diff("~10.0.0.1:80 ");
    assert_ptr_equal(set->entries[0].target, next->entries[0].target);
}

TEST(another_instance_at_the_same_address_is_another_target)
{
    BUILD(NULL, &set, instance("a", "10.0.0.1", 80, 1, 0));
    BUILD(set, &next, instance("b", "10.0.0.1", 80, 1, 0));
    assert_ptr_not_equal(set->entries[0].target, next->entries[0].target);
    struct tally tally = {""};
    endpoint_set_diff(set, next, on_change, &tally);
    assert_string_equal(tally.text, "-10.0.0.1:80 +10.0.0.1:80 ");
}

TEST(the_same_instance_at_another_address_is_another_target)
{
    BUILD(NULL, &set, instance("a", "10.0.0.1", 80, 1, 0));
    BUILD(set, &next, instance("a", "10.0.0.1", 81, 1, 0));
    expect_diff("-10.0.0.1:80 +10.0.0.1:81 ");
}

TEST(of_those_with_one_address_the_best_counts)
{
    BUILD(NULL, &set, instance("a", "10.0.0.1", 80, 9, DISCOVERED_CRITICAL),
          instance("b", "10.0.0.1", 80, 2, DISCOVERED_PASSING),
          instance("c", "10.0.0.1", 80, 3, DISCOVERED_PASSING));
    assert_int_equal(set->count, 1);
    assert_string_equal(set->entries[0].target->instance, "b");
    assert_int_equal(set->entries[0].status, DISCOVERED_PASSING);
    assert_int_equal(set->entries[0].weight, 3);
}

TEST(nothing_differs_from_something)
{
    BUILD(NULL, &set, instance("a", "::1", 80, 1, 0));
    assert_int_equal(endpoint_set_build(NULL, 0, set, 2, &next), 0);
    expect_diff("-[::1]:80 ");
    struct tally tally = {""};
    endpoint_set_diff(NULL, set, on_change, &tally);
    assert_string_equal(tally.text, "+[::1]:80 ");
    tally.text[0] = '\0';
    endpoint_set_diff(NULL, next, on_change, &tally);
    assert_string_equal(tally.text, "");
}

#define TL(name) cmocka_unit_test_teardown(name, teardown)

RUN(TL(a_set_is_sorted_by_address), TL(what_stays_keeps_its_state_whatever_the_order),
    TL(a_difference_names_each_once), TL(a_verdict_is_a_change_of_the_same_target),
    TL(another_instance_at_the_same_address_is_another_target),
    TL(the_same_instance_at_another_address_is_another_target),
    TL(of_those_with_one_address_the_best_counts), TL(nothing_differs_from_something))
