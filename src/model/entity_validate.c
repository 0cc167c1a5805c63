#include "model/entity_validate.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/entity_rules.h"

/* Room for a check's own words around a value that it may repeat three times. */
#define CHECK_WORDS_BYTES 512

/* What is wrong with a value, owned: a message, or an object or array of them; NULL: nothing. A
 * present value, not null. */
static json_t *errors_of(const struct field *field, const json_t *value,
                         enum entity_operation operation);

static bool is_null(const json_t *value)
{
    return !value || json_is_null(value);
}

/* ---- checks that any type may have ---- */

static json_t *one_of_error(const struct field *field, const json_t *value)
{
    char list[512];
    size_t at = 0;
    list[0] = '\0';
    if (field->one_of && json_is_string(value)) {
        for (const char *const *option = field->one_of; *option; option++) {
            if (strcmp(*option, json_string_value(value)) == 0)
                return NULL;
            at += (size_t)snprintf(list + at, at < sizeof(list) ? sizeof(list) - at : 0, "%s%s",
                                   at ? ", " : "", *option);
        }
        return violation_text("expected one of: %s", list);
    }
    if (field->one_of_integers && json_is_integer(value)) {
        for (const int64_t *option = field->one_of_integers; *option; option++) {
            if (*option == json_integer_value(value))
                return NULL;
            at += (size_t)snprintf(list + at, at < sizeof(list) ? sizeof(list) - at : 0, "%s%lld",
                                   at ? ", " : "", (long long)*option);
        }
        return violation_text("expected one of: %s", list);
    }
    return NULL;
}

static json_t *not_one_of_error(const struct field *field, const json_t *value)
{
    char list[512];
    size_t at = 0;
    bool is_there = false;
    list[0] = '\0';
    if (!field->not_one_of || !json_is_string(value))
        return NULL;
    for (const char *const *option = field->not_one_of; *option; option++) {
        is_there |= strcmp(*option, json_string_value(value)) == 0;
        at += (size_t)snprintf(list + at, at < sizeof(list) ? sizeof(list) - at : 0, "%s%s",
                               at ? ", " : "", *option);
    }
    return is_there ? violation_text("must not be one of: %s", list) : NULL;
}

static json_t *range_error(const struct field *field, const json_t *value)
{
    double number = json_number_value(value);
    if (field->has_more_than && !(number > field->more_than))
        return violation_text("value must be greater than %.0f", field->more_than);
    if (field->timestamp && !(number > 0))
        return violation_text("expected a valid timestamp");
    if (field->uuid &&
        !entity_is_uuid(str_make(json_string_value(value), json_string_length(value))))
        return violation_text("expected a valid UUID");
    if (field->has_between && !(number >= field->min && number <= field->max))
        return violation_text("value should be between %.0f and %.0f", field->min, field->max);
    return NULL;
}

static size_t length_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_length(value);
    case JSON_ARRAY:
        return json_array_size(value);
    default:
        return json_object_size(value);
    }
}

static json_t *length_error(const struct field *field, const json_t *value)
{
    size_t least = field->len_min;
    if (field->type == FIELD_STRING && least == 0 && !field->may_be_empty)
        least = 1;
    if (least > 0 && length_of(value) < least)
        return violation_text("length must be at least %zu", least);
    if (field->len_max > 0 && length_of(value) > field->len_max)
        return violation_text("length must be at most %zu", field->len_max);
    return NULL;
}

static json_t *own_check_error(const struct field *field, const json_t *value)
{
    if (!field->check)
        return NULL;
    size_t size = json_string_length(value) * 3 + CHECK_WORDS_BYTES;
    char *message = malloc(size);
    if (!message)
        return violation_text("out of memory");
    message[0] = '\0';
    bool is_fine = field->check(value, message, size);
    json_t *error = is_fine ? NULL : violation_text("%s", message);
    free(message);
    return error;
}

static json_t *common_error(const struct field *field, const json_t *value)
{
    json_t *error = not_one_of_error(field, value);
    if (!error)
        error = one_of_error(field, value);
    if (!error)
        error = range_error(field, value);
    if (!error)
        error = length_error(field, value);
    return error ? error : own_check_error(field, value);
}

/* ---- types ---- */

static json_t *list_errors(const struct field *field, const json_t *list,
                           enum entity_operation operation)
{
    json_t *errors = NULL;
    size_t i;
    json_t *element;
    json_array_foreach((json_t *)(uintptr_t)list, i, element)
    {
        json_t *error = json_is_null(element) ? violation_text("required field missing")
                                              : errors_of(field->elements, element, operation);
        if (!error)
            continue;
        if (!errors)
            errors = json_array();
        while (json_array_size(errors) < i)
            json_array_append_new(errors, json_null());
        json_array_append_new(errors, error);
    }
    return errors;
}

