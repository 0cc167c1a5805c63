#include "admin/discovery.h"

#include <stdio.h>

#include "admin/server.h"
#include "admin/service_health.h"
#include "discovery/registry.h"
#include "model/entity.h"

#define MAX_KEY_BYTES 512

void admin_discovery(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    json_t *data = node->registry ? registry_discovery(node->registry) : json_array();
    json_t *status = node->registry ? registry_status(node->registry) : json_object();
    admin_request_answer(request, 200,
                         json_pack("{s:o, s:n, s:o, s:s}", "data", data, "next", "status", status,
                                   "node_id", node->node_id));
}

/* The row that the path names; NULL: the request has been answered. */
static const json_t *find_row(struct admin_request *request, struct str entity)
{
    const json_t *row = config_find(request->node->config, entity_find(entity),
                                    str_of(request->params[0]), NULL, &request->violation);
    if (row)
        return row;
    if (request->violation.code)
        admin_request_answer_violation(request, &request->violation);
    else
        admin_request_answer_not_found(request);
    return NULL;
}

/* What the configuration in force does not use has no targets. */
static void answer_explained(struct admin_request *request, const char *key)
{
    struct registry *registry = request->node->registry;
    json_t *data = registry ? registry_explain(registry, str_of(key)) : NULL;
    admin_request_answer(request, 200,
                         json_pack("{s:o, s:n, s:s}", "data", data ? data : json_array(), "next",
                                   "node_id", request->node->node_id));
}

void admin_upstream_explain(struct admin_request *request)
{
    char key[MAX_KEY_BYTES];
    const json_t *row = find_row(request, STR("upstreams"));
    if (!row)
        return;
    snprintf(key, sizeof(key), UPSTREAM_KEY_PREFIX "%s",
             json_string_value(json_object_get(row, "id")));
    answer_explained(request, key);
}

void admin_service_explain(struct admin_request *request)
{
    char key[MAX_KEY_BYTES];
    const json_t *row = find_row(request, STR("services"));
    if (!row)
        return;
    const json_t *upstream = admin_service_upstream(request, row);
    if (upstream)
        snprintf(key, sizeof(key), UPSTREAM_KEY_PREFIX "%s",
                 json_string_value(json_object_get(upstream, "id")));
    else
        admin_service_key(row, key, sizeof(key));
    answer_explained(request, key);
}
