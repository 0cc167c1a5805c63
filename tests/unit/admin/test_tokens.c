#include "admin/tokens.h"

#include <stdlib.h>

#include "unit/test.h"

static struct token *parse(const char *text, size_t *count)
{
    struct token *table;
    struct error err = {.sentence = ""};
    int rc = tokens_parse(str_of(text), &table, count, &err);
    if (rc)
        print_error("%s\n", err.sentence);
    assert_int_equal(rc, 0);
    return table;
}

TEST(a_token_and_its_digest_are_the_same)
{
    struct tokens tokens = {.path = ""};
    tokens.table = parse("# c\r\n  operator\tA\t0123456789abcdef \r\n"
                         "read-only B sha256:"
                         "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
                         &tokens.count);
    assert_int_equal(tokens.count, 2);

    const struct token *a = tokens_find(&tokens, STR("0123456789abcdef"));
    assert_string_equal(a->name, "A");
    assert_int_equal(a->role, ADMIN_OPERATOR);
    const struct token *b = tokens_find(&tokens, STR("test"));
    assert_string_equal(b->name, "B");
    assert_int_equal(b->role, ADMIN_READ_ONLY);

    assert_null(tokens_find(&tokens, STR("0123456789abcdeg")));
    assert_null(tokens_find(&tokens, STR("0123456789abcde")));
    assert_null(tokens_find(&tokens, STR_EMPTY));
    tokens_deinit(&tokens);
}

TEST(an_empty_file_has_no_tokens)
{
    size_t count;
    struct token *table = parse("\n# nothing\n\n", &count);
    assert_int_equal(count, 0);
    free(table);
}

TEST(what_is_wrong_is_told_by_its_line_and_no_token)
{
    static const char *const bad[] = {
        "admin a 0123456789abcdef",
        "operator",
        "operator a",
        "operator a 0123456789abcde",
        "operator a sha256:",
        "operator a sha256:"
        "gf86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "operator a 0123456789abcdef b",
        "operator a 0123456789\x01"
        "bcdefg",
        "read-only a 0123456789abcdef\noperator b 0123456789abcdef",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct token *table = NULL;
        size_t count;
        struct error err = {.sentence = ""};
        assert_int_not_equal(tokens_parse(str_of(bad[i]), &table, &count, &err), 0);
        assert_null(table);
        assert_string_equal(err.field, "WEIR_ADMIN_TOKENS_FILE");
        assert_non_null(strstr(err.sentence, strchr(bad[i], '\n') ? "line 2: " : "line 1: "));
        assert_null(strstr(err.sentence, "0123456789"));
    }
}

RUN(T(a_token_and_its_digest_are_the_same), T(an_empty_file_has_no_tokens),
    T(what_is_wrong_is_told_by_its_line_and_no_token))
