#include "admin/acme.h"

#include <string.h>

#include <uv.h> /* error codes only */

#include "admin/problem.h"
#include "admin/server.h"
#include "model/row.h"

/* Owned. */
static json_t *page_of(const struct admin_request *request)
{
    const struct admin_node *node = request->node;
    return node->acme ? node->acme(node->control) : json_object();
}

void admin_acme_read(struct admin_request *request)
{
    admin_request_answer(request, 200, page_of(request));
}

static bool is_chosen(const struct admin_request *request, const char *host)
{
    json_t *page = page_of(request);
    const json_t *list = json_object_get(page, "data");
    bool is_there = false;
    for (size_t i = 0; !is_there && i < json_array_size(list); i++)
        is_there = str_equal(row_text(json_array_get(list, i), "host"), str_of(host));
    json_decref(page);
    return is_there;
}

/* ---- writing ---- */

static struct admin_request *request_of(struct config_write *write)
{
    return LIST_ENTRY(write, struct admin_request, write);
}

static int plan_forget(struct admin_request *request, const struct config *config, struct str kind)
{
    struct config_write *write = &request->write;
    const struct entity *entity = entity_find(kind);
    const json_t *row = config_find_value(config, entity, "key", str_of(request->params[0]));
    return row ? config_plan_remove(config, entity, row_text(row, "id"), NULL, NULL, &write->change,
                                    &request->violation)
               : 0;
}

/* That it has failed, and that it has had many. */
static int plan(struct config_write *write, const struct config *config)
{
    struct admin_request *request = request_of(write);
    config_change_deinit(&write->change);
    int rc = plan_forget(request, config, STR("acme_failures"));
    return rc ? rc : plan_forget(request, config, STR("acme_histories"));
}

static void done(struct config_write *write, int rc)
{
    struct admin_request *request = request_of(write);
    int status;
    if (rc == 0) {
        admin_request_answer_write(request, 204, NULL);
        return;
    }
    json_t *body = admin_problem_of_store(rc, &status);
    request->is_temporary = status == 503;
    admin_request_answer(request, status, body);
}

void admin_acme_retry(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    if (!is_chosen(request, request->params[0])) {
        admin_request_answer_not_found(request);
        return;
    }
    request->write.plan = plan;
    request->write.done = done;
    request->write.hangs_on_rows = true; /* another node may have noted it a moment ago */
    node->submit(node->control, &request->write);
}
