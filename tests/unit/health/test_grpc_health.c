#include "health/grpc_health.h"

#include <string.h>

#include "unit/test.h"

TEST(the_whole_server_is_asked_by_an_empty_message)
{
    uint8_t out[GRPC_HEALTH_MAX_REQUEST];
    static const uint8_t expected[] = {0, 0, 0, 0, 0};
    assert_int_equal(grpc_health_write_request(STR_EMPTY, out), sizeof(expected));
    assert_memory_equal(out, expected, sizeof(expected));
}

TEST(a_service_is_named_by_field_1)
{
    uint8_t out[GRPC_HEALTH_MAX_REQUEST];
    static const uint8_t expected[] = {0, 0, 0, 0, 4, 0x0a, 2, 'a', 'b'};
    assert_int_equal(grpc_health_write_request(STR("ab"), out), sizeof(expected));
    assert_memory_equal(out, expected, sizeof(expected));
}

TEST(a_long_name_has_a_length_of_two_bytes)
{
    uint8_t out[GRPC_HEALTH_MAX_REQUEST];
    char name[GRPC_HEALTH_MAX_SERVICE];
    memset(name, 'x', sizeof(name));
    assert_int_equal(grpc_health_write_request(str_make(name, 128), out), 5 + 3 + 128);
    static const uint8_t prefix[] = {0, 0, 0, 0, 131, 0x0a, 0x80, 0x01, 'x'};
    assert_memory_equal(out, prefix, sizeof(prefix));
    assert_int_equal(grpc_health_write_request(str_make(name, sizeof(name)), out), sizeof(out));
}

TEST(answers_are_read)
{
    static const struct {
        uint8_t bytes[24];
        size_t len;
        int status; /* -1: refused */
    } table[] = {
        {{0, 0, 0, 0, 0}, 5, GRPC_HEALTH_UNKNOWN}, /* 0 is not written */
        {{0, 0, 0, 0, 2, 8, 0}, 7, GRPC_HEALTH_UNKNOWN},
        {{0, 0, 0, 0, 2, 8, 1}, 7, GRPC_HEALTH_SERVING},
        {{0, 0, 0, 0, 2, 8, 2}, 7, GRPC_HEALTH_NOT_SERVING},
        {{0, 0, 0, 0, 2, 8, 3}, 7, GRPC_HEALTH_SERVICE_UNKNOWN},
        {{0, 0, 0, 0, 2, 8, 4}, 7, GRPC_HEALTH_OTHER},
        {{0, 0, 0, 0, 3, 8, 0x81, 0}, 8, GRPC_HEALTH_SERVING},        /* a 1 of two bytes */
        {{0, 0, 0, 0, 4, 8, 2, 8, 1}, 9, GRPC_HEALTH_SERVING},        /* the last one holds */
        {{0, 0, 0, 0, 5, 0x12, 1, 9, 8, 1}, 10, GRPC_HEALTH_SERVING}, /* field 2: skipped */
        {{0, 0, 0, 0, 4, 0x10, 9, 8, 1}, 9, GRPC_HEALTH_SERVING},
        {{0, 0, 0, 0, 7, 0x1d, 1, 2, 3, 4, 8, 1}, 12, GRPC_HEALTH_SERVING},
        {{0, 0, 0, 0, 11, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1}, 16, GRPC_HEALTH_SERVING},
        {{0}, 0, -1},
        {{0, 0, 0, 0}, 4, -1},
        {{1, 0, 0, 0, 2, 8, 1}, 7, -1}, /* compressed */
        {{0, 0, 0, 0, 3, 8, 1}, 7, -1}, /* cut */
        {{0, 0, 0, 0, 1, 8, 1}, 7, -1}, /* more than it says */
        {{0, 0xff, 0xff, 0xff, 0xff, 8, 1}, 7, -1},
        {{0, 0, 0, 0, 1, 8}, 6, -1},          /* no value */
        {{0, 0, 0, 0, 2, 8, 0x80}, 7, -1},    /* an endless one */
        {{0, 0, 0, 0, 2, 0, 1}, 7, -1},       /* field 0 */
        {{0, 0, 0, 0, 2, 0x0b, 1}, 7, -1},    /* a group */
        {{0, 0, 0, 0, 3, 0x12, 9, 1}, 8, -1}, /* longer than the message */
        {{0, 0, 0, 0, 2, 0x19, 1}, 7, -1},
        {{0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, 16, -1},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        enum grpc_health_status status = GRPC_HEALTH_OTHER;
        bool is_read = grpc_health_read_response(table[i].bytes, table[i].len, &status);
        if (is_read != (table[i].status >= 0) || (is_read && (int)status != table[i].status))
            fail_msg("row %zu: %d, status %d", i, is_read, (int)status);
    }
}

RUN(T(the_whole_server_is_asked_by_an_empty_message), T(a_service_is_named_by_field_1),
    T(a_long_name_has_a_length_of_two_bytes), T(answers_are_read))
