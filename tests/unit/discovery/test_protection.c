#include "unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "discovery/protection.h"

/* "a b c!" : instances, '!' for critical. */
static struct discovered_list *list_of(const char *text)
{
    struct discovered_list *list;
    assert_int_equal(discovered_list_create(&list), 0);
    struct str rest = str_of(text);
    while (rest.len > 0) {
        struct str word = str_cut(&rest, ' ');
        struct discovered item = {
            .host = STR("10.0.0.1"), .port = 80, .weight = 1, .status = DISCOVERED_PASSING};
        if (str_ends_with(word, STR("!"))) {
            item.status = DISCOVERED_CRITICAL;
            word.len--;
        }
        item.instance = word;
        assert_int_equal(discovered_list_add(list, &item), 0);
    }
    discovered_list_seal(list);
    return list;
}

static const char *text_of(const struct discovered_list *list)
{
    static char text[256];
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < list->count; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s%s", i ? " " : "",
                                STR_ARG(list->items[i].instance),
                                list->items[i].status > DISCOVERED_WARNING ? "!" : "");
    return text;
}

TEST(half_of_three_or_more_or_the_last_is_a_mass_removal)
{
    static const struct {
        const char *last, *now;
        bool is_mass;
    } table[] = {
        {"a b c d", "a b c", false},
        {"a b c d", "a b", true},
        {"a b c", "a b", false},
        {"a b c", "a", true},
        {"a b", "a", false},
        {"a b", "", true},
        {"a", "", true},
        {"a", "b", false},
        {"a b c", "d e f", true},
        {"a b c", "a! b! c!", false}, /* still known */
        {"a! b!", "", false},         /* nothing usable was lost */
        {"a b!", "b!", true},
        {"", "", false},
        {"", "a", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct discovered_list *last = list_of(table[i].last), *now = list_of(table[i].now);
        if (protection_is_mass_removal(last, now) != table[i].is_mass)
            fail_msg("'%s' to '%s'", table[i].last, table[i].now);
        discovered_list_destroy(last);
        discovered_list_destroy(now);
    }
}

TEST(what_is_held_takes_nothing_away)
{
    static const struct {
        const char *last, *now, *merged;
        bool takes_away;
    } table[] = {
        {"a b c", "", "a b c", true},  {"a c", "b", "a b c", true}, {"a b", "a! c", "a b c", true},
        {"a! b", "a b", "a b", false}, {"a", "a b", "a b", false},  {"", "a", "a", false},
        {"a!", "a!", "a!", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct discovered_list *last = list_of(table[i].last), *now = list_of(table[i].now);
        struct discovered_list *merged;
        assert_int_equal(protection_merge(last, now, &merged), 0);
        assert_string_equal(text_of(merged), table[i].merged);
        assert_int_equal(protection_takes_away(last, now), table[i].takes_away);
        discovered_list_destroy(last);
        discovered_list_destroy(now);
        discovered_list_destroy(merged);
    }
}

TEST(two_reads_agree_when_the_later_takes_no_more)
{
    static const struct {
        const char *last, *earlier, *now;
        bool agrees;
    } table[] = {
        {"a b c", "", "", true},    {"a b c", "a", "", false},   {"a b c", "", "a", true},
        {"a b c", "a", "b", false}, {"a b c", "c", "c d", true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct discovered_list *last = list_of(table[i].last), *now = list_of(table[i].now);
        struct discovered_list *earlier = list_of(table[i].earlier);
        if (protection_agrees(last, earlier, now) != table[i].agrees)
            fail_msg("'%s': '%s', then '%s'", table[i].last, table[i].earlier, table[i].now);
        discovered_list_destroy(last);
        discovered_list_destroy(earlier);
        discovered_list_destroy(now);
    }
}

RUN(T(half_of_three_or_more_or_the_last_is_a_mass_removal), T(what_is_held_takes_nothing_away),
    T(two_reads_agree_when_the_later_takes_no_more))
