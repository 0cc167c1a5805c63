/* plugins.h - what the API says of plugins: which there are, which do their work, which are in use.
 *
 * Thread: control. Memory: what is returned is the caller's. */
#ifndef ADMIN_PLUGINS_H
#define ADMIN_PLUGINS_H

#include <jansson.h>

#include "admin/request.h"

/* {"key-auth": {"version", "priority", "implemented"}, …}: `implemented` is ours, and false where a
 * configuration is accepted and kept but nothing is done by it. */
json_t *admin_plugins_available(void);
/* The names in use, each once, in order. */
json_t *admin_plugins_in_use(const struct config *config);

void admin_plugins_enabled(struct admin_request *request); /* GET /plugins/enabled */

#endif
