#include "plugins/plugin.h"

#include <string.h>

bool plugin_add_line(struct arena *arena, struct str *lines, struct str name, struct str value)
{
    size_t len = lines->len + name.len + value.len + 4;
    char *text = arena_alloc(arena, len);
    if (!text)
        return false;
    char *at = text;
    if (lines->len > 0)
        at = mempcpy(at, lines->ptr, lines->len);
    at = mempcpy(at, name.ptr, name.len);
    at = mempcpy(at, ": ", 2);
    if (value.len > 0)
        at = mempcpy(at, value.ptr, value.len);
    memcpy(at, "\r\n", 2);
    *lines = str_make(text, len);
    return true;
}

struct str plugin_find_field(const struct http_head *head, struct str name)
{
    for (unsigned i = 0; i < head->field_count; i++)
        if (str_equal_nocase(http_field_name(head, &head->fields[i]), name))
            return http_field_value(head, &head->fields[i]);
    return STR_EMPTY;
}
