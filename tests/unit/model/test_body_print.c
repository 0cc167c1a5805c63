#include "model/body_print.h"

#include <stdlib.h>
#include <string.h>

#include "unit/test.h"

/* Prints as bodies are, and as they are dumped elsewhere: the same bytes. */
static void check(const char *name, const char *json, bool is_printable)
{
    const struct entity *entity = entity_find(str_of(name));
    json_t *stored = json_loads(json, 0, NULL);
    assert_non_null(stored);
    json_t *row = entity_complete_row(entity, stored);
    assert_int_equal(body_is_printable(entity, row), is_printable);
    if (is_printable) {
        struct buf out;
        buf_init(&out, 1 << 20);
        json_t *body = entity_to_body(entity, row);
        char *expected = json_dumps(body, ENTITY_DUMP_FLAGS);
        assert_int_equal(body_print(entity, row, &out), 0);
        assert_int_equal(buf_len(&out), strlen(expected));
        assert_memory_equal(buf_str(&out).ptr, expected, strlen(expected));
        free(expected);
        json_decref(body);
        buf_deinit(&out);
    }
    json_decref(row);
    json_decref(stored);
}

TEST(a_row_is_printed_as_its_body_is_dumped)
{
    check("services", "{\"id\":\"1\",\"name\":\"a\",\"host\":\"h\",\"port\":-8080,\"tags\":[]}",
          true);
    check("services", "{\"tags\":[\"\\u0001\\\"\\\\/\\b\\f\\n\\r\\t\\u007f\\u00fc\\u20ac\"]}",
          true);
    check(
        "routes",
        "{\"headers\":{\"x\\\"y\":[\"1\",\"2\"],\"z\":[]},\"regex_priority\":-9223372036854775808}",
        true);
    check("routes", "{\"snis\":null,\"strip_path\":false,\"created_at\":9223372036854775807}",
          true);
    check("targets", "{\"target\":\"a:1\",\"created_at\":1700000000.123}", true);
    check("consumers", "{\"username\":\"\"}", true);
}

TEST(what_is_shown_otherwise_is_left_to_others)
{
    check("plugins", "{\"name\":\"cors\",\"config\":{}}", false);
    check("certificates", "{\"cert\":\"c\"}", false);
}

RUN(T(a_row_is_printed_as_its_body_is_dumped), T(what_is_shown_otherwise_is_left_to_others))
