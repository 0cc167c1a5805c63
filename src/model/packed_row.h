/* packed_row.h - a row as the configuration keeps it: one block in place of the dozens that a JSON
 * object of twenty fields takes, a tenth of its size. Values are in the order of the entity's
 * fields, so that no name is kept; what is a field's default costs a byte. A JSON object is made of
 * it while somebody looks at the row.
 *
 * A row never changes: a new version is a new row, so that the same address means that nothing has
 * changed, for as long as a reference is held.
 *
 * Thread: any; rows are immutable. Memory: reference-counted. What is packed is our own rows alone,
 * and never leaves the process, so that nothing of it is checked when it is read. */
#ifndef MODEL_PACKED_ROW_H
#define MODEL_PACKED_ROW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/str.h"

struct entity;
struct field;
struct row_layout;

/* The order of an entity's fields, and their defaults: made once, and then there for good. NULL: no
 * memory. */
const struct row_layout *row_layout_of(const struct entity *entity);

struct packed_row {
    _Atomic uint32_t refs;
    uint32_t id_len;
    uint32_t len; /* of the values */
    bool is_made; /* of tags: model/config.h */
    const struct row_layout *layout;
    double created_at; /* 0: none */
    char bytes[];      /* the id, terminated; the values */
};

/* With one reference; NULL: no memory. The row has an id; it may have fields that its entity
 * hasn't. */
struct packed_row *packed_row_create(const struct row_layout *layout, const json_t *row);
struct packed_row *packed_row_ref(const struct packed_row *row);
void packed_row_unref(struct packed_row *row); /* NULL is fine */

static inline const char *packed_row_id(const struct packed_row *row)
{
    return row->bytes;
}

/* The row as it was packed, fields in schema order. Owned, but not to be changed: what is below the
 * object may be shared. NULL: no memory. */
json_t *packed_row_unpack(const struct packed_row *row);
/* The same of one field; NULL: it is absent (or no memory). */
json_t *packed_row_get(const struct packed_row *row, const char *field);
/* The text of a unique field, in the row itself and not terminated; empty: it is none, or absent.
 */
struct str packed_row_unique(const struct packed_row *row, const struct field *field);
/* What entity_is_over() says of it. */
bool packed_row_is_over(const struct packed_row *row);
/* Whether they hold the same; where members of objects come in another order, too. */
bool packed_row_equal(const struct packed_row *a, const struct packed_row *b);
/* The same of a row that isn't packed. */
bool packed_row_is(const struct packed_row *packed, const json_t *row);

#endif
