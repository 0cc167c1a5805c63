/* chain.h - the plugins that run on a route's requests, in their order.
 *
 * Thread: immutable once compiled. Memory: hangs on the snapshot's arena. */
#ifndef PLUGINS_CHAIN_H
#define PLUGINS_CHAIN_H

#include "plugins/plugin.h"

struct plugin_step {
    const struct plugin *plugin;
    const void *config;
    uint32_t protocols; /* bits of enum protocol that it is for */
};

struct plugin_chain {
    uint32_t count;
    struct plugin_step steps[]; /* by priority, from high to low */
};

/* Runs the access step of each; stops at the first that ends the exchange. */
void plugin_chain_access(const struct plugin_chain *chain, const struct plugin_request *request,
                         struct plugin_effect *effect);

#endif
