#include "proxy/router_regex.h"

#include <string.h>

/* What cannot be understood by a look this quick ends it: then nothing is known to be required.
 * That are flags within the pattern, assertions, verbs, quotes, comments, and escapes that take
 * more than a character. */

#define GIVE_UP SIZE_MAX

/* A run of literal bytes that stands outside of all groups. */
struct runs {
    char *now; /* of pattern.len bytes, as `longest` */
    char *longest;
    size_t now_len, longest_len;
};

static void end_run(struct runs *runs)
{
    if (runs->now_len > runs->longest_len) {
        memcpy(runs->longest, runs->now, runs->now_len);
        runs->longest_len = runs->now_len;
    }
    runs->now_len = 0;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(char c, const char *chars)
{
    return c != '\0' && strchr(chars, c);
}

/* Of the escape at `at`: its end. */
static size_t skip_escape(struct str pattern, size_t at)
{
    if (at + 1 >= pattern.len)
        return GIVE_UP;
    char c = pattern.ptr[at + 1];
    return is_alphanumeric(c) && !is_one_of(c, "dDwWsSbBhHvV") ? GIVE_UP : at + 2;
}

static size_t skip_class(struct str pattern, size_t at)
{
    at++;
    if (at < pattern.len && pattern.ptr[at] == '^')
        at++;
    if (at < pattern.len && pattern.ptr[at] == ']') /* a first one is a member */
        at++;
    while (at < pattern.len && pattern.ptr[at] != ']') {
        bool is_named =
            pattern.ptr[at] == '[' && at + 1 < pattern.len && is_one_of(pattern.ptr[at + 1], ":.=");
        if (is_named)
            return GIVE_UP;
        at = pattern.ptr[at] == '\\' ? skip_escape(pattern, at) : at + 1;
        if (at == GIVE_UP)
            return GIVE_UP;
    }
    return at < pattern.len ? at + 1 : GIVE_UP;
}

/* Behind what opens a group: "(", "(?:", "(?<name>", "(?P<name>". */
static size_t skip_opening(struct str pattern, size_t at)
{
    at++;
    if (at < pattern.len && pattern.ptr[at] == '*')
        return GIVE_UP;
    if (at >= pattern.len || pattern.ptr[at] != '?')
        return at;
    at++;
    if (at < pattern.len && pattern.ptr[at] == ':')
        return at + 1;
    if (at < pattern.len && pattern.ptr[at] == 'P')
        at++;
    if (at + 1 >= pattern.len || pattern.ptr[at] != '<' || is_one_of(pattern.ptr[at + 1], "=!"))
        return GIVE_UP;
    const char *end = memchr(pattern.ptr + at, '>', pattern.len - at);
    return end ? (size_t)(end - pattern.ptr) + 1 : GIVE_UP;
}

static size_t skip_group(struct str pattern, size_t at)
{
    unsigned depth = 0;
    do {
        if (at >= pattern.len)
            return GIVE_UP;
        switch (pattern.ptr[at]) {
        case '(':
            depth++;
            at = skip_opening(pattern, at);
            break;
        case ')':
            depth--;
            at++;
            break;
        case '[':
            at = skip_class(pattern, at);
            break;
        case '\\':
            at = skip_escape(pattern, at);
            break;
        default:
            at++;
        }
        if (at == GIVE_UP)
            return GIVE_UP;
    } while (depth > 0);
    return at;
}

/* "*", "{2,}+": its end; *ret_may_be_none where it allows for nothing. `at` itself: there is none.
 */
static size_t skip_quantifier(struct str pattern, size_t at, bool *ret_may_be_none)
{
    *ret_may_be_none = false;
    if (at >= pattern.len || !is_one_of(pattern.ptr[at], "?*+{"))
        return at;
    *ret_may_be_none = pattern.ptr[at] != '+';
    if (pattern.ptr[at] == '{') { /* it may be one of none; braces with else in them are literal */
        size_t end = at + 1;
        while (end < pattern.len &&
               ((pattern.ptr[end] >= '0' && pattern.ptr[end] <= '9') || pattern.ptr[end] == ','))
            end++;
        if (end == at + 1 || end >= pattern.len || pattern.ptr[end] != '}')
            return GIVE_UP;
        at = end;
    }
    at++;
    if (at < pattern.len && is_one_of(pattern.ptr[at], "?+")) /* lazy, possessive */
        at++;
    return at;
}

/* The element at `at` and its quantifier: their end. */
static size_t take_element(struct str pattern, size_t at, struct runs *runs)
{
    char c = pattern.ptr[at];
    bool is_literal = false, may_be_none;
    size_t end = at + 1;
    if (c == '(') {
        end = skip_group(pattern, at);
    } else if (c == '[') {
        end = skip_class(pattern, at);
    } else if (c == '\\') {
        end = skip_escape(pattern, at);
        is_literal = end != GIVE_UP && !is_alphanumeric(pattern.ptr[at + 1]);
        c = is_literal ? pattern.ptr[at + 1] : c;
    } else if (is_one_of(c, "|)?*+{")) {
        return GIVE_UP;
    } else {
        is_literal = !is_one_of(c, "^$.");
    }
    if (end == GIVE_UP)
        return GIVE_UP;
    size_t behind = skip_quantifier(pattern, end, &may_be_none);
    if (is_literal && !may_be_none)
        runs->now[runs->now_len++] = c;
    if (!is_literal || behind != end)
        end_run(runs);
    return behind;
}

size_t router_regex_required_literal(struct str pattern, char *out)
{
    struct runs runs = {.now = out, .longest = out + pattern.len};
    for (size_t at = 0; at < pattern.len;) {
        at = take_element(pattern, at, &runs);
        if (at == GIVE_UP)
            return 0;
    }
    end_run(&runs);
    memmove(out, runs.longest, runs.longest_len);
    return runs.longest_len;
}
