#include "admin/paging.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/test.h"

static struct admin_request *request_with(const char *query)
{
    struct admin_request *request;
    assert_int_equal(admin_request_create(&request), 0);
    struct str copy = arena_copy(&request->arena, str_of(query));
    request->query = arena_alloc(&request->arena, 8 * sizeof(*request->query));
    request->query_count =
        urlencoded_split((char *)(uintptr_t)copy.ptr, copy.len, request->query, 8);
    return request;
}

TEST(a_page_has_a_hundred_rows_unless_the_query_says_else)
{
    struct page page;
    struct admin_request *request = request_with("");
    assert_true(page_parse(request, true, &page));
    assert_int_equal(page.size, 100);
    assert_null(page.after);
    assert_null(page.tags[0]);
    admin_request_destroy(request);

    request = request_with("size=1000&size=5");
    assert_true(page_parse(request, true, &page));
    assert_int_equal(page.size, 1000);
    admin_request_destroy(request);
}

static void assert_refused(const char *query, const char *body)
{
    struct page page;
    struct admin_request *request = request_with(query);
    assert_false(page_parse(request, true, &page));
    json_t *shown = violation_to_body(&request->violation);
    char *text = json_dumps(shown, JSON_COMPACT);
    assert_string_equal(text, body);
    free(text);
    json_decref(shown);
    admin_request_destroy(request);
}

TEST(what_is_no_page_is_refused_in_kongs_words)
{
#define SIZE "{\"code\":9,\"name\":\"invalid size\",\"message\":\""
    assert_refused("size=x", SIZE "size must be a number\"}");
    assert_refused("size=", SIZE "size must be a number\"}");
    assert_refused("size=nan", SIZE "size must be a number\"}");
    assert_refused("size=0", SIZE "size must be an integer between 1 and 1000\"}");
    assert_refused("size=-1", SIZE "size must be an integer between 1 and 1000\"}");
    assert_refused("size=1001", SIZE "size must be an integer between 1 and 1000\"}");
    assert_refused("size=1.5", SIZE "size must be an integer between 1 and 1000\"}");
    assert_refused("size=inf", SIZE "size must be an integer between 1 and 1000\"}");
#define OFFSET "{\"code\":7,\"name\":\"invalid offset\",\"message\":\""
    assert_refused("offset=x", OFFSET "'x' is not a valid offset: bad base64 encoding\"}");
    assert_refused("offset=", OFFSET "'' is not a valid offset: bad base64 encoding\"}");
    assert_refused("offset=a*bc", OFFSET "'a*bc' is not a valid offset: bad base64 encoding\"}");
    assert_refused("offset=YWJj", OFFSET "'YWJj' is not a valid offset: bad content\"}");
    assert_refused("offset=e30", OFFSET "'e30' is not a valid offset: bad content\"}");
    assert_refused("offset=%FF", OFFSET "'' is not a valid offset: bad base64 encoding\"}");
#define TAGS(why)                                                                                  \
    "{\"code\":11,\"name\":\"invalid options\",\"message\":\"invalid option (tags: " why           \
    ")\",\"options\":{\"tags\":\"" why "\"}}"
    assert_refused("tags=", TAGS("cannot be null"));
    assert_refused("tags=a,b/c", TAGS("invalid filter syntax"));
    assert_refused("tags=a,,b", TAGS("invalid filter syntax"));
    assert_refused("tags=a,b,c,d,e,f", TAGS("cannot query more than 5 tags"));
}

TEST(tags_are_joined_by_and_or_by_or)
{
    struct page page;
    struct admin_request *request = request_with("tags=a,b%20c&tags=d");
    assert_true(page_parse(request, true, &page));
    assert_false(page.any_tag);
    assert_string_equal(page.tags[0], "a");
    assert_string_equal(page.tags[1], "b c");
    assert_null(page.tags[2]);
    admin_request_destroy(request);

    request = request_with("tags=a/b/c/d/e");
    assert_true(page_parse(request, true, &page));
    assert_true(page.any_tag);
    assert_string_equal(page.tags[4], "e");
    assert_null(page.tags[5]);
    admin_request_destroy(request);

    request = request_with("tags=");
    assert_true(page_parse(request, false, &page)); /* nested lists don't look at them */
    admin_request_destroy(request);
}

TEST(a_token_leads_back_to_its_id)
{
    static const char *const ids[] = {"0a3b8c5e-6a36-4e6c-9a5e-27c0f3b0a001", "a", "ab", "abc",
                                      "abcd"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        for (size_t padding = 0; padding <= 2; padding++) {
            char query[128];
            struct arena arena;
            arena_init(&arena, 1024, 4096);
            int len = snprintf(query, sizeof(query), "offset=");
            char token[96];
            snprintf(token, sizeof(token), "%s%.*s", page_offset(&arena, ids[i]), (int)padding,
                     "==");
            urlencoded_escape(str_of(token), query + len);
            arena_deinit(&arena);

            struct page page;
            struct admin_request *request = request_with(query);
            assert_true(page_parse(request, true, &page));
            assert_string_equal(page.after, ids[i]);
            admin_request_destroy(request);
        }
    }
}

RUN(T(a_page_has_a_hundred_rows_unless_the_query_says_else),
    T(what_is_no_page_is_refused_in_kongs_words), T(tags_are_joined_by_and_or_by_or),
    T(a_token_leads_back_to_its_id))
