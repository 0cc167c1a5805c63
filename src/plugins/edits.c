#include "plugins/edits.h"

#include <string.h>

#include <uv.h> /* error codes only */

#include "http/http1.h"

#define HOST STR("host")

static const char *const whats[] = {"headers", "querystring", "headers"}; /* by enum edits_of */
static const char *const kind_names[EDIT_KINDS] = {"remove", "rename", "replace", "add", "append"};

/* ---- compiling ---- */

/* "name:value", or a name alone. */
static void split(const json_t *entry, struct str *ret_name, struct str *ret_value)
{
    *ret_value = str_make(json_string_value(entry), json_string_length(entry));
    *ret_name = str_cut(ret_value, ':');
    while (ret_value->len > 0 && ret_value->ptr[0] == ':')
        *ret_value = str_make(ret_value->ptr + 1, ret_value->len - 1);
}

static bool is_understood(enum edit_kind kind, struct str name, struct str value, enum edits_of of)
{
    if (name.len == 0 ||
        (of != EDITS_OF_RESPONSE && (memmem(name.ptr, name.len, "$(", 2) ||
                                     (kind != EDIT_REMOVE && !template_is_understood(value)))))
        return false;
    if (of == EDITS_OF_QUERY ||
        (of == EDITS_OF_REQUEST && kind == EDIT_REPLACE && str_equal_nocase(name, HOST)))
        return true;
    return !plugin_is_reserved(name) && !(kind == EDIT_RENAME && plugin_is_reserved(value));
}

static const json_t *list_of(const json_t *config, int kind, const char *what)
{
    return json_object_get(json_object_get(config, kind_names[kind]), what);
}

bool edits_has(const json_t *config, const char *what)
{
    for (int kind = 0; kind < EDIT_KINDS; kind++)
        if (json_array_size(list_of(config, kind, what)) > 0)
            return true;
    return false;
}

bool edits_are_understood(const json_t *config, enum edits_of of)
{
    for (int kind = 0; kind < EDIT_KINDS; kind++) {
        size_t i;
        json_t *entry;
        json_array_foreach(list_of(config, kind, whats[of]), i, entry)
        {
            struct str name, value;
            split(entry, &name, &value);
            if (!is_understood((enum edit_kind)kind, name, value, of))
                return false;
        }
    }
    return true;
}

static int add(struct edits *edits, enum edits_of of, enum edit_kind kind, struct str name,
               struct str value, struct arena *arena)
{
    struct edit *edit = &edits->list[edits->count];
    *edit = (struct edit){.kind = kind, .name = arena_copy(arena, name)};
    int rc = edit->name.ptr ? 0 : UV_ENOMEM;
    if (rc == 0 && kind != EDIT_REMOVE)
        rc = of == EDITS_OF_RESPONSE ? template_of_text(value, arena, &edit->value)
                                     : template_compile(value, arena, &edit->value);
    edits->count += rc == 0;
    return rc;
}

int edits_compile(const json_t *config, enum edits_of of, struct arena *arena, struct edits *ret)
{
    size_t max = 0;
    for (int kind = 0; kind < EDIT_KINDS; kind++)
        max += json_array_size(list_of(config, kind, whats[of]));
    *ret = (struct edits){.list = arena_alloc(arena, (max + 1) * sizeof(*ret->list))};
    if (!ret->list)
        return UV_ENOMEM;
    for (int kind = 0; kind < EDIT_KINDS; kind++) {
        size_t i;
        json_t *entry;
        json_array_foreach(list_of(config, kind, whats[of]), i, entry)
        {
            struct str name, value;
            split(entry, &name, &value);
            if (is_understood((enum edit_kind)kind, name, value, of) &&
                add(ret, of, (enum edit_kind)kind, name, value, arena))
                return UV_ENOMEM;
        }
    }
    return 0;
}

struct str *edits_render(const struct edits *edits, const struct plugin_request *request,
                         struct str lines)
{
    struct str *values = arena_alloc(request->arena, (edits->count + 1) * sizeof(*values));
    for (size_t i = 0; values && i < edits->count; i++) {
        values[i] = template_render(&edits->list[i].value, request, lines);
        if (!values[i].ptr)
            return NULL;
    }
    return values;
}

/* ---- heads ---- */

/* All values go on under the new name, in place of what is there. */
static void rename_field(struct arena *arena, struct http_head *head, struct str *lines,
                         struct str name, struct str new_name)
{
    struct str no_lines = STR_EMPTY;
    if (str_equal_nocase(name, new_name) || !plugin_has(head, *lines, name))
        return;
    plugin_drop(head, lines, new_name);
    plugin_rename_lines(arena, lines, name, new_name);
    for (unsigned i = 0; head && i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!field->is_hop_by_hop && str_equal_nocase(http_field_name(head, field), name))
            plugin_add_line(arena, lines, new_name, http_field_value(head, field));
    }
    plugin_drop(head, &no_lines, name);
}

/* A name that is made of a request is the client's to choose: it may neither frame a message nor
 * say who asks. */
static bool may_be_named(const struct edit *edit, struct str name)
{
    return http1_is_token(name) && !plugin_is_reserved(name) &&
           (template_is_text(&edit->value) || !header_tells_consumer(name));
}

