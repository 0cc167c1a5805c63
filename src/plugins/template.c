#include "plugins/template.h"

#include <string.h>

#include <uv.h> /* error codes only */

enum source { SOURCE_TEXT = 0, SOURCE_HEADER, SOURCE_ARGUMENT, SOURCE_CAPTURE };

/* One alternative of an expression, or a text between expressions. */
struct template_piece {
    enum source source;
    struct str name;     /* or the text itself */
    bool is_alternative; /* to the piece before it */
};

/* Where the parser stands. With no arena it only looks. */
struct reader {
    struct str rest;
    struct arena *arena;
    struct template_piece *pieces;
    size_t count;
};

static bool take(struct str *rest, struct str word)
{
    if (!str_starts_with(*rest, word))
        return false;
    *rest = str_make(rest->ptr + word.len, rest->len - word.len);
    return true;
}

static void skip_spaces(struct str *rest)
{
    while (rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == '\t'))
        take(rest, str_make(rest->ptr, 1));
}

static void put(struct reader *reader, enum source source, struct str name, bool is_alternative)
{
    if (reader->pieces)
        reader->pieces[reader->count] = (struct template_piece){source, name, is_alternative};
    reader->count++;
}

/* Text in quotes, without escapes. */
static bool take_quoted(struct str *rest, struct str *ret)
{
    char quote = rest->len > 0 ? rest->ptr[0] : '\0';
    if (quote != '"' && quote != '\'')
        return false;
    const char *end = memchr(rest->ptr + 1, quote, rest->len - 1);
    if (!end || memchr(rest->ptr, '\\', (size_t)(end - rest->ptr)))
        return false;
    *ret = str_make(rest->ptr + 1, (size_t)(end - rest->ptr) - 1);
    *rest = str_make(end + 1, rest->len - ret->len - 2);
    return true;
}

static bool is_word(char c)
{
    char lower = str_lower_char(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool take_word(struct str *rest, struct str *ret)
{
    size_t len = 0;
    while (len < rest->len && is_word(rest->ptr[len]))
        len++;
    *ret = str_make(rest->ptr, len);
    return len > 0 && take(rest, *ret);
}

/* ".name", "['name']", and "[1]" of captures. */
static bool take_name(struct str *rest, enum source source, struct str *ret)
{
    uint64_t number;
    if (take(rest, STR(".")))
        return take_word(rest, ret) && !str_to_u64(str_make(ret->ptr, 1), &number);
    if (!take(rest, STR("[")))
        return false;
    skip_spaces(rest);
    bool is_number = source == SOURCE_CAPTURE && rest->len > 0 && is_word(rest->ptr[0]);
    if (is_number ? !take_word(rest, ret) || !str_to_u64(*ret, &number) : !take_quoted(rest, ret))
        return false;
    skip_spaces(rest);
    return ret->len > 0 && take(rest, STR("]"));
}

static bool take_term(struct reader *reader, bool is_alternative)
{
    static const struct {
        struct str word;
        enum source source;
    } sources[] = {
        {STR_INIT("headers"), SOURCE_HEADER},
        {STR_INIT("query_params"), SOURCE_ARGUMENT},
        {STR_INIT("uri_captures"), SOURCE_CAPTURE},
    };
    struct str name;
    skip_spaces(&reader->rest);
    if (take_quoted(&reader->rest, &name)) {
        put(reader, SOURCE_TEXT, name, is_alternative);
        return true;
    }
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        if (!take(&reader->rest, sources[i].word))
            continue;
        if (!take_name(&reader->rest, sources[i].source, &name))
            return false;
        put(reader, sources[i].source, name, is_alternative);
        return true;
    }
    return false;
}

static bool take_expression(struct reader *reader)
{
    bool is_alternative = false;
    do {
        if (!take_term(reader, is_alternative))
            return false;
        skip_spaces(&reader->rest);
        is_alternative = true;
    } while (take(&reader->rest, STR("or ")));
    return take(&reader->rest, STR(")"));
}

static bool read_all(struct reader *reader)
{
    while (reader->rest.len > 0) {
        struct str rest = reader->rest;
        const char *start = memmem(rest.ptr, rest.len, "$(", 2);
        size_t len = start ? (size_t)(start - rest.ptr) : rest.len;
        if (len > 0)
            put(reader, SOURCE_TEXT, str_make(rest.ptr, len), false);
        reader->rest = str_make(rest.ptr + len, rest.len - len);
        if (take(&reader->rest, STR("$(")) && !take_expression(reader))
            return false;
    }
    return true;
}

bool template_is_understood(struct str text)
{
    struct reader reader = {.rest = text};
    return read_all(&reader);
}

int template_compile(struct str text, struct arena *arena, struct template *ret)
{
    struct str own = arena_copy(arena, text);
    struct reader looking = {.rest = own};
    if (!own.ptr)
        return UV_ENOMEM;
    if (!read_all(&looking))
        return UV_EINVAL;
    struct reader reader = {.rest = own};
    reader.pieces = arena_alloc(arena, (looking.count + 1) * sizeof(*reader.pieces));
    if (!reader.pieces)
        return UV_ENOMEM;
    read_all(&reader);
    *ret = (struct template){reader.pieces, reader.count};
    return 0;
}

int template_of_text(struct str text, struct arena *arena, struct template *ret)
{
    struct template_piece *piece = arena_alloc(arena, sizeof(*piece));
    if (!piece)
        return UV_ENOMEM;
    *piece = (struct template_piece){.source = SOURCE_TEXT, .name = arena_copy(arena, text)};
    *ret = (struct template){piece, 1};
    return piece->name.ptr ? 0 : UV_ENOMEM;
}

bool template_is_text(const struct template *template)
{
    for (size_t i = 0; i < template->count; i++)
        if (template->pieces[i].source != SOURCE_TEXT)
            return false;
    return true;
}

/* ---- on a request ---- */

static struct str value_of(const struct template_piece *piece, const struct plugin_request *request,
                           struct str lines)
{
    switch (piece->source) {
    case SOURCE_HEADER:
        return plugin_find(request->head, lines, piece->name);
    case SOURCE_ARGUMENT:
        return plugin_find_argument(request, piece->name, NULL);
    case SOURCE_CAPTURE:
        return request->find_capture ? request->find_capture(request->owner, piece->name)
                                     : STR_EMPTY;
    case SOURCE_TEXT:
        break;
    }
    return piece->name;
}

struct str template_render(const struct template *template, const struct plugin_request *request,
                           struct str lines)
{
    struct str *values = arena_alloc(request->arena, (template->count + 1) * sizeof(*values));
    size_t count = 0, len = 0;
    bool has_value = false;
    for (size_t i = 0; values && i < template->count; i++) {
        const struct template_piece *piece = &template->pieces[i];
        if (piece->is_alternative && has_value)
            continue;
        struct str value = value_of(piece, request, lines);
        has_value = value.ptr != NULL;
        values[count++] = value;
        len += value.len;
    }
    char *text = values ? arena_alloc(request->arena, len + 1) : NULL;
    char *at = text;
    for (size_t i = 0; text && i < count; i++)
        if (values[i].len > 0)
            at = mempcpy(at, values[i].ptr, values[i].len);
    return str_make(text, text ? len : 0);
}
