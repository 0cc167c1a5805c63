/* schemas.h - GET /schemas/{entity} and POST /schemas/{entity}/validate: the entity tables as
 * Kong's clients read them.
 *
 * Thread: control. */
#ifndef ADMIN_SCHEMAS_H
#define ADMIN_SCHEMAS_H

#include "admin/request.h"

void admin_schemas_read(struct admin_request *request);
/* Validates as an insert, against the schema alone: references needn't exist. */
void admin_schemas_plugin(struct admin_request *request);        /* /schemas/plugins/{name} */
void admin_schemas_vault(struct admin_request *request);         /* /schemas/vaults/{name} */
void admin_schemas_plugin_config(struct admin_request *request); /* /plugins/schema/{name} */
void admin_schemas_validate(struct admin_request *request);

#endif
