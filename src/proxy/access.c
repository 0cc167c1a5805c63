#include "proxy/access.h"

#include "plugins/chain.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/request.h"
#include "proxy/router_regex.h"
#include "proxy/worker_core.h"

static struct str find_capture(const void *owner, struct str name)
{
    const struct exchange *x = owner;
    struct str found = STR_EMPTY;
    uint64_t number;
    if (!x->match.regex)
        return found;
    if (str_to_u64(name, &number))
        router_regex_capture_number(x->match.regex, x->path, number, &found);
    else
        router_regex_capture(x->match.regex, x->path, name, &found);
    return found;
}

static struct plugin_run *begin_run(struct exchange *x, const struct plugin_chain *chain)
{
    const struct plugin_request request = {
        .head = &x->request,
        .uri = &x->uri,
        .path = x->path,
        .client = exchange_client(x),
        .is_secure = x->is_secure,
        .listener_port = x->client->conn->port,
        .route = x->match.route,
        .consumers = x->config->snapshot->consumers,
        .request_id = x->request_id,
        .random = &x->worker->random,
        .arena = &x->arena,
        .find_capture = find_capture,
        .owner = x,
    };
    return plugin_run_create(chain, &request);
}

bool access_exchange(struct exchange *x)
{
    const struct plugin_chain *chain = x->match.route->plugins;
    if (!chain)
        return true;
    x->plugins = begin_run(x, chain);
    if (!x->plugins) {
        x->answer = (struct answer){.status = 500, .message = answer_message(500)};
        return false;
    }
    plugin_run_access(x->plugins);
    const struct plugin_effect *effect = &x->plugins->effect;
    x->request_lines = effect->request_lines;
    if (effect->status == 0)
        return request_check_size(x); /* some content may be here */
    x->answer = (struct answer){.status = effect->status,
                                .message = effect->message ? effect->message : "",
                                .is_intended = !x->arena.ran_out,
                                .body = effect->body,
                                .content_type = effect->content_type,
                                .fields = effect->answer_lines};
    return false;
}

/* A copy, which plugins may change: `own` may be a constant, and a response whose head finds no
 * room is followed by another one. */
static bool gather_lines(struct exchange *x, struct str own, struct str *ret)
{
    struct str more = x->plugins->effect.response_lines;
    size_t len = own.len + more.len;
    char *text = len > 0 ? arena_alloc(&x->arena, plugin_lines_room(len)) : NULL;
    if (text && own.len > 0)
        memcpy(text, own.ptr, own.len);
    if (text && more.len > 0)
        memcpy(text + own.len, more.ptr, more.len);
    *ret = str_make(text, text ? len : 0);
    return text || len == 0;
}

bool access_response(struct exchange *x)
{
    struct plugin_response response = {
        .head = &x->reply->head, .status = x->reply->head.status, .lines = &x->response_lines};
    return gather_lines(x, STR_EMPTY, &x->response_lines) &&
           plugin_run_respond(x->plugins, &response);
}

void access_answer(struct exchange *x)
{
    struct plugin_response response = {.status = x->answer.status, .lines = &x->answer.fields};
    if (!gather_lines(x, x->answer.fields, &x->answer.fields) ||
        !plugin_run_respond(x->plugins, &response))
        x->answer = (struct answer){.status = 500, .message = answer_message(500)};
}
