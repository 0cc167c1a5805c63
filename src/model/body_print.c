#include "model/body_print.h"

#include <stdio.h>
#include <string.h>

#include <uv.h> /* error codes only */

static int print_value(const json_t *value, struct buf *out);

/* ---- values ---- */

static bool needs_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static int print_escaped(unsigned char c, struct buf *out)
{
    static const char short_of[] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
                                    ['\t'] = 't', ['"'] = '"',  ['\\'] = '\\'};
    char text[8];
    int len = short_of[c] ? snprintf(text, sizeof(text), "\\%c", short_of[c])
                          : snprintf(text, sizeof(text), "\\u%04X", c);
    return buf_append(out, text, (size_t)len);
}

static int print_string(const char *text, size_t len, struct buf *out)
{
    int rc = buf_append(out, "\"", 1);
    for (size_t at = 0; rc == 0 && at < len;) {
        size_t from = at;
        while (at < len && !needs_escape((unsigned char)text[at]))
            at++;
        rc = buf_append(out, text + from, at - from);
        if (rc == 0 && at < len)
            rc = print_escaped((unsigned char)text[at++], out);
    }
    return rc ? rc : buf_append(out, "\"", 1);
}

static int print_integer(json_int_t number, struct buf *out)
{
    char text[24];
    char *at = text + sizeof(text);
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        *--at = '-';
    return buf_append(out, at, (size_t)(text + sizeof(text) - at));
}

static int print_real(const json_t *value, struct buf *out)
{
    char text[64];
    size_t len = json_dumpb(value, text, sizeof(text), ENTITY_DUMP_FLAGS | JSON_ENCODE_ANY);
    return len > 0 && len <= sizeof(text) ? buf_append(out, text, len) : UV_EINVAL;
}

static int print_array(const json_t *array, struct buf *out)
{
    int rc = buf_append(out, "[", 1);
    for (size_t i = 0; rc == 0 && i < json_array_size(array); i++) {
        if (i > 0)
            rc = buf_append(out, ",", 1);
        if (rc == 0)
            rc = print_value(json_array_get(array, i), out);
    }
    return rc ? rc : buf_append(out, "]", 1);
}

/* A comma before all but the first. */
static int print_key(const char *key, bool *is_first, struct buf *out)
{
    int rc = *is_first ? 0 : buf_append(out, ",", 1);
    *is_first = false;
    if (rc == 0)
        rc = print_string(key, strlen(key), out);
    return rc ? rc : buf_append(out, ":", 1);
}

static int print_object(const json_t *object, struct buf *out)
{
    bool is_first = true;
    const char *key;
    json_t *value;
    int rc = buf_append(out, "{", 1);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (rc == 0)
            rc = print_key(key, &is_first, out);
        if (rc == 0)
            rc = print_value(value, out);
    }
    return rc ? rc : buf_append(out, "}", 1);
}

static int print_value(const json_t *value, struct buf *out)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return print_object(value, out);
    case JSON_ARRAY:
        return print_array(value, out);
    case JSON_STRING:
        return print_string(json_string_value(value), json_string_length(value), out);
    case JSON_INTEGER:
        return print_integer(json_integer_value(value), out);
    case JSON_REAL:
        return print_real(value, out);
    case JSON_TRUE:
        return buf_append(out, "true", 4);
    case JSON_FALSE:
        return buf_append(out, "false", 5);
    case JSON_NULL:
        break;
    }
    return buf_append(out, "null", 4);
}

/* ---- rows ---- */

/* Whether records below are shown as they are: no field is hidden, no shorthand repeated. */
static bool is_plain(const struct field *fields)
{
    for (const struct field *field = fields; field->name; field++)
        if (field->hidden_when_null ||
            (field->type == FIELD_RECORD && (field->shorthands || !is_plain(field->fields))))
            return false;
    return true;
}

bool body_is_printable(const struct entity *entity, const json_t *row)
{
    if (entity->show || entity->listed || entity->variants)
        return false;
    for (const struct field *field = entity->fields; field->name; field++)
        if (field->type == FIELD_RECORD && json_is_object(json_object_get(row, field->name)) &&
            (field->shorthands || !is_plain(field->fields)))
            return false;
    return true;
}

int body_print(const struct entity *entity, const json_t *row, struct buf *out)
{
    bool is_first = true;
    int rc = buf_append(out, "{", 1);
    for (const struct field *field = entity->fields; rc == 0 && field->name; field++) {
        const json_t *value = json_object_get(row, field->name);
        bool is_null = !value || json_is_null(value);
        if (field->internal || (is_null && field->hidden_when_null))
            continue;
        rc = print_key(field->name, &is_first, out);
        if (rc == 0)
            rc = print_value(value, out);
    }
    return rc ? rc : buf_append(out, "}", 1);
}
