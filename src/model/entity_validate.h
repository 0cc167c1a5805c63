/* entity_validate.h - the fields' own checks: types, limits, lists of what is allowed, in Kong's
 * order and words. The first one that fails speaks for a value; each element of a list speaks for
 * itself. */
#ifndef MODEL_ENTITY_VALIDATE_H
#define MODEL_ENTITY_VALIDATE_H

#include "model/entity.h"

/* Checks a complete row against its entity's fields and rules; adds to *violation. */
void entity_validate(const struct entity *entity, const json_t *row,
                     enum entity_operation operation, struct violation *violation);

#endif
