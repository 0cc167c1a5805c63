#include "base/log.h"

#include <stdlib.h>

#include "unit/test.h"

static const char *line_of(bool for_people, const char *msg, const struct log_field *fields,
                           int count)
{
    static char line[4096];
    size_t len =
        log_format(line, sizeof(line) - 1, for_people, 1731000000123, LOG_WARN, msg, fields, count);
    line[len] = '\0';
    return line;
}

TEST(a_line_is_one_json_object)
{
    const struct log_field fields[] = {LOG_CSTR("target", "10.0.0.1:80"), LOG_INT("weight", -3),
                                       LOG_BOOL("on", true)};
    assert_string_equal(
        line_of(false, "target joined", fields, 3),
        "{\"time\":\"2024-11-07T17:20:00.123Z\",\"level\":\"warn\",\"msg\":\"target "
        "joined\",\"target\":\"10.0.0.1:80\",\"weight\":-3,\"on\":true}\n");
}

TEST(people_get_words)
{
    setenv("TZ", "UTC", 1);
    const struct log_field fields[] = {LOG_CSTR("target", "10.0.0.1:80"),
                                       LOG_CSTR("why", "its check failed")};
    assert_string_equal(
        line_of(true, "target left", fields, 2),
        "17:20:00.123 warn target left target=10.0.0.1:80 why=\"its check failed\"\n");
}

TEST(no_peer_can_forge_a_line)
{
    const struct log_field fields[] = {LOG_STR("x", STR("a\"\n{\x01\xff\xc3\xa9"))};
    assert_string_equal(line_of(false, "m", fields, 1),
                        "{\"time\":\"2024-11-07T17:20:00.123Z\",\"level\":\"warn\",\"msg\":\"m\","
                        "\"x\":\"a\\\"\\u000a{\\u0001\\ufffd\xc3\xa9\"}\n");
    const struct log_field more[] = {
        LOG_STR("x", STR("\xc2\x85\xc2\x9b\xc2\xa9\xe2\x80\xa8\xe2\x80\xaa"))};
    assert_string_equal(line_of(false, "m", more, 1),
                        "{\"time\":\"2024-11-07T17:20:00.123Z\",\"level\":\"warn\",\"msg\":\"m\","
                        "\"x\":\"\\u0085\\u009b\xc2\xa9\\u2028\xe2\x80\xaa\"}\n");
}

TEST(what_does_not_fit_is_cut_and_the_line_stays_whole)
{
    static char large[8000];
    memset(large, '"', sizeof(large) - 1);
    const struct log_field fields[] = {LOG_CSTR("a", large), LOG_CSTR("b", "x")};
    const char *line = line_of(false, "m", fields, 2);
    size_t len = strlen(line);
    assert_true(len <= 4095);
    assert_string_equal(line + len - 3, "\"}\n");
    assert_null(strstr(line, "\"b\":"));
}

TEST(levels_have_kongs_names)
{
    enum log_level level = LOG_DEBUG;
    assert_true(log_level_parse(STR("notice"), &level));
    assert_int_equal(level, LOG_NOTICE);
    assert_true(log_level_parse(STR("emerg"), &level));
    assert_int_equal(level, LOG_CRIT);
    assert_false(log_level_parse(STR("verbose"), &level));
}

RUN(T(a_line_is_one_json_object), T(people_get_words), T(no_peer_can_forge_a_line),
    T(what_does_not_fit_is_cut_and_the_line_stays_whole), T(levels_have_kongs_names))
