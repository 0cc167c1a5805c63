#include "admin/openapi.h"

#include <string.h>

#include "admin/crud.h"
#include "admin/endpoints.h"
#include "admin/info.h"
#include "admin/problem.h"

#define PATH_BYTES 512
#define REF_BYTES 128

static const char *const verbs[ADMIN_METHOD_COUNT] = {
    [ADMIN_GET] = "get",     [ADMIN_POST] = "post",     [ADMIN_PUT] = "put",
    [ADMIN_PATCH] = "patch", [ADMIN_DELETE] = "delete",
};

static json_t *ref(const char *kind, const char *name)
{
    char text[REF_BYTES + 64];
    snprintf(text, sizeof(text), "#/components/%s/%s", kind, name);
    return json_pack("{s:s}", "$ref", text);
}

/* ---- what is sent and answered ---- */

static json_t *content_of(json_t *schema)
{
    return json_pack("{s:{s:o}}", "application/json", "schema", schema);
}

static json_t *answer_of(const char *says, json_t *schema)
{
    json_t *out = json_pack("{s:s}", "description", says);
    if (schema)
        json_object_set_new(out, "content", content_of(schema));
    return out;
}

static void add_answer(json_t *operation, const char *status, json_t *answer)
{
    json_t *answers = json_object_get(operation, "responses");
    json_object_set_new(answers, status, answer);
}

static json_t *page_of(const struct entity *entity)
{
    return json_pack("{s:s, s:{s:{s:s, s:o}, s:{s:[s, s]}, s:{s:s}}, s:[s, s]}", "type", "object",
                     "properties", "data", "type", "array", "items", ref("schemas", entity->name),
                     "next", "type", "string", "null", "offset", "type", "string", "required",
                     "data", "next");
}

static json_t *input_of(const struct entity *entity)
{
    char name[REF_BYTES];
    snprintf(name, sizeof(name), "%s.input", entity->name);
    return json_pack("{s:b, s:{s:{s:o}, s:{s:o}, s:{s:o}}}", "required", 0, "content",
                     "application/json", "schema", ref("schemas", name),
                     "application/x-www-form-urlencoded", "schema", ref("schemas", name),
                     "multipart/form-data", "schema", ref("schemas", name));
}

/* ---- operations ---- */

static json_t *query(const char *name, const char *type, const char *says)
{
    return json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", name, "in", "query", "description", says,
                     "schema", "type", type);
}

static void describe_list(json_t *operation, const struct admin_endpoint *endpoint)
{
    json_t *parameters = json_array();
    json_array_append_new(parameters,
                          query("size", "integer", "How many a page has, at most 1000"));
    json_array_append_new(parameters, query("offset", "string", "Where the page before ended"));
    if (!endpoint->parent)
        json_array_append_new(parameters,
                              query("tags", "string", "a,b: with both; a/b: with one of them"));
    json_object_set_new(operation, "parameters", parameters);
    add_answer(operation, "200", answer_of("A page", page_of(endpoint->entity)));
}

static void describe_write(json_t *operation, const struct admin_endpoint *endpoint,
                           enum admin_method method)
{
    const char *status = method == ADMIN_POST ? "201" : "200";
    json_object_set_new(operation, "requestBody", input_of(endpoint->entity));
    add_answer(operation, status,
               answer_of("The whole entity, in force", ref("schemas", endpoint->entity->name)));
    add_answer(operation, "400", ref("responses", "refused"));
    add_answer(operation, "409", ref("responses", "refused"));
    if (method != ADMIN_POST)
        add_answer(operation, "404", ref("responses", "refused"));
}

static void describe_entity(json_t *operation, const struct admin_endpoint *endpoint,
                            enum admin_method method)
{
    bool is_list = endpoint->handlers[ADMIN_GET] == admin_crud_list;
    if (method == ADMIN_GET && is_list) {
        describe_list(operation, endpoint);
        add_answer(operation, "400", ref("responses", "refused"));
    } else if (method == ADMIN_GET) {
        add_answer(operation, "200",
                   answer_of("The entity", ref("schemas", endpoint->entity->name)));
        add_answer(operation, "404", ref("responses", "refused"));
    } else if (method == ADMIN_DELETE) {
        add_answer(operation, "204", answer_of("Gone, or it was not there", NULL));
        add_answer(operation, "400", ref("responses", "refused"));
        add_answer(operation, "404", ref("responses", "refused"));
    } else {
        describe_write(operation, endpoint, method);
    }
    json_object_set_new(operation, "tags", json_pack("[s]", endpoint->entity->name));
}

