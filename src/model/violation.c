#include "model/violation.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/table_dump.h"

#define ENTITY_FIELD "@entity"

/* Texts here repeat what a request body brought, and the body's size is bounded by its reader. */
#define TEXT_MAX_BYTES (256u << 20)

void violation_deinit(struct violation *violation)
{
    json_decref(violation->fields);
    free(violation->message);
    free(violation->what);
    *violation = (struct violation){0};
}

static __attribute__((format(printf, 1, 0))) json_t *text_of(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return NULL;
    json_t *string = json_string(text);
    if (!string) { /* it repeats a value that is not UTF-8 */
        for (char *at = text; *at; at++)
            if ((unsigned char)*at >= 0x80)
                *at = '?';
        string = json_string(text);
    }
    free(text);
    return string;
}

json_t *violation_text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *text = text_of(format, args);
    va_end(args);
    return text;
}

static void become_schema_violation(struct violation *violation)
{
    if (violation->code == VIOLATION_NONE)
        violation->code = VIOLATION_SCHEMA;
    if (!violation->fields)
        violation->fields = json_object();
}

void violation_add_tree(struct violation *violation, const char *field, json_t *errors)
{
    become_schema_violation(violation);
    if (violation_has(violation, field))
        json_decref(errors);
    else
        json_object_set_new_nocheck(violation->fields, field, errors);
}

void violation_add(struct violation *violation, const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *text = text_of(format, args);
    va_end(args);

    become_schema_violation(violation);
    json_t *at = violation->fields;
    const char *dot;
    while (json_is_object(at) && (dot = strchr(path, '.'))) {
        size_t len = (size_t)(dot - path);
        json_t *next = json_object_getn(at, path, len);
        if (!next) {
            json_object_setn_new(at, path, len, json_object());
            next = json_object_getn(at, path, len);
        }
        at = next;
        path = dot + 1;
    }
    if (json_is_object(at) && !json_object_get(at, path))
        json_object_set_new(at, path, text);
    else
        json_decref(text);
}

void violation_overrule(struct violation *violation, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *text = text_of(format, args);
    va_end(args);
    become_schema_violation(violation);
    json_object_set_new(violation->fields, field, text);
}

bool violation_has(const struct violation *violation, const char *field)
{
    return json_object_get(violation->fields, field) != NULL;
}

void violation_add_entity(struct violation *violation, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *text = text_of(format, args);
    va_end(args);
    become_schema_violation(violation);
    if (!violation_has(violation, ENTITY_FIELD))
        json_object_set_new(violation->fields, ENTITY_FIELD, json_array());
    json_array_append_new(json_object_get(violation->fields, ENTITY_FIELD), text);
}

void violation_set(struct violation *violation, enum violation_code code, json_t *fields,
                   const char *format, ...)
{
    violation_deinit(violation);
    violation->code = code;
    violation->fields = fields;
    va_list args;
    va_start(args, format);
    if (vasprintf(&violation->message, format, args) < 0)
        violation->message = NULL;
    va_end(args);
}

int violation_status(const struct violation *violation)
{
    switch (violation->code) {
    case VIOLATION_UNIQUE:
        return 409;
    case VIOLATION_NOT_FOUND:
        return 404;
    case VIOLATION_UNSUPPORTED:
        return 405;
    case VIOLATION_DATABASE:
        return 500;
    default:
        return 400;
    }
}

static char *take_text(struct buf *buf)
{
    char *text = str_dup(buf_len(buf) ? buf_str(buf) : STR_EMPTY);
    buf_deinit(buf);
    return text;
}

char *violation_dump(const json_t *value)
{
    struct buf out;
    buf_init(&out, TEXT_MAX_BYTES);
    table_dump(&out, value, TABLE_DUMP_ONE_LINE);
    return take_text(&out);
}

/* ---- the message of a schema violation ---- */

struct sentence {
    struct buf text;
    size_t count;
};

static void begin_part(struct sentence *sentence)
{
    if (sentence->count++ > 0)
        buf_printf(&sentence->text, "; ");
}

/* A message stands as it is; what lies deeper than two levels is dumped. */
static void add_leaf(struct sentence *sentence, const json_t *error)
{
    if (json_is_string(error))
        buf_printf(&sentence->text, "%s", json_string_value(error));
    else
        table_dump(&sentence->text, error, TABLE_DUMP_MANY_LINES);
}

static void add_elements(struct sentence *sentence, const char *field, const json_t *errors)
{
    size_t i;
    json_t *error;
    json_array_foreach((json_t *)(uintptr_t)errors, i, error)
    {
        if (json_is_null(error))
            continue;
        begin_part(sentence);
        buf_printf(&sentence->text, "%s.%zu: ", field, i + 1);
        add_leaf(sentence, error);
    }
}

