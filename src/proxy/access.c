#include "proxy/access.h"

#include "plugins/chain.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/worker_core.h"

bool access_exchange(struct exchange *x)
{
    const struct plugin_chain *chain = x->match.route->plugins;
    if (!chain)
        return true;
    const struct plugin_request request = {
        .head = &x->request,
        .uri = &x->uri,
        .path = x->path,
        .client = exchange_client(x),
        .is_secure = x->is_secure,
        .listener_port = x->client->port,
        .route = x->match.route,
        .request_id = x->request_id,
        .random = &x->worker->random,
        .arena = &x->arena,
    };
    struct plugin_effect effect = {.status = 0};
    plugin_chain_access(chain, &request, &effect);
    x->request_lines = effect.request_lines;
    x->response_lines = effect.response_lines;
    if (effect.status == 0)
        return true;
    x->answer = (struct answer){.status = effect.status,
                                .message = effect.message ? effect.message : "",
                                .is_intended = true,
                                .body = effect.body,
                                .content_type = effect.content_type,
                                .fields = effect.response_lines};
    return false;
}
