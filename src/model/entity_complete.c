#include "model/entity_complete.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

static json_t *complete_value(const struct field *field, const json_t *given,
                              const json_t *current);

static json_t *complete_given(const struct field *field, const json_t *given,
                              const json_t *current);

static json_t *default_of(const struct field *field)
{
    if (field->made)
        return entity_make_text();
    if (field->expanded && field->default_json) {
        json_t *some = json_loads(field->default_json, 0, NULL);
        json_t *whole = entity_complete(field->fields, some, NULL);
        json_decref(some);
        return whole;
    }
    if (field->expanded)
        return entity_complete(field->fields, NULL, NULL);
    if (field->default_json) {
        json_t *value = json_loads(field->default_json, JSON_DECODE_ANY, NULL);
        json_t *whole = value ? complete_given(field, value, NULL) : NULL;
        json_decref(value);
        return whole;
    }
    return field->required ? NULL : json_null();
}

/* A text that is there more than once counts once. */
static void append_to_set(json_t *set, json_t *seen, json_t *element)
{
    const char *text = json_string_value(element);
    if (text && json_object_get(seen, text)) {
        json_decref(element);
        return;
    }
    if (text)
        json_object_set_new_nocheck(seen, text, json_true());
    json_array_append_new(set, element);
}

static json_t *complete_list(const struct field *field, const json_t *given)
{
    json_t *list = json_array();
    json_t *seen = field->type == FIELD_SET ? json_object() : NULL;
    size_t i;
    json_t *element;
    json_array_foreach((json_t *)(uintptr_t)given, i, element)
    {
        json_t *whole =
            json_is_null(element) ? json_null() : complete_value(field->elements, element, NULL);
        if (seen)
            append_to_set(list, seen, whole);
        else
            json_array_append_new(list, whole);
    }
    json_decref(seen);
    return list;
}

static json_t *complete_map(const struct field *field, const json_t *given)
{
    json_t *map = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)given, key, value) json_object_set_new_nocheck(
        map, key, json_is_null(value) ? json_null() : complete_value(field->values, value, NULL));
    return map;
}

/* 5.0 is an integer to Kong, and printed as one. */
static json_t *complete_number(const json_t *given)
{
    double value = json_real_value(given);
    if (json_is_real(given) && entity_is_whole(value))
        return json_integer((json_int_t)value);
    return json_deep_copy(given);
}

/* `given` is there and not null. Lua knows one kind of empty table, so [] and {} are the same. */
static json_t *complete_given(const struct field *field, const json_t *given, const json_t *current)
{
    bool is_empty = (json_is_array(given) && json_array_size(given) == 0) ||
                    (json_is_object(given) && json_object_size(given) == 0);
    switch (field->type) {
    case FIELD_RECORD:
        if (json_is_object(given) || is_empty)
            return entity_complete(field->fields, json_is_object(given) ? given : NULL,
                                   json_is_object(current) ? current : NULL);
        break;
    case FIELD_ARRAY:
    case FIELD_SET:
        if (json_is_array(given) || is_empty)
            return complete_list(field, json_is_array(given) ? given : NULL);
        break;
    case FIELD_MAP:
        if (json_is_object(given) || is_empty)
            return complete_map(field, json_is_object(given) ? given : NULL);
        break;
    case FIELD_INTEGER:
    case FIELD_NUMBER:
        if (json_is_number(given))
            return complete_number(given);
        break;
    default:
        break;
    }
    return json_deep_copy(given);
}

static json_t *complete_value(const struct field *field, const json_t *given, const json_t *current)
{
    bool is_given = given && !(field->automatic && json_is_null(given));
    if (!is_given)
        return current ? json_deep_copy(current) : default_of(field);
    if (!json_is_null(given))
        return complete_given(field, given, current);
    return field->expanded ? default_of(field) : json_null();
}

static bool is_field(const struct field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return true;
    return false;
}

json_t *entity_complete(const struct field *fields, const json_t *input, const json_t *current)
{
    json_t *whole = json_object();
    if (!whole)
        return NULL;
    for (const struct field *field = fields; field->name; field++) {
        json_t *value = complete_value(field, json_object_get(input, field->name),
                                       json_object_get(current, field->name));
        if (value)
            json_object_set_new_nocheck(whole, field->name, value);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)input, key, value) if (!is_field(fields, key))
        json_object_set_new_nocheck(whole, key, json_deep_copy(value));
    return whole;
}

/* ---- after validation ---- */

static int lower_case(json_t **value)
{
    char *text = str_dup(str_make(json_string_value(*value), json_string_length(*value)));
    if (!text)
        return UV_ENOMEM;
    for (char *at = text; *at; at++)
        *at = str_lower_char(*at);
    json_t *lower = json_string(text);
    free(text);
    if (!lower)
        return UV_ENOMEM;
    json_decref(*value);
    *value = lower;
    return 0;
}

static int only_id(json_t **value)
{
    json_t *id = json_incref(json_object_get(*value, "id"));
    int rc = lower_case(&id);
    json_t *foreign = rc ? NULL : json_object();
    if (!foreign) {
        json_decref(id);
        return UV_ENOMEM;
    }
    json_object_set_new(foreign, "id", id);
    json_decref(*value);
    *value = foreign;
    return 0;
}

static int normalise_value(const struct field *field, json_t **value);

static int normalise_list(const struct field *elements, json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *element = json_incref(json_array_get(list, i));
        int rc = normalise_value(elements, &element);
        json_array_set_new(list, i, element);
        if (rc)
            return rc;
    }
    return 0;
}

static int normalise_value(const struct field *field, json_t **value)
{
    if (json_is_null(*value))
        return 0;
    int rc = 0;
    if (field->type == FIELD_RECORD)
        rc = entity_normalise(field->fields, *value);
    else if (field->type == FIELD_ARRAY || field->type == FIELD_SET)
        rc = normalise_list(field->elements, *value);
    else if (field->type == FIELD_FOREIGN)
        rc = only_id(value);
    else if (field->uuid)
        rc = lower_case(value);
    return rc || !field->normalise ? rc : field->normalise(value);
}

int entity_normalise(const struct field *fields, json_t *object)
{
    for (const struct field *field = fields; field->name; field++) {
        json_t *value = json_incref(json_object_get(object, field->name));
        if (!value)
            continue;
        int rc = normalise_value(field, &value);
        json_object_set_new_nocheck(object, field->name, value);
        if (rc)
            return rc;
    }
    return 0;
}
