#include "model/entity.h"

#include <math.h>
#include <stdlib.h>

#include "model/entity_complete.h"
#include "model/entity_shorthand.h"
#include "model/field_checks.h"

/* What a form's value becomes; takes it over. */
static json_t *coerce_value(const struct field *field, json_t *value);

static bool is_empty_text(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) == 0;
}

static json_t *replace(json_t *value, json_t *by)
{
    json_decref(value);
    return by;
}

/* As Lua's tonumber reads text: decimal or hexadecimal, with an exponent, blanks around. */
static json_t *coerce_number(json_t *value)
{
    const char *text = json_string_value(value);
    char *end;
    double number = strtod(text, &end);
    end += strspn(end, " \t\n\r\f\v");
    bool is_whole = end != text && end == text + json_string_length(value);
    if (!is_whole || !isfinite(number) || strpbrk(text, "nN"))
        return value;
    if (entity_is_whole(number))
        return replace(value, json_integer((json_int_t)number));
    return replace(value, json_real(number));
}

static json_t *coerce_boolean(json_t *value)
{
    const char *text = json_string_value(value);
    if (strcmp(text, "true") == 0)
        return replace(value, json_true());
    return strcmp(text, "false") == 0 ? replace(value, json_false()) : value;
}

static json_t *coerce_list(const struct field *field, json_t *value)
{
    if (!json_is_array(value)) {
        json_t *list = json_array();
        json_array_append_new(list, value);
        value = list;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        json_array_set_new(value, i,
                           coerce_value(field->elements, json_incref(json_array_get(value, i))));
    return value;
}

static json_t *coerce_map(const struct field *values, json_t *map)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(map, next, key, value)
        json_object_set_new_nocheck(map, key, coerce_value(values, json_incref(value)));
    return map;
}

static void coerce_object(const struct field *fields, json_t *object)
{
    for (const struct field *field = fields; field->name; field++) {
        json_t *value = json_object_get(object, field->name);
        if (value)
            json_object_set_new_nocheck(object, field->name,
                                        coerce_value(field, json_incref(value)));
    }
}

static void coerce_shorthands(const struct shorthand *shorthands, json_t *record)
{
    for (; shorthands && shorthands->field.name; shorthands++) {
        json_t *value = json_object_get(record, shorthands->field.name);
        if (value)
            json_object_set_new(record, shorthands->field.name,
                                coerce_value(&shorthands->field, json_incref(value)));
    }
}

static json_t *coerce_value(const struct field *field, json_t *value)
{
    static const struct field text = {.type = FIELD_STRING};
    if (is_empty_text(value))
        return replace(value, json_null());
    switch (field->type) {
    case FIELD_INTEGER:
    case FIELD_NUMBER:
        return json_is_string(value) ? coerce_number(value) : value;
    case FIELD_BOOLEAN:
        return json_is_string(value) ? coerce_boolean(value) : value;
    case FIELD_ARRAY:
    case FIELD_SET:
        return coerce_list(field, value);
    case FIELD_MAP:
        return json_is_object(value) ? coerce_map(field->values, value) : value;
    case FIELD_FOREIGN:
        return json_is_object(value) ? coerce_map(&text, value) : value;
    case FIELD_RECORD:
        if (json_is_object(value)) {
            coerce_object(field->fields, value);
            coerce_shorthands(field->shorthands, value);
        }
        return value;
    default:
        return value;
    }
}

void entity_coerce(const struct entity *entity, json_t *input, const json_t *current)
{
    const struct entity *variant = entity_variant(entity, input, current);
    coerce_object(variant ? variant->fields : entity->fields, input);
    if (entity->listed && json_is_string(json_object_get(input, entity->listed))) {
        static const struct field texts = {.type = FIELD_ARRAY, .elements = &text_element};
        json_t *lone = json_object_get(input, entity->listed);
        json_object_set_new(input, entity->listed, coerce_value(&texts, json_incref(lone)));
    }
    /* What is no field (a shorthand, or a mistake) has no type to go by. */
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(input, next, key, value) if (is_empty_text(value))
        json_object_set_new_nocheck(input, key, json_null());
}
