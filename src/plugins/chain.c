#include "plugins/chain.h"

void plugin_chain_access(const struct plugin_chain *chain, const struct plugin_request *request,
                         struct plugin_effect *effect)
{
    uint32_t protocol = request->is_secure ? PROTOCOL_HTTPS : PROTOCOL_HTTP;
    for (uint32_t i = 0; i < chain->count && effect->status == 0; i++) {
        const struct plugin_step *step = &chain->steps[i];
        if (step->protocols & protocol)
            step->plugin->access(step->config, request, effect);
    }
}
