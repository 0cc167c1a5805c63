/* crud.h - list, create, read, put, patch and delete, of every entity by its schema.
 *
 * Handlers of endpoints.h's table: the request's endpoint says which entity, and which parent.
 *
 * Reads answer from memory at once. A write is planned when its turn comes, so that a parent or a
 * name is looked up in the configuration that the write will change; the answer follows when the
 * write is in force on this node.
 *
 * Thread: control. */
#ifndef ADMIN_CRUD_H
#define ADMIN_CRUD_H

#include "admin/request.h"

/* The row that PATCH would change, to read its input by; borrowed. NULL: none, or another endpoint.
 */
const json_t *admin_crud_current(struct admin_request *request);

void admin_crud_list(struct admin_request *request);
void admin_crud_create(struct admin_request *request);
void admin_crud_read(struct admin_request *request);
void admin_crud_replace(struct admin_request *request);
void admin_crud_update(struct admin_request *request);
void admin_crud_remove(struct admin_request *request);

/* The entity that a row refers to: /routes/{r}/service. PUT where there is none creates and links
 * one; DELETE of one that is there is refused: the row that refers to it would be left dangling. */
void admin_crud_read_foreign(struct admin_request *request);
void admin_crud_replace_foreign(struct admin_request *request);
void admin_crud_update_foreign(struct admin_request *request);
void admin_crud_remove_foreign(struct admin_request *request);

#endif
