/* openapi.h - GET /openapi.json: the Admin API as an OpenAPI 3.1 document, made from the tables of
 * paths and entities, so that it says what this node does.
 *
 * Thread: control. */
#ifndef ADMIN_OPENAPI_H
#define ADMIN_OPENAPI_H

#include "admin/request.h"

void admin_openapi(struct admin_request *request);

/* Adds the JSON Schemas of an entity's bodies: as they are answered under its name, as they are
 * sent with ".input" behind it. One with variants (plugins) is one of these, each with all fields
 * of its own: "plugins.key-auth", "plugins.key-auth.input". */
void admin_openapi_add_entity(json_t *schemas, const struct entity *entity);

#endif
