/* entity_shorthand.h - older names of a record's fields: taken from requests as the fields that
 * they stand for today, and repeated in bodies beside them.
 *
 * Thread: control (tables are constant). */
#ifndef MODEL_ENTITY_SHORTHAND_H
#define MODEL_ENTITY_SHORTHAND_H

#include "model/entity.h"

struct shorthand {
    struct field field; /* its name and type; NULL name: the table's end */
    const char *path;   /* "redis.host": what it stands for, from its record on */
    bool is_silent;     /* not repeated in bodies */
};

/* Spreads the shorthands of `input`, in place and in its records, too. One that contradicts the
 * field it stands for is reported in *violation. */
void shorthands_spread(const struct field *fields, json_t *input, struct violation *violation);

/* Adds the shorthands to a record that is shown. */
void shorthands_repeat(const struct shorthand *shorthands, json_t *record);

#endif
