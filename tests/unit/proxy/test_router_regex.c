#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/router_regex.h"

/* The second is what every match of the first starts with, as far as we can tell. */
static void the_literal_start_of_a_regex_is_found(void **state)
{
    (void)state;
    static const char *cases[][2] = {
        {"/users/\\d+", "/users/"},
        {"/users", "/users"},
        {"^/users", "/users"},
        {"/a\\.b\\/c-d_e", "/a.b/c-d_e"},
        {"/a?", "/"},
        {"/ab*", "/a"},
        {"/ab+", "/ab"},
        {"/ab{0,2}", "/a"},
        {"/a.c", "/a"},
        {"/a[bc]", "/a"},
        {"/a(b|c)d", "/a"},
        {"/(?<id>\\d+)", "/"},
        {"/a$", "/a"},
        {"/a\\d", "/a"},
        {"/a\\Qb|c\\E", ""},
        {"/a|/b", ""},
        {"/a(b|c)|/d", ""},
        {"/a[|]b", ""},
        {"/a[)]|b", ""},
        {"/a(?#()|b", ""},
        {"/a\\c(|b", ""},
        {"/a\\(|b", ""},
        {"(?i)/a", ""},
        {"(?x)/ a", ""},
        {"", ""},
        {"\\", ""},
        {"|", ""},
        {"/\xc3\xa9", "/\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[32];
        size_t len = router_regex_literal_prefix(str_of(cases[i][0]), out);
        if (!str_equal(str_make(out, len), str_of(cases[i][1])))
            fail_msg("%s: %.*s", cases[i][0], (int)len, out);
    }
}

/* The second is what every match of the first holds, as far as we can tell. */
static void the_literal_that_a_regex_needs_is_found(void **state)
{
    (void)state;
    static const char *cases[][2] = {
        {"/[a-z]+/v2/tenant-7/(?<id>\\d+)$", "/v2/tenant-7/"},
        {"/a/.*/bcd", "/bcd"},
        {"/abc/.*/d", "/abc/"},
        {"/abcd?e", "/abc"},
        {"/abcd*", "/abc"},
        {"/ab+cde/", "cde/"},
        {"/a{2}bcd", "bcd"},
        {"/a{,2}bcd", "bcd"},
        {"/a{b}c", ""},
        {"/(abcdef|x)/gh", "/gh"},
        {"/(?:abc)?/gh", "/gh"},
        {"/(?P<n>[)]\\))/gh", "/gh"},
        {"/[]abc]/gh", "/gh"},
        {"/[^]abc]/gh", "/gh"},
        {"/[[:alpha:]]/gh", ""},
        {"/a\\.b\\d", "/a.b"},
        {"/abc|/d", ""},
        {"/a(?i)bcd", ""},
        {"/a(?=bcd)", ""},
        {"/a(?<=bcd)e", ""},
        {"(*ACCEPT)/abc", ""},
        {"/ab(c(*ACCEPT)d)ef", ""},
        {"/\\Qabc\\E", ""},
        {"/\\x41bc", ""},
        {"/abc\\", ""},
        {"/abc(", ""},
        {"/abc[", ""},
        {"/abc)", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[128];
        size_t len = router_regex_required_literal(str_of(cases[i][0]), out);
        if (!str_equal(str_make(out, len), str_of(cases[i][1])))
            fail_msg("%s: %.*s", cases[i][0], (int)len, out);
    }
}

static bool holds(struct str text, struct str part)
{
    return part.len == 0 || (text.len > 0 && memmem(text.ptr, text.len, part.ptr, part.len));
}

/* Random patterns over characters with a meaning: a match without that start would be lost. */
static void every_match_has_the_literals_that_it_must(void **state)
{
    (void)state;
    static const char pattern_chars[] = "/ab\\|()[]?*+{}1,.^$#Qc-d:<>i";
    static const char subject_chars[] = "/ab|1c(";
    unsigned matches = 0;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        char pattern[8], subject[8], prefix[8], literal[16], message[100];
        size_t len = 1 + (size_t)rand() % sizeof(pattern);
        for (size_t i = 0; i < len; i++)
            pattern[i] = pattern_chars[(size_t)rand() % (sizeof(pattern_chars) - 1)];
        struct router_regex *regex;
        if (router_regex_compile(str_make(pattern, len), true, false, &regex, message,
                                 sizeof(message)) != 0)
            continue;
        struct str start = {prefix, router_regex_literal_prefix(str_make(pattern, len), prefix)};
        struct str needed = {literal,
                             router_regex_required_literal(str_make(pattern, len), literal)};
        for (int i = 0; i < 30; i++) {
            size_t subject_len = (size_t)rand() % sizeof(subject), end;
            for (size_t j = 0; j < subject_len; j++)
                subject[j] = subject_chars[(size_t)rand() % (sizeof(subject_chars) - 1)];
            struct str text = {subject, subject_len};
            if (!router_regex_match(regex, text, &end))
                continue;
            matches++;
            if (!str_starts_with(text, start))
                fail_msg("'%.*s' matches '%.*s' but does not start with '%.*s'", (int)len, pattern,
                         STR_ARG(text), STR_ARG(start));
            if (!holds(text, needed))
                fail_msg("'%.*s' matches '%.*s' but does not hold '%.*s'", (int)len, pattern,
                         STR_ARG(text), STR_ARG(needed));
        }
        router_regex_destroy(regex);
    }
    assert_true(matches > 1000);
}

static void bad_regexes_are_explained(void **state)
{
    (void)state;
    struct router_regex *regex = NULL;
    char message[100] = "";
    assert_int_not_equal(
        router_regex_compile(STR("/("), true, false, &regex, message, sizeof(message)), 0);
    assert_null(regex);
    assert_true(strlen(message) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_literal_start_of_a_regex_is_found),
        cmocka_unit_test(the_literal_that_a_regex_needs_is_found),
        cmocka_unit_test(every_match_has_the_literals_that_it_must),
        cmocka_unit_test(bad_regexes_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
