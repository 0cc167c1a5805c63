#include "admin/guard.h"

#include <netinet/in.h>

#include "net/ip.h"
#include "unit/test.h"

TEST(a_second_of_requests_may_come_at_once_and_then_as_time_gives_them_back)
{
    static struct rate_limit limit = {.per_s = 10};
    uint64_t now_ms = 5000;
    for (int i = 0; i < 10; i++)
        assert_true(rate_limit_take(&limit, 7, now_ms));
    assert_false(rate_limit_take(&limit, 7, now_ms));
    assert_true(rate_limit_take(&limit, 8, now_ms)); /* another's */
    assert_false(rate_limit_take(&limit, 7, now_ms + 99));
    assert_true(rate_limit_take(&limit, 7, now_ms + 100));
    assert_false(rate_limit_take(&limit, 7, now_ms + 101));
    for (int i = 0; i < 10; i++)
        assert_true(rate_limit_take(&limit, 7, now_ms + 3600000));
    assert_false(rate_limit_take(&limit, 7, now_ms + 3600000));
}

TEST(the_highest_rate_does_not_overflow)
{
    static struct rate_limit limit = {.per_s = 1000000};
    for (int i = 0; i < 1000000; i++)
        assert_true(rate_limit_take(&limit, 0, 1));
    assert_false(rate_limit_take(&limit, 0, 1));
}

static struct admin_guard *guard_of(const char *origins)
{
    struct admin_guard *guard;
    struct error err = {.sentence = ""};
    const struct admin_guard_settings settings = {.origins = origins};
    assert_int_equal(admin_guard_create(&settings, &guard, &err), 0);
    return guard;
}

TEST(a_page_from_elsewhere_may_not_write)
{
    struct admin_guard *guard = guard_of("https://a.example/path, http://b.example:8002");
    struct sockaddr_storage from;
    struct guard_verdict verdict;
    assert_true(ip_parse(STR("127.0.0.1"), 1, &from));
    struct guard_question question = {.from = &from, .is_write = true, .action = "create"};
    static const struct {
        const char *origin;
        bool is_write;
        int status;
    } table[] = {
        {"https://a.example", true, 0},
        {"HTTPS://A.example", true, 0},
        {"https://a.example:444", true, 403},
        {"http://a.example", true, 403},
        {"null", true, 403},
        {"null", false, 0},
        {"", true, 0},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        question.origin = str_of(table[i].origin);
        question.is_write = table[i].is_write;
        admin_guard_ask(guard, &question, &verdict);
        assert_int_equal(verdict.status, table[i].status);
    }
    admin_guard_destroy(guard);
}

TEST(origins_that_are_none_are_refused)
{
    static const char *const bad[] = {"a.example", "https://", "://a", "https://a,,https://b",
                                      "https://a b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct admin_guard *guard;
        struct error err = {.sentence = ""};
        const struct admin_guard_settings settings = {.origins = bad[i]};
        assert_int_not_equal(admin_guard_create(&settings, &guard, &err), 0);
        assert_string_equal(err.field, "WEIR_ADMIN_CORS_ORIGINS");
    }
}

RUN(T(a_second_of_requests_may_come_at_once_and_then_as_time_gives_them_back),
    T(the_highest_rate_does_not_overflow), T(a_page_from_elsewhere_may_not_write),
    T(origins_that_are_none_are_refused))
