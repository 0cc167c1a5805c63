#include "admin/problem.h"

#include <stddef.h>

#include <uv.h> /* error codes only */

#include "model/violation.h"

static const struct {
    int status;
    const char *reason;
    const char *message; /* NULL: the reason */
} statuses[] = {
    {200, "OK", NULL},
    {201, "Created", NULL},
    {204, "No Content", NULL},
    {400, "Bad Request", "Bad request"},
    {401, "Unauthorized", NULL},
    {403, "Forbidden", NULL},
    {404, "Not Found", "Not found"},
    {405, "Method Not Allowed", "Method not allowed"},
    {408, "Request Timeout", "Request timeout"},
    {409, "Conflict", NULL},
    {413, "Content Too Large", "Payload too large"},
    {414, "URI Too Long", "Request-URI too large"},
    {415, "Unsupported Media Type", "Unsupported media type"},
    {417, "Expectation Failed", "Expectation failed"},
    {429, "Too Many Requests", "API rate limit exceeded"},
    {431, "Request Header Fields Too Large", "Request header or cookie too large"},
    {500, "Internal Server Error", "An unexpected error occurred"},
    {501, "Not Implemented", "Not implemented"},
    {503, "Service Unavailable", "Service unavailable"},
    {505, "HTTP Version Not Supported", "HTTP version not supported"},
};

json_t *admin_problem_message(const char *message)
{
    return json_pack("{s:s}", "message", message);
}

const char *admin_problem_reason(int status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].status == status)
            return statuses[i].reason;
    return "Unknown";
}

const char *admin_problem_of_status(int status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].status == status && statuses[i].message)
            return statuses[i].message;
    return admin_problem_reason(status);
}

json_t *admin_problem_of_store(int rc, int *ret_status)
{
    struct violation violation = {0};
    switch (rc) {
    case UV_EEXIST:
        violation_set(&violation, VIOLATION_UNIQUE, json_object(),
                      "UNIQUE violation detected: another node has just taken this value");
        break;
    case UV_ENOENT:
        violation_set(&violation, VIOLATION_FOREIGN_KEY, json_object(),
                      "another node has just removed an entity that this one refers to");
        break;
    case UV_EBUSY:
        violation_set(&violation, VIOLATION_FOREIGN_KEY, json_object(),
                      "another node has just added an entity that refers to this one");
        break;
    case UV_ENOTCONN:
    case UV_ECANCELED:
        *ret_status = 503;
        return admin_problem_message(rc == UV_ENOTCONN
                                         ? "the database is away; nothing was written"
                                         : "this node is stopping; nothing was written");
    case UV_EAGAIN:
        *ret_status = 503;
        return admin_problem_message("other nodes keep changing the same; nothing was written");
    case UV_ECONNABORTED:
        *ret_status = 503;
        return admin_problem_message(
            "the database went away before it said whether this was written");
    default: /* logged by the store */
        *ret_status = 500;
        return admin_problem_message(admin_problem_of_status(500));
    }
    *ret_status = violation_status(&violation);
    json_t *body = violation_to_body(&violation);
    violation_deinit(&violation);
    return body;
}
