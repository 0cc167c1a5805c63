#include "admin/config.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "admin/endpoints.h"
#include "admin/problem.h"
#include "admin/server.h"
#include "model/declarative.h"
#include "model/packed_row.h"

#define NEEDS_NO_DATABASE                                                                          \
    "this endpoint is only available when Kong is configured to not use a database"

/* A replacement under way: submit() → plan() → the workers → done(). */
struct replacement {
    struct config_write write; /* first: a write is its replacement */
    struct admin_request *request;
    struct declarative *file;
    struct declarative_problems problems;
    const struct config *config;       /* borrowed; known once it is planned */
    char *node_hash;                   /* borrowed: what to set when it is in force */
    char hash[DECLARATIVE_HASH_BYTES]; /* of the text that came */
    bool flattens;
};

static bool is_without_database(struct admin_request *request)
{
    if (request->node->config_hash)
        return true;
    admin_request_answer_message(request, 400, NEEDS_NO_DATABASE);
    return false;
}

void admin_config_read(struct admin_request *request)
{
    if (!is_without_database(request))
        return;
    json_t *file = request->hides_secrets ? declarative_export_masked(request->node->config)
                                          : declarative_export(request->node->config);
    char *text = file ? declarative_to_yaml(file) : NULL;
    json_decref(file);
    if (text)
        admin_request_answer(request, 200, json_pack("{s:s}", "config", text));
    else
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
    free(text);
}

/* ---- replacing ---- */

static void replacement_destroy(struct replacement *replacement)
{
    config_change_deinit(&replacement->write.change);
    declarative_problems_deinit(&replacement->problems);
    declarative_destroy(replacement->file);
    free(replacement);
}

static int plan(struct config_write *write, const struct config *config)
{
    struct replacement *replacement = (struct replacement *)(void *)write;
    struct declarative_counts counts;
    config_change_deinit(&write->change);
    declarative_problems_deinit(&replacement->problems);
    replacement->config = config;
    return declarative_plan(replacement->file, config, true, &write->change, &counts,
                            &replacement->problems);
}

static int add_row(void *arg, const char *kind, const struct packed_row *packed)
{
    json_t *all = arg, *rows = json_object_get(all, kind);
    const struct entity *entity = entity_find(str_of(kind));
    if (entity->is_internal)
        return 0;
    if (!rows) {
        json_object_set_new(all, kind, json_object());
        rows = json_object_get(all, kind);
    }
    json_t *row = packed_row_unpack(packed);
    int rc = json_object_set_new(rows, packed_row_id(packed), entity_to_body(entity, row));
    json_decref(row);
    return rc;
}

/* {"services": {"<id>": {…}}}, as Kong answers. */
static json_t *rows_by_id(const struct config *config)
{
    json_t *all = json_object();
    config_each(config, add_row, all);
    return all;
}

static void answer_problems(struct admin_request *request,
                            const struct declarative_problems *problems, bool flattens)
{
    admin_request_answer(request, 400, declarative_problems_to_body(problems, flattens));
}

static void done(struct config_write *write, int rc)
{
    struct replacement *replacement = (struct replacement *)(void *)write;
    struct admin_request *request = replacement->request;
    if (rc == 0) {
        memcpy(replacement->node_hash, replacement->hash, sizeof(replacement->hash));
        admin_request_answer_write(request, 201, rows_by_id(replacement->config));
    } else if (replacement->problems.count > 0) {
        answer_problems(request, &replacement->problems, replacement->flattens);
    } else {
        int status;
        json_t *body = admin_problem_of_store(rc, &status);
        admin_request_answer(request, status, body);
    }
    replacement_destroy(replacement);
}

static bool is_asked(const struct admin_request *request, const char *name)
{
    struct str value;
    if (!admin_request_query(request, name, &value))
        return false;
    return !str_equal(value, STR("0")) && !str_equal(value, STR("false"));
}

/* Reads what came. False: it has been answered. */
static bool read_file(struct admin_request *request, const char *text,
                      struct replacement *replacement)
{
    int rc =
        text ? declarative_read(text, strlen(text), &replacement->file, &replacement->problems)
             : declarative_read_json(request->input, &replacement->file, &replacement->problems);
    if (rc == 0)
        return true;
    if (replacement->problems.count > 0)
        answer_problems(request, &replacement->problems, replacement->flattens);
    else
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
    return false;
}

static bool is_known(const struct admin_request *request, const char *text,
                     struct replacement *replacement)
{
    char *dumped = text ? NULL : json_dumps(request->input, JSON_COMPACT | JSON_SORT_KEYS);
    const char *whole = text ? text : dumped ? dumped : "";
    declarative_hash(whole, strlen(whole), replacement->hash);
    free(dumped);
    return is_asked(request, "check_hash") &&
           strcmp(replacement->hash, request->node->config_hash) == 0;
}

void admin_config_replace(struct admin_request *request)
{
    if (!is_without_database(request))
        return;
    const json_t *config = json_object_get(request->input, "config");
    const char *text = json_string_value(config);
    if (json_object_size(request->input) == 0 || (config && (!text || !text[0]))) {
        admin_request_answer_message(request, 400, "expected a declarative configuration");
        return;
    }
    struct replacement *replacement = calloc(1, sizeof(*replacement));
    if (!replacement) {
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
        return;
    }
    replacement->request = request;
    replacement->flattens = is_asked(request, "flatten_errors");
    replacement->node_hash = request->node->config_hash;
    if (is_known(request, text, replacement)) {
        admin_request_answer(request, 304, NULL);
        replacement_destroy(replacement);
    } else if (!read_file(request, text, replacement)) {
        replacement_destroy(replacement);
    } else {
        replacement->write.plan = plan;
        replacement->write.done = done;
        request->node->submit(request->node->control, &replacement->write);
    }
}

/* ---- single entities ---- */

bool admin_config_refuse_write(struct admin_request *request)
{
    static const char *const verbs[ADMIN_METHOD_COUNT] = {
        [ADMIN_POST] = "create",
        [ADMIN_PUT] = "create or update",
        [ADMIN_PATCH] = "update",
        [ADMIN_DELETE] = "remove",
    };
    const struct admin_endpoint *endpoint = request->endpoint;
    const char *verb = verbs[request->method];
    if (!request->node->config_hash || !endpoint->entity || !verb)
        return false;
    struct violation violation = {0};
    violation_set(&violation, VIOLATION_UNSUPPORTED, NULL,
                  "cannot %s '%s' entities when not using a database", verb,
                  endpoint->entity->name);
    admin_request_answer_violation(request, &violation);
    violation_deinit(&violation);
    return true;
}
