/* body_print.h - rows as the text of a body, without the objects between: for lists, which may be
 * a thousand of them.
 *
 * Thread: any. Memory: none of its own. */
#ifndef MODEL_BODY_PRINT_H
#define MODEL_BODY_PRINT_H

#include "base/buf.h"
#include "model/entity.h"

/* Whether bodies of this row are nothing but its fields. */
bool body_is_printable(const struct entity *entity, const json_t *row);
/* Appends what json_dumps(entity_to_body(…), ENTITY_DUMP_FLAGS) says of a printable row. 0, or as
 * buf_append. */
int body_print(const struct entity *entity, const json_t *row, struct buf *out);

#endif