/* What has no entity behind it answers some object, or none. */
static void describe_other(json_t *operation, enum admin_method method)
{
    json_t *object = json_pack("{s:s}", "type", "object");
    if (method == ADMIN_GET)
        add_answer(operation, "200", answer_of("What is asked for", json_incref(object)));
    else
        add_answer(operation, "2XX", answer_of("It is done", NULL));
    add_answer(operation, "4XX", ref("responses", "refused"));
    json_object_set_new(operation, "tags", json_pack("[s]", "node"));
    json_decref(object);
}

static json_t *operation_of(const struct admin_endpoint *endpoint, enum admin_method method)
{
    json_t *operation = json_pack("{s:{}}", "responses");
    if (endpoint->entity)
        describe_entity(operation, endpoint, method);
    else
        describe_other(operation, method);
    add_answer(operation, "default", ref("responses", "refused"));
    return operation;
}

/* ---- paths ---- */

/* The segment's name as a parameter; a name that is there already gets a number. */
static void add_parameter(json_t *parameters, const char *segment, char name[64])
{
    snprintf(name, 64, "%.*s", (int)strlen(segment) - 2, segment + 1);
    size_t i;
    json_t *there;
    json_array_foreach(parameters, i, there)
    {
        if (strcmp(json_string_value(json_object_get(there, "name")), name) == 0)
            strcat(name, "_2"); /* names of entities are far shorter */
    }
    json_array_append_new(parameters, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in",
                                                "path", "required", 1, "schema", "type", "string"));
}

static void add_path(json_t *paths, const struct admin_endpoint *endpoint)
{
    char path[PATH_BYTES] = "", name[64];
    size_t len = 0;
    json_t *parameters = json_array();
    for (unsigned i = 0; endpoint->segments[i]; i++) {
        bool is_parameter = endpoint->segments[i][0] == '{';
        if (is_parameter)
            add_parameter(parameters, endpoint->segments[i], name);
        len += (size_t)snprintf(path + len, sizeof(path) - len, is_parameter ? "/{%s}" : "/%s",
                                is_parameter ? name : endpoint->segments[i]);
    }
    json_t *item = json_object();
    if (json_array_size(parameters) > 0)
        json_object_set(item, "parameters", parameters);
    json_decref(parameters);
    for (int method = 0; method < ADMIN_METHOD_COUNT; method++)
        if (endpoint->handlers[method])
            json_object_set_new(item, verbs[method],
                                operation_of(endpoint, (enum admin_method)method));
    const char *key = path[0] ? path : "/";
    if (json_object_get(paths, key)) /* a fixed path comes first, as it does when it is asked for */
        json_decref(item);
    else
        json_object_set_new(paths, key, item);
}

static json_t *components(void)
{
    json_t *schemas = json_object();
    for (size_t i = 0; entities[i]; i++)
        if (!entities[i]->is_internal)
            admin_openapi_add_entity(schemas, entities[i]);
    json_object_set_new(schemas, "problem",
                        json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}, s:[s]}", "type",
                                  "object", "properties", "code", "type", "integer", "name", "type",
                                  "string", "message", "type", "string", "fields", "type", "object",
                                  "required", "message"));
    return json_pack("{s:o, s:{s:o}}", "schemas", schemas, "responses", "refused",
                     answer_of("What is wrong", ref("schemas", "problem")));
}

void admin_openapi(struct admin_request *request)
{
    json_t *paths = json_object();
    size_t count;
    const struct admin_endpoint *all = admin_endpoints_all(request->endpoints, &count);
    for (size_t i = 0; i < count; i++)
        add_path(paths, &all[i]);
    json_t *document =
        json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:o}", "openapi", "3.1.0", "info", "title",
                  "weir Admin API", "version", WEIR_VERSION, "description",
                  "Compatible with Kong Gateway " ADMIN_KONG_VERSION " (open source)", "paths",
                  paths, "components", components());
    if (document)
        admin_request_answer(request, 200, document);
    else
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
}
