#include "admin/nodes.h"

#include <string.h>

#include "admin/server.h"

static void on_list(void *arg, json_t *list)
{
    admin_request_answer(arg, 200, json_pack("{s:o, s:n}", "data", list, "next"));
}

void admin_nodes_list(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    if (node->cluster)
        node->cluster->list_nodes(node->control, on_list, request);
    else
        on_list(request, json_array());
}

static void answer_state(struct admin_request *request, const char *state)
{
    bool is_ready = strcmp(state, "draining") != 0;
    request->is_temporary = !is_ready;
    admin_request_answer_message(request, is_ready ? 200 : 503, state);
}

void admin_readiness_read(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    answer_state(request, node->cluster ? node->cluster->state(node->control) : "ready");
}

void admin_readiness_set(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    const char *status = json_string_value(json_object_get(request->input, "status"));
    bool is_draining = status && strcmp(status, "draining") == 0;
    if (!is_draining && !(status && strcmp(status, "ready") == 0)) {
        admin_request_answer_message(request, 400, "status must be draining or ready");
        return;
    }
    if (node->cluster)
        node->cluster->set_draining(node->control, is_draining);
    admin_request_answer_message(request, 200,
                                 node->cluster ? node->cluster->state(node->control) : status);
}
