#include "admin/guard.h"

#include <netinet/in.h>

#include "net/ip.h"
#include "unit/test.h"

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
    union ip_address from;
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

RUN(T(a_page_from_elsewhere_may_not_write), T(origins_that_are_none_are_refused))
