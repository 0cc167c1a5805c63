#include "proxy/path.h"

#include "http/uri.h"

/* The upstream path before it is escaped: up to three pieces that stand one behind the other. */
struct pieces {
    struct str base;
    struct str separator;
    struct str rest;
};

static struct str drop_first(struct str s, size_t count)
{
    return str_make(s.ptr + count, s.len - count);
}

static struct str drop_last(struct str s)
{
    return str_make(s.ptr, s.len - 1);
}

static bool starts_with_slash(struct str s)
{
    return s.len > 0 && s.ptr[0] == '/';
}

static bool ends_with_slash(struct str s)
{
    return s.len > 0 && s.ptr[s.len - 1] == '/';
}

/* What is left behind a stripped prefix may look like a dot segment that the request's path did not
 * have: "/a" stripped from "/a../b". */
static struct str without_dot_segment(struct str rest)
{
    if (str_equal(rest, STR(".")) || str_equal(rest, STR("..")))
        return STR_EMPTY;
    if (str_starts_with(rest, STR("./")))
        return drop_first(rest, 2);
    if (str_starts_with(rest, STR("../")))
        return drop_first(rest, 3);
    return rest;
}

/* Nothing is left of the path: whether the result ends with a slash is the request's choice. */
static struct pieces base_alone(struct str base, struct str path)
{
    if (!ends_with_slash(base))
        return (struct pieces){
            .base = base,
            .separator = path.len > 1 && ends_with_slash(path) ? STR("/") : STR_EMPTY,
        };
    if (base.len == 1 || ends_with_slash(path))
        return (struct pieces){.base = base};
    return (struct pieces){.base = drop_last(base)};
}

/* Exactly one slash between the two. */
static struct pieces join_as_segments(struct str base, struct str rest)
{
    if (ends_with_slash(base))
        base = drop_last(base);
    return (struct pieces){base, starts_with_slash(rest) ? STR_EMPTY : STR("/"), rest};
}

/* As they are, but for a doubled slash. */
static struct pieces join_as_text(struct str base, struct str rest)
{
    if (ends_with_slash(base) && starts_with_slash(rest))
        base = drop_last(base);
    return (struct pieces){base, STR_EMPTY, rest};
}

/* An absent slash in front of `rest` is part of the rule: v1 puts nothing in its place. */
static struct pieces join(const struct route *route, struct str base, struct str path,
                          struct str rest)
{
    if (route->path_handling_v1)
        return join_as_text(base, rest);
    if (!route->strip_path && !ends_with_slash(base))
        return (struct pieces){base, STR_EMPTY, path.len == 1 ? STR_EMPTY : path};
    if (!route->strip_path)
        return (struct pieces){base, STR_EMPTY, rest};
    return rest.len == 0 ? base_alone(base, path) : join_as_segments(base, rest);
}

static size_t write(struct pieces pieces, char *out, size_t size)
{
    const struct str list[] = {pieces.base, pieces.separator, pieces.rest};
    size_t needed = 0;
    for (int i = 0; i < 3; i++) {
        size_t room = needed < size ? size - needed : 0;
        needed += uri_escape_path(list[i], out + size - room, room);
    }
    return needed;
}

size_t path_for_upstream(const struct route *route, struct str path, uint32_t matched_len,
                         bool has_path, char *out, size_t size, struct str *ret_prefix)
{
    bool strips = route->strip_path && has_path;
    struct str base = route->service ? route->service->path : STR_EMPTY;
    struct str rest =
        strips ? without_dot_segment(drop_first(path, matched_len)) : drop_first(path, 1);

    *ret_prefix = strips && matched_len > 1 ? str_make(path.ptr, matched_len) : STR_EMPTY;
    if (str_equal(path, STR("*"))) /* OPTIONS * is about the server, not about a path */
        return write((struct pieces){.base = path}, out, size);
    return write(join(route, base.len ? base : STR("/"), path, rest), out, size);
}
