/* plugin_protocols.h - whether a plugin is for protocols that its route, or one of its service's
 * routes, is for.
 *
 * Thread: control. */
#ifndef MODEL_PLUGIN_PROTOCOLS_H
#define MODEL_PLUGIN_PROTOCOLS_H

#include "model/config.h"

/* entity.h's check_among, of a plugin's row. */
void plugin_check_protocols(const struct config *config, const struct config_change *change,
                            const json_t *row, struct violation *violation);

#endif
