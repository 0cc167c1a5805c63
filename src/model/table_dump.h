/* table_dump.h - JSON as Lua's pretty-printer writes tables, for messages that clients compare:
 * {name="x",service={id="1"}}; keys in order, names that are no identifiers as ["a-b"]. */
#ifndef MODEL_TABLE_DUMP_H
#define MODEL_TABLE_DUMP_H

#include <stddef.h>

#include <jansson.h>

#include "base/buf.h"

enum table_dump_form {
    TABLE_DUMP_ONE_LINE,
    TABLE_DUMP_MANY_LINES, /* an entry a line, two spaces a level */
};

void table_dump(struct buf *out, const json_t *value, enum table_dump_form form);

/* The object's keys in order: an owned array (free) of borrowed names; NULL: no memory. */
const char **table_sorted_keys(const json_t *object, size_t *ret_count);

#endif
