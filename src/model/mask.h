/* mask.h - rows without their secrets: what logs say of them, and what those see who may only look.
 *
 * Secret is what the schema calls encrypted or referenceable, and what is named like a secret.
 *
 * Thread: any. Memory: what is returned is the caller's. */
#ifndef MODEL_MASK_H
#define MODEL_MASK_H

#include "model/entity.h"

#define MASK_TEXT "******"

/* The value of a field; masked as a whole where it doesn't have the field's type. */
json_t *mask_value(const struct field *field, const json_t *value);
/* A whole row; NULL: no memory. */
json_t *mask_row(const struct entity *entity, const json_t *row);

#endif
