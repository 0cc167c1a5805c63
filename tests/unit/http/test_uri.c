#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/uri.h"

/* NULL as the result stands for "refused". */
struct pair {
    const char *given;
    const char *expected;
};

#define EACH(pairs, it)                                                                            \
    const struct pair *it = (pairs);                                                               \
    it < (pairs) + sizeof(pairs) / sizeof((pairs)[0]);                                             \
    it++

static void targets_are_split(void **state)
{
    (void)state;
    static const struct pair cases[] = {
        {"/", "|/|"},
        {"/a/b", "|/a/b|"},
        {"/a?", "|/a|?"},
        {"/a?b=c", "|/a|?b=c"},
        {"/a?b?c", "|/a|?b?c"},
        {"/?", "|/|?"},
        {"//a", "|//a|"},
        {"/http://x/", "|/http://x/|"},
        {"*", "|*|"},
        {"http://h", "h|/|"},
        {"http://h/", "h|/|"},
        {"HTTP://h:80/x?y", "h:80|/x|?y"},
        {"https://[::1]:8443?q", "[::1]:8443|/|?q"},
        {"", NULL},
        {"a", NULL},
        {"**", NULL},
        {"?a", NULL},
        {"/a b", NULL},
        {"/a#b", NULL},
        {"/\x7f", NULL},
        {"/\x1f", NULL},
        {"/\x80", NULL},
        {"http://", NULL},
        {"http:///a", NULL},
        {"http://?a", NULL},
        {"http://a@b/", NULL},
        {"http://a:1:2/", NULL},
        {"http:/a", NULL},
        {"ftp://a/", NULL},
        {"a.example:80", NULL},
    };
    for (EACH(cases, it)) {
        struct uri uri;
        char text[200];
        if (!uri_parse(str_of(it->given), &uri)) {
            if (it->expected)
                fail_msg("%s: refused", it->given);
            continue;
        }
        sprintf(text, "%.*s|%.*s|%s%.*s", STR_ARG(uri.authority), STR_ARG(uri.path),
                uri.has_query ? "?" : "", STR_ARG(uri.query));
        assert_string_equal(text, it->expected ? it->expected : "to be refused");
    }
}

/* Copies hide what lies behind a slice from the code but not from the sanitizers. */
static char *normalised(const char *path, bool *ret_is_same)
{
    size_t len = strlen(path);
    char *copy = malloc(len ? len : 1), *out = malloc(len + 1), *result = NULL;
    struct str ret;
    memcpy(copy, path, len);
    if (uri_normalise(str_make(copy, len), out, &ret)) {
        *ret_is_same = ret.ptr == copy;
        result = str_dup(ret);
    }
    free(copy);
    free(out);
    return result;
}

static void normal_paths_are_left_alone(void **state)
{
    (void)state;
    static const char *paths[] = {"/",      "/a",     "/a/",  "/a.b/c..d", "/.well-known/x", "/...",
                                  "/a/.b/", "/..b/c", "/a~b", "/a:b@c",    "/\xc3\xa9",      "*"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        bool is_same = false;
        char *result = normalised(paths[i], &is_same);
        assert_string_equal(result, paths[i]);
        assert_true(is_same);
        free(result);
    }
}