/* A map has one error, of its first bad entry. */
static json_t *map_errors(const struct field *field, const json_t *map,
                          enum entity_operation operation)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        json_t *name = json_string_nocheck(key);
        json_t *error = errors_of(field->keys, name, operation);
        json_decref(name);
        if (!error)
            error = json_is_null(value) ? violation_text("required field missing")
                                        : errors_of(field->values, value, operation);
        if (error)
            return error;
    }
    return NULL;
}

static json_t *foreign_errors(const json_t *value)
{
    const json_t *id = json_object_get(value, "id");
    const char *problem = NULL;
    if (is_null(id))
        problem = "missing primary key";
    else if (!json_is_string(id))
        problem = "expected a string";
    else if (!entity_is_uuid(str_make(json_string_value(id), json_string_length(id))))
        problem = "expected a valid UUID";
    return problem ? json_pack("{ss}", "id", problem) : NULL;
}

static const struct field *find_field(const struct field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

/* An object of errors, field by field; NULL: none. */
static json_t *object_errors(const struct field *fields, const json_t *object,
                             enum entity_operation operation)
{
    json_t *errors = json_object();
    const char *key;
    json_t *value;
    for (const struct field *field = fields; field->name; field++) {
        value = json_object_get(object, field->name);
        json_t *error = NULL;
        if (!is_null(value))
            error = errors_of(field, value, operation);
        else if (field->required)
            error = violation_text("required field missing");
        if (error)
            json_object_set_new_nocheck(errors, field->name, error);
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value) if (!find_field(fields, key))
        json_object_set_new_nocheck(errors, key, violation_text("unknown field"));
    if (json_object_size(errors) > 0)
        return errors;
    json_decref(errors);
    return NULL;
}

static json_t *record_errors(const struct field *field, const json_t *record,
                             enum entity_operation operation)
{
    const struct entity_rule rules[] = {
        {.kind = RULE_AT_LEAST_ONE, .fields = field->at_least_one_of}, {.kind = RULE_END}};
    json_t *errors = object_errors(field->fields, record, operation);
    if (field->at_least_one_of)
        rules_check(rules, record, operation, &errors);
    rules_check(field->rules, record, operation, &errors);
    return errors;
}

static const char *type_error(const struct field *field, const json_t *value)
{
    switch (field->type) {
    case FIELD_STRING:
        return json_is_string(value) ? NULL : "expected a string";
    case FIELD_INTEGER:
        return json_is_integer(value) ? NULL : "expected an integer"; /* 5.0 has become 5 */
    case FIELD_NUMBER:
        return json_is_number(value) ? NULL : "expected a number";
    case FIELD_BOOLEAN:
        return json_is_boolean(value) ? NULL : "expected a boolean";
    case FIELD_ARRAY:
        return json_is_array(value) ? NULL : "expected an array";
    case FIELD_SET:
        return json_is_array(value) ? NULL : "expected a set";
    case FIELD_MAP:
        return json_is_object(value) ? NULL : "expected a map";
    case FIELD_RECORD:
        return json_is_object(value) ? NULL : "expected a record";
    case FIELD_FOREIGN:
        return NULL;
    }
    return NULL;
}

static json_t *errors_of(const struct field *field, const json_t *value,
                         enum entity_operation operation)
{
    const char *wrong_type = type_error(field, value);
    if (wrong_type)
        return violation_text("%s", wrong_type);
    if (field->null_only)
        return violation_text("value must be null");

    json_t *errors = NULL;
    switch (field->type) {
    case FIELD_STRING:
        /* A form may bring a NUL, which no check of text expects. */
        if (strlen(json_string_value(value)) != json_string_length(value))
            return violation_text("invalid value: %s", json_string_value(value));
        break;
    case FIELD_ARRAY:
    case FIELD_SET:
        errors = list_errors(field, value, operation);
        break;
    case FIELD_MAP:
        errors = map_errors(field, value, operation);
        break;
    case FIELD_RECORD:
        errors = record_errors(field, value, operation);
        break;
    case FIELD_FOREIGN:
        return foreign_errors(value);
    default:
        break;
    }
    return errors ? errors : common_error(field, value);
}

void entity_validate(const struct entity *entity, const json_t *row,
                     enum entity_operation operation, struct violation *violation)
{
    json_t *errors = object_errors(entity->fields, row, operation);
    const char *field;
    json_t *error;
    rules_check(entity->rules, row, operation, &errors);
    json_object_foreach(errors, field, error)
        violation_add_tree(violation, field, json_incref(error));
    json_decref(errors);
}