static void add_subfields(struct sentence *sentence, const char *field, const json_t *errors)
{
    size_t count;
    const char **keys = table_sorted_keys(errors, &count);
    for (size_t i = 0; i < count; i++) {
        begin_part(sentence);
        buf_printf(&sentence->text, "%s.%s: ", field, keys[i]);
        add_leaf(sentence, json_object_get(errors, keys[i]));
    }
    free(keys);
}

static void add_entity_errors(struct sentence *sentence, const json_t *errors)
{
    size_t i;
    json_t *error;
    json_array_foreach((json_t *)(uintptr_t)errors, i, error)
    {
        begin_part(sentence);
        add_leaf(sentence, error);
    }
}

static json_t *schema_message(const json_t *fields)
{
    struct sentence sentence = {.count = 0};
    buf_init(&sentence.text, TEXT_MAX_BYTES);
    add_entity_errors(&sentence, json_object_get(fields, ENTITY_FIELD));

    size_t count;
    const char **keys = table_sorted_keys(fields, &count);
    for (size_t i = 0; i < count; i++) {
        const json_t *errors = json_object_get(fields, keys[i]);
        if (strcmp(keys[i], ENTITY_FIELD) == 0)
            continue;
        if (json_is_array(errors)) {
            add_elements(&sentence, keys[i], errors);
        } else if (json_is_object(errors)) {
            add_subfields(&sentence, keys[i], errors);
        } else {
            begin_part(&sentence);
            buf_printf(&sentence.text, "%s: ", keys[i]);
            add_leaf(&sentence, errors);
        }
    }
    free(keys);

    size_t parts = sentence.count;
    char *text = take_text(&sentence.text);
    json_t *message = parts == 1
                          ? violation_text("schema violation (%s)", text ? text : "")
                          : violation_text("%zu schema violations (%s)", parts, text ? text : "");
    free(text);
    return message;
}

/* Objects with their keys in order, at every level. */
static json_t *sorted_copy(const json_t *value)
{
    if (json_is_array(value)) {
        json_t *copy = json_array();
        size_t i;
        json_t *element;
        json_array_foreach((json_t *)(uintptr_t)value, i, element)
            json_array_append_new(copy, sorted_copy(element));
        return copy;
    }
    if (json_is_object(value)) {
        json_t *copy = json_object();
        size_t count;
        const char **keys = table_sorted_keys(value, &count);
        for (size_t i = 0; i < count; i++)
            json_object_set_new_nocheck(copy, keys[i],
                                        sorted_copy(json_object_get(value, keys[i])));
        free(keys);
        return copy;
    }
    return json_deep_copy(value);
}

static json_t *name_of(const struct violation *violation)
{
    static const char *const names[] = {
        [VIOLATION_PRIMARY_KEY_INVALID] = "invalid primary key",
        [VIOLATION_SCHEMA] = "schema violation",
        [VIOLATION_PRIMARY_KEY] = "primary key violation",
        [VIOLATION_FOREIGN_KEY] = "foreign key violation",
        [VIOLATION_UNIQUE] = "unique constraint violation",
        [VIOLATION_NOT_FOUND] = "not found",
        [VIOLATION_OFFSET] = "invalid offset",
        [VIOLATION_DATABASE] = "database error",
        [VIOLATION_SIZE] = "invalid size",
        [VIOLATION_OPTIONS] = "invalid options",
        [VIOLATION_UNSUPPORTED] = "operation unsupported",
        [VIOLATION_UNRESOLVED] = "foreign keys unresolved",
        [VIOLATION_REFERENCED] = "referenced by others",
    };
    if (violation->code == VIOLATION_UNIQUE_FIELD_INVALID)
        return violation_text("invalid unique %s", violation->what ? violation->what : "");
    const char *name =
        violation->code < sizeof(names) / sizeof(names[0]) ? names[violation->code] : NULL;
    return json_string(name ? name : "");
}

json_t *violation_to_body(const struct violation *violation)
{
    if (violation->code == VIOLATION_DATABASE)
        return json_pack("{ss}", "message", "An unexpected error occurred");

    json_t *body = json_object();
    json_object_set_new(body, "code", json_integer(violation->code));
    json_object_set_new(body, "name", name_of(violation));
    json_object_set_new(body, "message",
                        violation->message ? violation_text("%s", violation->message)
                                           : schema_message(violation->fields));
    if (violation->fields)
        json_object_set_new(body, violation->code == VIOLATION_OPTIONS ? "options" : "fields",
                            sorted_copy(violation->fields));
    return body;
}