static void other_paths_are_made_normal(void **state)
{
    (void)state;
    static const struct pair cases[] = {
        /* escapes */
        {"/%61", "/a"},
        {"/%7E%7e", "/~~"},
        {"/%C3%A9", "/\xc3\xa9"},
        {"/a%20b", "/a b"},
        {"/a%0a", "/a\n"},
        {"/%2F%2f", "/%2F%2F"},
        {"/%3f%23%25", "/%3F%23%25"},
        {"/%21%2a%27%28%29%3b%3a%40%26%3d%2b%24%2c%5b%5d",
         "/%21%2A%27%28%29%3B%3A%40%26%3D%2B%24%2C%5B%5D"},
        {"/%2561", "/%2561"},
        {"/%22%3c%3e%5c%5e%60%7b%7c%7d", "/\"<>\\^`{|}"},
        /* dots and slashes */
        {"/.", "/"},
        {"/..", "/"},
        {"/./", "/"},
        {"/../", "/"},
        {"/a/.", "/a/"},
        {"/a/..", "/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../", "/a/"},
        {"/a/b/../c", "/a/c"},
        {"/a/./b", "/a/b"},
        {"/a/../../b", "/b"},
        {"/../../../etc/passwd", "/etc/passwd"},
        {"//", "/"},
        {"//a", "/a"},
        {"/a//b", "/a/b"},
        {"/a///", "/a/"},
        {"/a//../b", "/b"},
        {"/a/b//../c", "/a/c"},
        {"/a/.../b//", "/a/.../b/"},
        /* both */
        {"/%2e", "/"},
        {"/%2E%2e/a", "/a"},
        {"/a/%2e%2E/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/a%2f..%2fb", "/a%2F..%2Fb"},
        {"/a/..%2fb", "/a/..%2Fb"},
        /* what cannot be */
        {"/%", NULL},
        {"/%4", NULL},
        {"/%zz", NULL},
        {"/%4g", NULL},
        {"/%%41", NULL},
        {"/%00", NULL},
        {"/a%", NULL},
    };
    for (EACH(cases, it)) {
        bool is_same = false;
        char *result = normalised(it->given, &is_same);
        if (!result != !it->expected || (result && strcmp(result, it->expected) != 0))
            fail_msg("%s: %s", it->given, result ? result : "refused");
        if (result) {
            /* What is normal stays as it is, but for what was decoded from %XX. */
            char *again = normalised(result, &is_same);
            assert_string_equal(again, result);
            free(again);
        }
        free(result);
    }
}

static void paths_are_escaped_for_the_upstream(void **state)
{
    (void)state;
    static const struct pair cases[] = {
        {"", ""},
        {"/a/b", "/a/b"},
        {"/!#$&'()*+,/:;=?@[]azAZ09-_.~%", "/!#$&'()*+,/:;=?@[]azAZ09-_.~%"},
        {"/a b", "/a%20b"},
        {"/\xc3\xa9", "/%C3%A9"},
        {"/\"<>\\^`{|}\x7f\n", "/%22%3C%3E%5C%5E%60%7B%7C%7D%7F%0A"},
    };
    for (EACH(cases, it)) {
        size_t len = strlen(it->expected);
        char out[100];
        memset(out, '#', sizeof(out));
        assert_int_equal(uri_escape_path(str_of(it->given), out, len), len);
        assert_memory_equal(out, it->expected, len);
        assert_int_equal(out[len], '#');
        if (len == 0)
            continue;
        out[0] = '#';
        assert_int_equal(uri_escape_path(str_of(it->given), out, len - 1), len);
        assert_int_equal(out[0], '#');
    }
}

static void authorities_are_split(void **state)
{
    (void)state;
    static const struct pair cases[] = {
        {"a", "a 0"},
        {"a.example", "a.example 0"},
        {"a.example.", "a.example. 0"},
        {"a:80", "a 80"},
        {"a:080", "a 80"},
        {"a:65535", "a 65535"},
        {"127.0.0.1:8000", "127.0.0.1 8000"},
        {"a_b-c~d", "a_b-c~d 0"},
        {"%41", "%41 0"},
        {"[::1]", "[::1] 0"},
        {"[2001:db8::1.2.3.4]:1", "[2001:db8::1.2.3.4] 1"},
        {"", NULL},
        {":", NULL},
        {":80", NULL},
        {"a:", NULL},
        {"a:0", NULL},
        {"a:65536", NULL},
        {"a:000080", NULL},
        {"a:-1", NULL},
        {"a:8x", NULL},
        {"a:b:80", NULL},
        {"a b", NULL},
        {"a/b", NULL},
        {"a@b", NULL},
        {"a\\b", NULL},
        {"a%4", NULL},
        {"a%zz", NULL},
        {"\xc3\xa9", NULL},
        {"[]", NULL},
        {"[:]", NULL},
        {"[::1", NULL},
        {"::1", NULL},
        {"[::1]80", NULL},
        {"[::1]:", NULL},
        {"[::g]", NULL},
        {"[fe80::1%25eth0]", NULL},
    };
    for (EACH(cases, it)) {
        struct str host;
        uint16_t port;
        char text[100];
        if (!uri_split_host(str_of(it->given), &host, &port)) {
            if (it->expected)
                fail_msg("%s: refused", it->given);
            continue;
        }
        sprintf(text, "%.*s %u", STR_ARG(host), port);
        assert_string_equal(text, it->expected ? it->expected : "to be refused");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_split),
        cmocka_unit_test(normal_paths_are_left_alone),
        cmocka_unit_test(other_paths_are_made_normal),
        cmocka_unit_test(paths_are_escaped_for_the_upstream),
        cmocka_unit_test(authorities_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
