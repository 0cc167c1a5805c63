/* row.h - reading the JSON objects that entities are kept as.
 *
 * Thread: the row's owner. Memory: what is returned is borrowed from the row. */
#ifndef MODEL_ROW_H
#define MODEL_ROW_H

#include <jansson.h>

#include "base/str.h"

/* The text of a field; empty where it is absent or no string. */
static inline struct str row_text(const json_t *row, const char *field)
{
    const json_t *value = json_object_get(row, field);
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR_EMPTY;
}

/* A number; a field that was cleared to null works as its default does. `entity` is the row's. */
int64_t row_number(const char *entity, const json_t *row, const char *field);

#endif
