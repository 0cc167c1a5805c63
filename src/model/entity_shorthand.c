#include "model/entity_shorthand.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/entity_rules.h"

#define PATH_BYTES 256

/* Sets the value at a path, making the records on the way. False: something else is in the way. */
static bool set_at(json_t *record, const char *path, json_t *value)
{
    const char *dot;
    while ((dot = strchr(path, '.'))) {
        size_t len = (size_t)(dot - path);
        json_t *next = json_object_getn(record, path, len);
        if (!next || json_is_null(next)) {
            json_object_setn_new(record, path, len, json_object());
            next = json_object_getn(record, path, len);
        }
        if (!json_is_object(next))
            return false;
        record = next;
        path = dot + 1;
    }
    return json_object_set(record, path, value) == 0;
}

/* Owned: a text as it is, anything else as tables are shown. */
static char *shown(const json_t *value)
{
    return json_is_string(value) ? str_dup(str_of(json_string_value(value)))
                                 : violation_dump(value);
}

static void report(const char *at, const struct shorthand *shorthand, const json_t *given,
                   const json_t *meant, struct violation *violation)
{
    char *old = shown(given);
    char *new = shown(meant);
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s%s", at, shorthand->field.name);
    violation_add(violation, path,
                  "both deprecated and new field are used but their values mismatch: %s = %s vs %s "
                  "= %s",
                  shorthand->field.name, old ? old : "", shorthand->path, new ? new : "");
    free(new);
    free(old);
}

static void spread(const struct shorthand *shorthands, json_t *record, const char *at,
                   struct violation *violation)
{
    for (const struct shorthand *shorthand = shorthands; shorthand->field.name; shorthand++) {
        json_t *given = json_object_get(record, shorthand->field.name);
        if (!given)
            continue;
        json_incref(given);
        json_object_del(record, shorthand->field.name);
        const json_t *meant = rules_value(record, shorthand->path);
        bool is_meant = meant && !json_is_null(meant);
        if (!is_meant)
            set_at(record, shorthand->path, given);
        else if (!json_is_null(given) && !json_equal(given, meant))
            report(at, shorthand, given, meant, violation);
        json_decref(given);
    }
}

static void spread_in(const struct field *fields, json_t *record, const char *at,
                      struct violation *violation)
{
    for (const struct field *field = fields; field->name; field++) {
        json_t *value = json_object_get(record, field->name);
        if (field->type != FIELD_RECORD || !json_is_object(value))
            continue;
        char path[PATH_BYTES];
        snprintf(path, sizeof(path), "%s%s.", at, field->name);
        if (field->shorthands)
            spread(field->shorthands, value, path, violation);
        spread_in(field->fields, value, path, violation);
    }
}

void shorthands_spread(const struct field *fields, json_t *input, struct violation *violation)
{
    spread_in(fields, input, "", violation);
}

void shorthands_repeat(const struct shorthand *shorthands, json_t *record)
{
    for (const struct shorthand *shorthand = shorthands; shorthand->field.name; shorthand++) {
        const json_t *value = rules_value(record, shorthand->path);
        if (!shorthand->is_silent)
            json_object_set_new(record, shorthand->field.name,
                                value ? json_deep_copy(value) : json_null());
    }
}
