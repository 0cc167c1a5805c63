#include "model/name_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/test.h"

#define NAMES 300

static struct value {
    char name[16];
    int refs;
} values[NAMES];

static void ref(const void *value)
{
    ((struct value *)(uintptr_t)value)->refs++;
}

static void unref(const void *value)
{
    ((struct value *)(uintptr_t)value)->refs--;
}

static const struct name_values counted = {ref, unref};

/* Few hashes, so that names step over each other, and over the table's end. */
static uint64_t hash_of(int number)
{
    return (uint64_t)(number % 7) * UINT64_MAX / 7;
}

static struct str name_of(int number)
{
    snprintf(values[number].name, sizeof(values[number].name), "name-%d", number);
    return str_of(values[number].name);
}

static void check(const struct name_table *table, const bool is_there[NAMES])
{
    for (int i = 0; i < NAMES; i++)
        assert_ptr_equal(name_table_find(table, hash_of(i), name_of(i)),
                         is_there[i] ? &values[i] : NULL);
}

TEST(names_come_and_go_and_those_that_share_notice_nothing)
{
    struct name_table table = {0}, older = {0};
    bool is_there[NAMES] = {false}, was_there[NAMES] = {false};
    assert_int_equal(name_table_init(&table, &counted, 0), 0);
    assert_int_equal(name_table_share(&table, &older), 0);
    srand(3);
    for (int round = 0; round < 3000; round++) {
        int i = rand() % NAMES;
        if (is_there[i])
            assert_int_equal(name_table_remove(&table, hash_of(i), &values[i]), 0);
        else
            assert_int_equal(name_table_put(&table, hash_of(i), name_of(i), &values[i]), 0);
        is_there[i] = !is_there[i];
        if (round % 50 == 0) {
            check(&table, is_there);
            check(&older, was_there);
        }
        if (round % 170 == 0) {
            name_table_deinit(&older);
            assert_int_equal(name_table_share(&table, &older), 0);
            memcpy(was_there, is_there, sizeof(is_there));
        }
    }
    check(&table, is_there);
    name_table_deinit(&table);
    check(&older, was_there);
    name_table_deinit(&older);
    for (int i = 0; i < NAMES; i++)
        assert_int_equal(values[i].refs, 0);
}

TEST(what_is_not_there_is_not_found_and_can_be_removed)
{
    struct name_table table;
    int value = 0;
    assert_int_equal(name_table_init(&table, NULL, 1), 0);
    assert_null(name_table_find(&table, 5, STR("a")));
    assert_int_equal(name_table_remove(&table, 5, &value), 0);
    assert_int_equal(name_table_put(&table, 5, STR(""), &value), 0);
    assert_null(name_table_find(&table, 5, STR("a")));
    assert_ptr_equal(name_table_find(&table, 5, STR("")), &value);
    assert_int_equal(name_table_remove(&table, 5, &table), 0);
    assert_int_equal(table.count, 1);
    name_table_deinit(&table);
}

RUN(T(names_come_and_go_and_those_that_share_notice_nothing),
    T(what_is_not_there_is_not_found_and_can_be_removed))
