#include "model/row.h"

#include <stdlib.h>

#include "model/entity.h"

int64_t row_number(const char *entity, const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);
    if (json_is_number(value))
        return (int64_t)json_number_value(value);
    const struct field *field = entity_field(entity_find(str_of(entity)), str_of(name));
    return field->default_json ? strtoll(field->default_json, NULL, 10) : 0;
}
