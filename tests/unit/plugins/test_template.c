#include "plugins/template.h"

#include <uv.h>

#include "unit/plugins/plugins.h"

#define HEAD "GET /a?q=x%20y&e= HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nX-Gone: 2\r\n\r\n"

static struct str capture(const void *owner, struct str name)
{
    (void)owner;
    return str_equal(name, STR("id")) || str_equal(name, STR("1")) ? STR("42") : STR_EMPTY;
}

static void renders(const char *text, const char *wanted)
{
    struct seen seen;
    struct template template;
    struct str no_lines = STR_EMPTY;
    seen_init(&seen, HEAD);
    seen.request.find_capture = capture;
    plugin_drop(&seen.head, &no_lines, STR("X-Gone"));
    int rc = template_compile(str_of(text), &seen.arena, &template);
    assert_int_equal(rc, wanted ? 0 : UV_EINVAL);
    assert_int_equal(template_is_understood(str_of(text)), wanted != NULL);
    if (wanted)
        assert_str(template_render(&template, &seen.request, STR("X-Line: 3\r\n")), wanted);
    seen_deinit(&seen);
}

TEST(parts_of_the_request_stand_in_the_text)
{
    renders("plain", "plain");
    renders("", "");
    renders("$5 (five)", "$5 (five)");
    renders("a-$(headers['x-one'])-b", "a-1-b");
    renders("$(headers.host)", "h");
    renders("$( query_params.q )$(uri_captures.id)", "x y42");
    renders("$(uri_captures[1])$(uri_captures[\"id\"])", "4242");
    renders("$(headers[\"x-line\"])", "3");
}

TEST(the_first_that_there_is_counts)
{
    renders("$(headers.none or query_params.q)", "x y");
    renders("$(headers.none or 'else')!", "else!");
    renders("$(query_params.e or 'else')", "");
    renders("$(headers.none)", "");
    renders("$(headers.none or headers.nor_this)", "");
    renders("$(headers['x-gone'] or 'hidden')", "hidden");
}

TEST(no_other_lua_is_understood)
{
    renders("$(", NULL);
    renders("$()", NULL);
    renders("$(os.time())", NULL);
    renders("$(headers)", NULL);
    renders("$(headers.x", NULL);
    renders("$(headers.1)", NULL);
    renders("$(headers[1])", NULL);
    renders("$(headers['x)", NULL);
    renders("$('a\\n')", NULL);
    renders("$(headers.x .. 'y')", NULL);
    renders("$(headers.x or)", NULL);
    renders("$(shared.x)", NULL);
}

RUN(T(parts_of_the_request_stand_in_the_text), T(the_first_that_there_is_counts),
    T(no_other_lua_is_understood))
