#include "admin/request.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "admin/endpoints.h"
#include "admin/problem.h"
#include "admin/server.h"
#include "http/http1.h"
#include "http/uri.h"

#define ARENA_BLOCK_BYTES 4096
#define ARENA_MAX_BYTES                                                                            \
    ((size_t)256 << 10) /* a request's head is at most 16 KiB; decoded it shrinks */

#define WAIT_LIMIT_MS 5000 /* of ?wait=all, unless ?wait_ms says otherwise */
#define WAIT_LIMIT_MAX_MS 60000

int admin_request_create(struct admin_request **ret)
{
    struct admin_request *request = calloc(1, sizeof(*request));
    if (!request)
        return UV_ENOMEM;
    arena_init(&request->arena, ARENA_BLOCK_BYTES, ARENA_MAX_BYTES);
    *ret = request;
    return 0;
}

void admin_request_destroy(struct admin_request *request)
{
    if (!request)
        return;
    json_decref(request->input);
    json_decref(request->row);
    json_decref(request->before);
    json_decref(request->body);
    free(request->text);
    free(request->behind);
    violation_deinit(&request->violation);
    config_change_deinit(&request->write.change);
    admin_endpoints_unref(request->endpoints);
    arena_deinit(&request->arena);
    free(request);
}

static enum admin_method method_of(uint8_t method)
{
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD:
        return ADMIN_GET;
    case HTTP_POST:
        return ADMIN_POST;
    case HTTP_PUT:
        return ADMIN_PUT;
    case HTTP_PATCH:
        return ADMIN_PATCH;
    case HTTP_DELETE:
        return ADMIN_DELETE;
    case HTTP_OPTIONS:
        return ADMIN_OPTIONS;
    default:
        return ADMIN_OTHER_METHOD;
    }
}

void admin_request_set_method(struct admin_request *request, uint8_t llhttp_method)
{
    request->method = method_of(llhttp_method);
    request->is_head = llhttp_method == HTTP_HEAD;
}

static bool is_plain_text(struct str text)
{
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        return false;
    json_t *probe = json_stringn(text.ptr ? text.ptr : "", text.len);
    json_decref(probe);
    return probe != NULL;
}

/* Decodes the path's segments; a slash at the end counts for nothing. UV_EINVAL when one is no
 * text. Too many segments leave a count that no endpoint has. */
static int split_path(struct admin_request *request, struct str path)
{
    struct str rest = str_make(path.ptr + 1, path.len - 1);
    if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
        rest.len--;
    while (rest.len > 0 || (rest.ptr && request->segment_count > 0)) {
        struct str raw = str_cut(&rest, '/');
        if (request->segment_count == ADMIN_MAX_SEGMENTS) {
            request->segment_count = ADMIN_MAX_SEGMENTS + 1;
            return 0;
        }
        struct str copy = arena_copy(&request->arena, raw);
        if (!copy.ptr)
            return UV_ENOMEM;
        char *text = (char *)(uintptr_t)copy.ptr;
        copy.len = urlencoded_decode(text, copy.len, false);
        text[copy.len] = '\0';
        if (!is_plain_text(copy))
            return UV_EINVAL;
        request->segments[request->segment_count++] = copy;
    }
    return 0;
}

static int split_query(struct admin_request *request, struct str query)
{
    size_t max = urlencoded_count(query);
    if (max > URLENCODED_MAX_ARGS)
        return UV_E2BIG;
    struct str copy = arena_copy(&request->arena, query);
    request->query = arena_alloc(&request->arena, (max + 1) * sizeof(*request->query));
    if (!copy.ptr || !request->query)
        return UV_ENOMEM;
    request->query_count =
        urlencoded_split((char *)(uintptr_t)copy.ptr, copy.len, request->query, max);
    return 0;
}

int admin_request_set_target(struct admin_request *request, struct str target)
{
    struct uri uri;
    if (!uri_parse(target, &uri) || uri.path.ptr[0] != '/')
        return UV_EINVAL;
    int rc = split_path(request, uri.path);
    return rc != 0 ? rc : split_query(request, uri.query);
}

bool admin_request_query(const struct admin_request *request, const char *name, struct str *ret)
{
    for (size_t i = 0; i < request->query_count; i++) {
        if (str_equal(request->query[i].name, str_of(name))) {
            *ret = request->query[i].value;
            return true;
        }
    }
    return false;
}

void admin_request_answer(struct admin_request *request, int status, json_t *body)
{
    request->status = status;
    request->body = body;
    request->answered(request);
}

void admin_request_answer_text(struct admin_request *request, const char *type, char *text,
                               size_t len)
{
    request->text = text;
    request->text_len = len;
    request->text_type = type;
    admin_request_answer(request, 200, NULL);
}

static void on_everywhere(void *arg, const char *behind)
{
    struct admin_request *request = arg;
    request->behind = behind ? strdup(behind) : NULL;
    request->answered(request);
}

bool admin_request_only_reads(const struct admin_request *request)
{
    return request->segment_count == 3 && str_equal(request->segments[0], STR("schemas")) &&
           str_equal(request->segments[2], STR("validate"));
}

bool admin_request_read_wait(struct admin_request *request)
{
    struct str whom, text;
    request->wait_limit_ms = WAIT_LIMIT_MS;
    request->waits_for_all = admin_request_query(request, "wait", &whom);
    if (request->waits_for_all && !str_equal(whom, STR("all"))) {
        admin_request_answer_message(request, 400, "wait must be all");
        return false;
    }
    if (admin_request_query(request, "wait_ms", &text) &&
        (!str_to_u64(text, &request->wait_limit_ms) ||
         request->wait_limit_ms > WAIT_LIMIT_MAX_MS)) {
        admin_request_answer_message(request, 400, "wait_ms must be 0 to 60000 milliseconds");
        return false;
    }
    return true;
}

void admin_request_answer_write(struct admin_request *request, int status, json_t *body)
{
    bool waits = request->connection && request->node->cluster && request->waits_for_all;
    request->status = status;
    request->body = body;
    if (waits)
        request->node->cluster->wait_all(request->node->control, request->wait_limit_ms,
                                         on_everywhere, request);
    else
        request->answered(request);
}

void admin_request_answer_message(struct admin_request *request, int status, const char *message)
{
    admin_request_answer(request, status, admin_problem_message(message));
}

void admin_request_answer_violation(struct admin_request *request,
                                    const struct violation *violation)
{
    admin_request_answer(request, violation_status(violation), violation_to_body(violation));
}

void admin_request_answer_not_found(struct admin_request *request)
{
    admin_request_answer_message(request, 404, "Not found");
}
