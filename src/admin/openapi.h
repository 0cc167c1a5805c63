/* openapi.h - GET /openapi.json: the Admin API as an OpenAPI 3.1 document, made from the tables of
 * paths and entities, so that it says what this node does.
 *
 * Thread: control. */
#ifndef ADMIN_OPENAPI_H
#define ADMIN_OPENAPI_H

#include "admin/request.h"

void admin_openapi(struct admin_request *request);

/* The JSON Schema of an entity's bodies as they are answered. Owned. */
json_t *admin_openapi_entity(const struct entity *entity);
/* The same of bodies that are sent: nothing is required, and defaults are told. Owned. */
json_t *admin_openapi_input(const struct entity *entity);

#endif
