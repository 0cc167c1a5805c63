/* registry.h - which plugins do their work: the only list. What is configured of others is
 * accepted, stored and described, and does nothing: that must be told, never silent.
 *
 * Thread: any (the list is constant). */
#ifndef PLUGINS_REGISTRY_H
#define PLUGINS_REGISTRY_H

#include "plugins/plugin.h"

/* By Kong's priority, from high to low; ends with NULL. */
extern const struct plugin *const plugins_registry[];

/* NULL: it does nothing yet, or there is none of that name. */
const struct plugin *plugins_find(struct str name);
bool plugins_is_implemented(struct str name);

extern const struct plugin acl_step;
extern const struct plugin basic_auth_step;
extern const struct plugin correlation_id_step;
extern const struct plugin cors_step;
extern const struct plugin hmac_auth_step;
extern const struct plugin ip_restriction_step;
extern const struct plugin jwt_step;
extern const struct plugin key_auth_step;
extern const struct plugin rate_limiting_step;
extern const struct plugin request_size_limiting_step;
extern const struct plugin request_termination_step;
extern const struct plugin request_transformer_step;
extern const struct plugin response_transformer_step;

#endif
