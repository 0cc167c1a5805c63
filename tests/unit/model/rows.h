/* rows.h - rows and refusals, short to write: JSON with single quotes, messages to the letter. */
#ifndef UNIT_MODEL_ROWS_H
#define UNIT_MODEL_ROWS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/entity.h"
#include "unit/test.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* JSON in which ' stands for " and ` for '; owned. */
static inline json_t *parse(const char *text)
{
    char *quoted = strdup(text);
    for (char *at = quoted; *at; at++)
        *at = (char)(*at == '\'' ? '"' : *at == '`' ? '\'' : *at);
    json_error_t error;
    json_t *value = json_loads(quoted, JSON_DECODE_ANY, &error);
    if (!value)
        fail_msg("%s: %s", quoted, error.text);
    free(quoted);
    return value;
}

static inline const struct entity *entity_named(const char *name)
{
    return entity_find(str_of(name));
}

/* `over` laid over `base`, both as parse() reads them. */
static inline json_t *merged(const char *base, const char *over)
{
    json_t *input = parse(base);
    json_t *more = parse(over);
    json_object_update(input, more);
    json_decref(more);
    return input;
}

/* The row, or NULL with *violation filled. */
static inline json_t *make_row(const char *entity, json_t *input, enum entity_operation operation,
                               const json_t *current, struct violation *violation)
{
    json_t *row = NULL;
    int rc =
        entity_make_row(entity_named(entity), input, operation, current, NULL, &row, violation);
    assert_true((rc == 0) == (row != NULL));
    assert_true((rc == 0) == (violation->code == VIOLATION_NONE));
    json_decref(input);
    return row;
}

static inline void assert_same_json(const json_t *value, const char *wanted)
{
    json_t *parsed = parse(wanted);
    char *shown = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!json_equal((json_t *)(uintptr_t)value, parsed))
        fail_msg("%s is not %s", shown, wanted);
    free(shown);
    json_decref(parsed);
}

static inline void assert_message(struct violation *violation, const char *wanted)
{
    json_t *body = violation_to_body(violation);
    assert_string_equal(json_string_value(json_object_get(body, "message")), wanted);
    json_decref(body);
    violation_deinit(violation);
}

struct refusal {
    const char *input;
    const char *message; /* NULL: accepted; else what stands in "schema violation (…)" */
};

/* Each input, laid over base, is inserted; `current` not NULL: it is a PATCH of that row. */
static inline void assert_refusals(const char *entity, const char *base, const json_t *current,
                                   const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct violation violation = {0};
        char wanted[2048];
        json_t *row = make_row(entity, merged(base, refusals[i].input),
                               current ? ENTITY_UPDATE : ENTITY_INSERT, current, &violation);
        json_t *body = row ? NULL : violation_to_body(&violation);
        const char *message = json_string_value(json_object_get(body, "message"));
        snprintf(wanted, sizeof(wanted), "schema violation (%s)",
                 refusals[i].message ? refusals[i].message : "");
        /* A message that begins with a number counts its parts itself. */
        const char *expected = refusals[i].message && strstr(refusals[i].message, "violations (")
                                   ? refusals[i].message
                                   : wanted;
        if (!refusals[i].message && message)
            fail_msg("%s: refused: %s", refusals[i].input, message);
        if (refusals[i].message && (!message || strcmp(message, expected) != 0))
            fail_msg("%s: wanted %s, got %s", refusals[i].input, expected,
                     message ? message : "a row");
        json_decref(body);
        json_decref(row);
        violation_deinit(&violation);
    }
}

#endif
