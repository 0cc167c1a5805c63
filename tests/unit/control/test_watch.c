/* What `weir watch` makes of an event. */
#include "unit/test.h"

#include <string.h>

#include "control/watch.h"

static void assert_line(const char *json, bool is_colour, const char *expected)
{
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(watch_format(json, is_colour, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_string_equal(buf_str(&out).ptr, expected);
    buf_deinit(&out);
}

TEST(what_is_said_once_or_empty_is_left_out)
{
    assert_line("{\"type\":\"target.joined\",\"target\":\"a:1\",\"node\":\"\",\"n\":null,"
                "\"weight\":7,\"ok\":true}",
                false, "--:--:--.000  target.joined  target=a:1  weight=7  ok=true");
}

TEST(texts_with_blanks_are_quoted)
{
    assert_line("{\"type\":\"t\",\"why\":\"it failed\"}", false,
                "--:--:--.000  t  why=\"it failed\"");
}

TEST(no_byte_of_an_event_drives_the_terminal)
{
    assert_line("{\"type\":\"t\\u001b[2J\",\"why\":\"a\\nb\\u007f\"}", false,
                "--:--:--.000  t?[2J  why=a?b?");
    assert_line("{\"type\":\"t\",\"why\":\"\\u009b2J\\u0080\\u00a9\\u00e9\"}", false,
                "--:--:--.000  t  why=?2J?\xc2\xa9\xc3\xa9");
}

TEST(what_is_no_event_is_printed_safely)
{
    assert_line("\033nonsense", false, "?nonsense");
    assert_line("[1]", false, "[1]");
    assert_line("{\"type\":1}", false, "{\"type\":1}");
}

TEST(colours_say_good_or_bad)
{
    static const struct {
        const char *json;
        const char *colour;
    } table[] = {
        {"{\"type\":\"target.health\",\"takes_traffic\":false}", "\033[31m"},
        {"{\"type\":\"target.health\",\"takes_traffic\":true}", "\033[32m"},
        {"{\"type\":\"target.left\",\"takes_traffic\":false}", "\033[33m"},
        {"{\"type\":\"upstream.panic\",\"panic\":true}", "\033[31m"},
        {"{\"type\":\"config.published\"}", "\033[34m"},
        {"{\"type\":\"config.failed\"}", "\033[31m"},
        {"{\"type\":\"consul.reachable\"}", "\033[32m"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct buf out;
        buf_init(&out, 65536);
        assert_int_equal(watch_format(table[i].json, true, &out), 0);
        assert_int_equal(buf_append(&out, "", 1), 0);
        assert_non_null(strstr(buf_str(&out).ptr, table[i].colour));
        buf_deinit(&out);
    }
}

RUN(T(what_is_said_once_or_empty_is_left_out), T(texts_with_blanks_are_quoted),
    T(no_byte_of_an_event_drives_the_terminal), T(what_is_no_event_is_printed_safely),
    T(colours_say_good_or_bad))
