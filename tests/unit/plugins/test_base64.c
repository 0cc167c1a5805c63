#include "plugins/base64.h"

#include "unit/plugins/plugins.h"

static void decodes(bool is_url, const char *text, const char *wanted)
{
    struct arena arena;
    struct str got;
    arena_init(&arena, 4096, 1 << 20);
    bool is_good = is_url ? base64_url_decode(str_of(text), &arena, &got)
                          : base64_decode(str_of(text), &arena, &got);
    assert_int_equal(is_good, wanted != NULL);
    if (wanted)
        assert_str(got, wanted);
    arena_deinit(&arena);
}

TEST(base64_needs_its_padding)
{
    decodes(false, "", "");
    decodes(false, "YQ==", "a");
    decodes(false, "YWI=", "ab");
    decodes(false, "YWJj", "abc");
    decodes(false, "++//", "\xfb\xef\xff");
    decodes(false, "YQ", NULL);
    decodes(false, "YWI", NULL);
    decodes(false, "YQ=", NULL);
    decodes(false, "YWJj=", NULL);
    decodes(false, "Y", NULL);
    decodes(false, "=", NULL);
    decodes(false, "YWJ j", NULL);
    decodes(false, "-___", NULL);
}

TEST(in_urls_it_may_go_without)
{
    decodes(true, "YQ", "a");
    decodes(true, "YQ==", "a");
    decodes(true, "-_-_", "\xfb\xff\xbf");
    decodes(true, "YQ=", NULL);
    decodes(true, "++//", NULL);
}

TEST(bits_that_nobody_reads_are_zero)
{
    decodes(false, "YR==", NULL); /* another text for "a" */
    decodes(true, "YWJ", NULL);
}

RUN(T(base64_needs_its_padding), T(in_urls_it_may_go_without), T(bits_that_nobody_reads_are_zero))
