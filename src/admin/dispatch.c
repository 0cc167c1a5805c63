#include "admin/dispatch.h"

#include "admin/body.h"
#include "admin/config.h"
#include "admin/crud.h"
#include "admin/endpoints.h"
#include "admin/problem.h"

static bool needs_body(const struct admin_request *request)
{
    return request->method == ADMIN_POST || request->method == ADMIN_PUT ||
           request->method == ADMIN_PATCH;
}

/* The request's input. False when it has been answered. */
static bool decode_body(struct admin_request *request, struct str content_type, char *body,
                        size_t len)
{
    enum admin_body_type type = admin_body_type_of(content_type);
    if (type == ADMIN_BODY_UNKNOWN)
        type = ADMIN_BODY_FORM; /* there is no body */
    const char *problem = NULL;
    int rc = admin_body_decode(type, content_type, body, len, &request->input, &problem);
    if (rc != 0) {
        if (problem)
            admin_request_answer_message(request, 400, problem);
        else
            admin_request_answer_message(request, 500, admin_problem_of_status(500));
        return false;
    }
    request->from_form = type != ADMIN_BODY_JSON;
    if (request->from_form && request->endpoint->entity)
        entity_coerce(request->endpoint->entity, request->input,
                      request->method == ADMIN_PATCH ? admin_crud_current(request) : NULL);
    return true;
}

static bool is_unsupported(const struct admin_request *request, struct str content_type,
                           size_t body_len)
{
    enum admin_body_type type = admin_body_type_of(content_type);
    if (type == ADMIN_BODY_YAML)
        return !request->endpoint->takes_yaml;
    return type == ADMIN_BODY_UNKNOWN && (content_type.len > 0 || body_len > 0);
}

/* Kong's order: path, type of the body, verb, body. */
void admin_dispatch(struct admin_request *request, struct str content_type, char *body,
                    size_t body_len)
{
    request->endpoint = admin_endpoints_match(request->endpoints, request);
    if (!request->endpoint) {
        admin_request_answer_not_found(request);
        return;
    }
    if (needs_body(request) && is_unsupported(request, content_type, body_len)) {
        admin_request_answer(request, 415, NULL);
        return;
    }
    if (request->method == ADMIN_OPTIONS) {
        admin_request_answer(request, 204, NULL);
        return;
    }
    admin_handler_cb handler =
        request->method < ADMIN_METHOD_COUNT ? request->endpoint->handlers[request->method] : NULL;
    if (!handler) {
        admin_request_answer_message(request, 405, admin_problem_of_status(405));
        return;
    }
    bool writes = needs_body(request) || request->method == ADMIN_DELETE;
    if (writes && (admin_config_refuse_write(request) || !admin_request_read_wait(request)))
        return;
    if (!needs_body(request) || decode_body(request, content_type, body, body_len))
        handler(request);
}
