#include "model/table_dump.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **table_sorted_keys(const json_t *object, size_t *ret_count)
{
    size_t count = 0;
    const char **keys = calloc(json_object_size(object) + 1, sizeof(*keys));
    *ret_count = 0;
    if (!keys)
        return NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) keys[count++] = key;
    qsort(keys, count, sizeof(*keys), compare_names);
    *ret_count = count;
    return keys;
}

static bool is_identifier(const char *name)
{
    static const char *const keywords[] = {"and",   "break", "do",       "else", "elseif", "end",
                                           "false", "for",   "function", "goto", "if",     "in",
                                           "local", "nil",   "not",      "or",   "repeat", "return",
                                           "then",  "true",  "until",    "while"};
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    if (len == 0 || name[len] || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (strcmp(name, keywords[i]) == 0)
            return false;
    return true;
}

static void dump_string(struct buf *out, const char *text)
{
    buf_append(out, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\' || *text == '\n')
            buf_append(out, "\\", 1);
        if (*text == '\r')
            buf_append(out, "\\r", 2);
        else
            buf_append(out, text, 1);
    }
    buf_append(out, "\"", 1);
}

struct dump_style {
    const char *equals;
    const char *line; /* after each entry */
    unsigned step;    /* spaces a level */
};

static const struct dump_style one_line = {.equals = "=", .line = ""};
static const struct dump_style many_lines = {.equals = " = ", .line = "\n", .step = 2};

static void dump_value(struct buf *out, const json_t *value, const struct dump_style *style,
                       unsigned indent);

static void begin_entry(struct buf *out, const struct dump_style *style, unsigned indent,
                        bool *is_first)
{
    buf_printf(out, "%s%s%*s", *is_first ? "" : ",", style->line, (int)(indent + style->step), "");
    *is_first = false;
}

/* The first elements without a gap stand bare, those behind a gap have their number. */
static void dump_array(struct buf *out, const json_t *array, const struct dump_style *style,
                       unsigned indent, bool *is_first)
{
    bool has_gap = false;
    size_t i;
    json_t *value;
    json_array_foreach((json_t *)(uintptr_t)array, i, value)
    {
        if (json_is_null(value)) {
            has_gap = true;
            continue;
        }
        begin_entry(out, style, indent, is_first);
        if (has_gap)
            buf_printf(out, "[%zu]%s", i + 1, style->equals);
        dump_value(out, value, style, indent + style->step);
    }
}

static void dump_object(struct buf *out, const json_t *object, const struct dump_style *style,
                        unsigned indent, bool *is_first)
{
    size_t count;
    const char **keys = table_sorted_keys(object, &count);
    for (size_t i = 0; i < count; i++) {
        begin_entry(out, style, indent, is_first);
        if (is_identifier(keys[i])) {
            buf_printf(out, "%s", keys[i]);
        } else {
            buf_append(out, "[", 1);
            dump_string(out, keys[i]);
            buf_append(out, "]", 1);
        }
        buf_printf(out, "%s", style->equals);
        dump_value(out, json_object_get(object, keys[i]), style, indent + style->step);
    }
    free(keys);
}

static void dump_value(struct buf *out, const json_t *value, const struct dump_style *style,
                       unsigned indent)
{
    bool is_first = true;
    switch (json_typeof(value)) {
    case JSON_STRING:
        dump_string(out, json_string_value(value));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        buf_printf(out, "%.14g", json_number_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        buf_printf(out, json_is_true(value) ? "true" : "false");
        break;
    case JSON_NULL:
        buf_printf(out, "null");
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        buf_append(out, "{", 1);
        if (json_is_array(value))
            dump_array(out, value, style, indent, &is_first);
        else
            dump_object(out, value, style, indent, &is_first);
        buf_printf(out, "%s%*s}", style->line, (int)indent, "");
        break;
    }
}

void table_dump(struct buf *out, const json_t *value, enum table_dump_form form)
{
    dump_value(out, value, form == TABLE_DUMP_ONE_LINE ? &one_line : &many_lines, 0);
}
