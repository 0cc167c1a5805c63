/* entity_complete.h - from what a request brings to a whole object: defaults filled in, merged into
 * the current one, in schema order. Says nothing about whether it is valid; what is of the wrong
 * type or unknown is carried along for entity_validate.h to find. */
#ifndef MODEL_ENTITY_COMPLETE_H
#define MODEL_ENTITY_COMPLETE_H

#include "model/entity.h"

/* `current` NULL: unset fields get their defaults; else they keep the current value, records merge
 * deep, collections are replaced whole. A required field without default stays absent. Owned; NULL:
 * no memory. */
json_t *entity_complete(const struct field *fields, const json_t *input, const json_t *current);

/* After validation: foreign keys to {"id"}, UUIDs to lower case, and the fields' own normalise. In
 * place. 0 or UV_ENOMEM. */
int entity_normalise(const struct field *fields, json_t *object);

/* Whether a number is an integer, and one that a double holds exactly. */
static inline bool entity_is_whole(double value)
{
    const double exact_max = 9007199254740992.0; /* 2^53 */
    return value > -exact_max && value < exact_max && (double)(int64_t)value == value;
}

#endif