void edits_apply_to_head(const struct edits *edits, const struct str *values, struct arena *arena,
                         struct http_head *head, struct str *lines)
{
    for (size_t i = 0; i < edits->count; i++) {
        const struct edit *edit = &edits->list[i];
        if (str_equal_nocase(edit->name, HOST))
            continue;
        switch (edit->kind) {
        case EDIT_REMOVE:
            plugin_drop(head, lines, edit->name);
            break;
        case EDIT_RENAME:
            if (may_be_named(edit, values[i]))
                rename_field(arena, head, lines, edit->name, values[i]);
            break;
        case EDIT_REPLACE:
            if (plugin_has(head, *lines, edit->name))
                plugin_set(arena, head, lines, edit->name, values[i]);
            break;
        case EDIT_ADD:
            if (!plugin_has(head, *lines, edit->name))
                plugin_add_line(arena, lines, edit->name, values[i]);
            break;
        case EDIT_APPEND:
        case EDIT_KINDS:
            plugin_add_line(arena, lines, edit->name, values[i]);
            break;
        }
    }
}

/* ---- queries ---- */

struct argument {
    struct str raw; /* as it came; its ptr is NULL for one that was made or changed */
    struct str name;
    struct str value;
    bool has_value; /* there is a '=' */
    bool is_gone;
};

struct arguments {
    struct argument *list;
    size_t count;
};

static bool read_query(struct arguments *arguments, const struct plugin_request *request,
                       size_t more)
{
    struct str query = request->uri->query;
    size_t max = more + 1;
    for (size_t i = 0; i < query.len; i++)
        max += query.ptr[i] == '&';
    *arguments = (struct arguments){arena_alloc(request->arena, max * sizeof(struct argument)), 0};
    while (arguments->list && query.len > 0) {
        struct str raw = str_cut(&query, '&');
        struct str value = raw;
        struct str name = str_cut(&value, '=');
        if (raw.len == 0)
            continue;
        arguments->list[arguments->count++] = (struct argument){
            .raw = raw,
            .name = plugin_unescape(request->arena, name),
            .value = plugin_unescape(request->arena, value),
            .has_value = name.len < raw.len,
        };
    }
    return arguments->list != NULL;
}

/* The next of that name from *at on; NULL: none. */
static struct argument *next(struct arguments *arguments, struct str name, size_t *at)
{
    for (; *at < arguments->count; (*at)++) {
        struct argument *argument = &arguments->list[*at];
        if (!argument->is_gone && str_equal(argument->name, name)) {
            (*at)++;
            return argument;
        }
    }
    return NULL;
}

static bool has(struct arguments *arguments, struct str name)
{
    size_t at = 0;
    return next(arguments, name, &at) != NULL;
}

static void remove_all(struct arguments *arguments, struct str name)
{
    struct argument *argument;
    size_t at = 0;
    while ((argument = next(arguments, name, &at)))
        argument->is_gone = true;
}

static void append(struct arguments *arguments, struct str name, struct str value)
{
    arguments->list[arguments->count++] =
        (struct argument){.name = name, .value = value, .has_value = true};
}

static void rename_argument(struct arguments *arguments, struct str name, struct str new_name)
{
    struct argument *argument;
    size_t at = 0;
    if (str_equal(name, new_name) || !has(arguments, name))
        return;
    remove_all(arguments, new_name);
    while ((argument = next(arguments, name, &at))) {
        argument->name = new_name;
        argument->raw = STR_EMPTY;
    }
}

/* In the place of the first. */
static void replace(struct arguments *arguments, struct str name, struct str value)
{
    size_t at = 0;
    struct argument *argument = next(arguments, name, &at);
    if (!argument)
        return;
    remove_all(arguments, name);
    *argument = (struct argument){.name = name, .value = value, .has_value = true};
}

static char *escape(char *at, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char lower = str_lower_char((char)c);
        bool is_plain =
            (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
        if (is_plain) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    return at;
}

static void write_query(const struct arguments *arguments, const struct plugin_request *request)
{
    size_t size = 1;
    for (size_t i = 0; i < arguments->count; i++) {
        const struct argument *argument = &arguments->list[i];
        size += argument->raw.len + 3 * (argument->name.len + argument->value.len) + 2;
    }
    char *text = arena_alloc(request->arena, size);
    char *at = text;
    for (size_t i = 0; text && i < arguments->count; i++) {
        const struct argument *argument = &arguments->list[i];
        if (argument->is_gone)
            continue;
        if (at != text)
            *at++ = '&';
        if (argument->raw.ptr) {
            at = mempcpy(at, argument->raw.ptr, argument->raw.len);
            continue;
        }
        at = escape(at, argument->name);
        if (argument->has_value) {
            *at++ = '=';
            at = escape(at, argument->value);
        }
    }
    if (text)
        plugin_set_query(request, str_make(text, (size_t)(at - text)));
}

void edits_apply_to_query(const struct edits *edits, const struct str *values,
                          const struct plugin_request *request)
{
    struct arguments arguments;
    if (edits->count == 0 || !read_query(&arguments, request, edits->count))
        return;
    for (size_t i = 0; i < edits->count; i++) {
        const struct edit *edit = &edits->list[i];
        switch (edit->kind) {
        case EDIT_REMOVE:
            remove_all(&arguments, edit->name);
            break;
        case EDIT_RENAME:
            rename_argument(&arguments, edit->name, values[i]);
            break;
        case EDIT_REPLACE:
            replace(&arguments, edit->name, values[i]);
            break;
        case EDIT_ADD:
            if (!has(&arguments, edit->name))
                append(&arguments, edit->name, values[i]);
            break;
        case EDIT_APPEND:
        case EDIT_KINDS:
            append(&arguments, edit->name, values[i]);
            break;
        }
    }
    write_query(&arguments, request);
}
