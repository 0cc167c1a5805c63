#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/path.h"

struct path_case {
    const char *service_path;
    const char *route_path; /* NULL: the route has no paths */
    const char *path;
    const char *v0_strip;
    const char *v1_strip;
    const char *v0_whole;
    const char *v1_whole;
};

static const struct path_case cases[] = {
    {"/", "/fee", "/fee/bor", "/bor", "/bor", "/fee/bor", "/fee/bor"},
    {"/fee/bor", "/fee", "/fee/x", "/fee/bor/x", "/fee/bor/x", "/fee/bor/fee/x", "/fee/borfee/x"},
    {"/srv", "/foo", "/foobar", "/srv/bar", "/srvbar", "/srv/foobar", "/srvfoobar"},
    {"/srv/", "/foo", "/foo", "/srv", "/srv/", "/srv/foo", "/srv/foo"},
    {"/srv", "/foo/", "/foo/bar", "/srv/bar", "/srvbar", "/srv/foo/bar", "/srvfoo/bar"},
    /* no service path */
    {"", "/fee", "/fee", "/", "/", "/fee", "/fee"},
    {"", "/fee", "/fee/", "/", "/", "/fee/", "/fee/"},
    {"", "/", "/", "/", "/", "/", "/"},
    {"", "/", "/a/b", "/a/b", "/a/b", "/a/b", "/a/b"},
    {"", "/fee/", "/fee/bor", "/bor", "/bor", "/fee/bor", "/fee/bor"},
    /* the slash at the end */
    {"/srv", "/foo", "/foo", "/srv", "/srv", "/srv/foo", "/srvfoo"},
    {"/srv", "/foo", "/foo/", "/srv/", "/srv/", "/srv/foo/", "/srvfoo/"},
    {"/srv", "/foo/", "/foo/", "/srv/", "/srv", "/srv/foo/", "/srvfoo/"},
    {"/srv", "/", "/", "/srv", "/srv", "/srv", "/srv"},
    {"/srv/", "/", "/", "/srv/", "/srv/", "/srv/", "/srv/"},
    {"/srv/", "/foo", "/foo/", "/srv/", "/srv/", "/srv/foo/", "/srv/foo/"},
    {"/srv/", "/foo/", "/foo/bar", "/srv/bar", "/srv/bar", "/srv/foo/bar", "/srv/foo/bar"},
    {"/srv/", "/foo", "/foo/bar", "/srv/bar", "/srv/bar", "/srv/foo/bar", "/srv/foo/bar"},
    {"/srv/", "/foo", "/foobar", "/srv/bar", "/srv/bar", "/srv/foobar", "/srv/foobar"},
    /* what would become a dot segment */
    {"/srv", "/foo", "/foo..", "/srv", "/srv", "/srv/foo..", "/srvfoo.."},
    {"/srv", "/foo", "/foo.", "/srv", "/srv", "/srv/foo.", "/srvfoo."},
    {"/srv", "/foo", "/foo../x", "/srv/x", "/srvx", "/srv/foo../x", "/srvfoo../x"},
    {"/srv/", "/foo", "/foo./x", "/srv/x", "/srv/x", "/srv/foo./x", "/srv/foo./x"},
    {"/srv", "/foo", "/foo...", "/srv/...", "/srv...", "/srv/foo...", "/srvfoo..."},
    /* a route without paths strips nothing */
    {"/srv", NULL, "/a", "/srv/a", "/srva", "/srv/a", "/srva"},
    {"/srv/", NULL, "/a", "/srv/a", "/srv/a", "/srv/a", "/srv/a"},
    {"", NULL, "/a/", "/a/", "/a/", "/a/", "/a/"},
    {"", NULL, "/", "/", "/", "/", "/"},
    /* escapes */
    {"/s%20 v", "/a", "/a/\xc3\xa9 %2F", "/s%20%20v/%C3%A9%20%2F", "/s%20%20v/%C3%A9%20%2F",
     "/s%20%20v/a/%C3%A9%20%2F", "/s%20%20va/%C3%A9%20%2F"},
    {"/srv", NULL, "*", "*", "*", "*", "*"},
};

static void check(const struct path_case *its, bool v1, bool strip, const char *expected)
{
    const struct service service = {.path = str_of(its->service_path)};
    const struct route route = {.service = &service, .strip_path = strip, .path_handling_v1 = v1};
    uint32_t matched = its->route_path ? (uint32_t)strlen(its->route_path) : 0;
    char out[100];
    struct str prefix;

    memset(out, '#', sizeof(out));
    size_t len = path_for_upstream(&route, str_of(its->path), matched, its->route_path != NULL, out,
                                   strlen(expected), &prefix);
    if (len != strlen(expected) || memcmp(out, expected, len) != 0)
        fail_msg("service %s, route %s, request %s, %s, %s\nexpected %s\ngot      %.*s",
                 its->service_path, its->route_path, its->path, v1 ? "v1" : "v0",
                 strip ? "stripped" : "whole", expected, (int)len, out);
    assert_int_equal(out[len], '#');

    out[len - 1] = '#';
    assert_int_equal(path_for_upstream(&route, str_of(its->path), matched, its->route_path != NULL,
                                       out, len - 1, &prefix),
                     len);
    assert_int_equal(out[len - 1], '#');
}

static void upstream_paths_follow_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i], false, true, cases[i].v0_strip);
        check(&cases[i], true, true, cases[i].v1_strip);
        check(&cases[i], false, false, cases[i].v0_whole);
        check(&cases[i], true, false, cases[i].v1_whole);
    }
}

static struct str prefix_of(bool strip, const char *path, uint32_t matched, bool has_path)
{
    const struct route route = {.strip_path = strip};
    char out[100];
    struct str prefix;
    path_for_upstream(&route, str_of(path), matched, has_path, out, sizeof(out), &prefix);
    return prefix;
}

static void the_stripped_prefix_is_told_unless_it_is_the_root(void **state)
{
    (void)state;
    assert_true(str_equal(prefix_of(true, "/foo/bar", 4, true), STR("/foo")));
    assert_true(str_equal(prefix_of(true, "/foo", 4, true), STR("/foo")));
    assert_int_equal(prefix_of(true, "/foo", 1, true).len, 0);
    assert_int_equal(prefix_of(false, "/foo/bar", 4, true).len, 0);
    assert_int_equal(prefix_of(true, "/foo/bar", 0, false).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upstream_paths_follow_the_table),
        cmocka_unit_test(the_stripped_prefix_is_told_unless_it_is_the_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
