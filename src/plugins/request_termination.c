/* request_termination.c - answers in place of a service: always, or when a header or an argument
 * asks for it. */
#include "plugins/registry.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/row.h"

#define JSON_TYPE STR("application/json; charset=utf-8")

struct request_termination {
    uint16_t status;
    bool echoes;
    struct str trigger; /* empty: always */
    struct str message; /* empty: none */
    struct str body;
    struct str content_type;
};

static struct str message_of(const json_t *config, uint16_t status)
{
    static const struct {
        uint16_t status;
        struct str message;
    } usual[] = {
        {401, {"Unauthorized", 12}},       {404, {"Not found", 9}},
        {405, {"Method not allowed", 18}}, {500, {"An unexpected error occurred", 28}},
        {502, {"Bad Gateway", 11}},        {503, {"Service unavailable", 19}},
    };
    struct str own = row_text(config, "message");
    for (size_t i = 0; own.len == 0 && i < sizeof(usual) / sizeof(usual[0]); i++)
        if (usual[i].status == status)
            return usual[i].message;
    return own;
}

/* Takes the JSON over; the text is the arena's. */
static struct str dump(json_t *json, struct arena *arena)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct str copy = text ? arena_copy(arena, str_of(text)) : STR_EMPTY;
    free(text);
    json_decref(json);
    return copy;
}

static json_t *text_of(struct str text)
{
    json_t *value = json_stringn(text.ptr ? text.ptr : "", text.len);
    return value ? value : json_string("?"); /* no UTF-8 */
}

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct request_termination *made = arena_alloc(arena, sizeof(*made));
    if (!made)
        return UV_ENOMEM;
    uint16_t status = (uint16_t)json_integer_value(json_object_get(config, "status_code"));
    if (status < 200)
        status = 503; /* the table allows 1xx, as Kong's does, but none of them ends an exchange */
    struct str body = row_text(config, "body");
    struct str type = row_text(config, "content_type");
    struct str message = message_of(config, status);
    *made = (struct request_termination){
        .status = status,
        .echoes = json_is_true(json_object_get(config, "echo")),
        .trigger = arena_copy(arena, row_text(config, "trigger")),
        .message = arena_copy(arena, message),
        .content_type =
            type.len > 0 && plugin_may_stand_in_a_line(type) ? arena_copy(arena, type) : JSON_TYPE,
    };
    if (body.len > 0) {
        made->body = arena_copy(arena, body);
    } else {
        json_t *json = json_object();
        if (message.len > 0)
            json_object_set_new(json, "message", text_of(message));
        made->body = dump(json, arena);
    }
    *ret = made;
    return made->body.ptr ? 0 : UV_ENOMEM;
}

static bool has_argument(struct str query, struct str name)
{
    while (query.len > 0) {
        struct str argument = str_cut(&query, '&');
        if (str_equal(str_cut(&argument, '='), name))
            return true;
    }
    return false;
}

static bool is_triggered(const struct request_termination *own,
                         const struct plugin_request *request)
{
    return own->trigger.len == 0 || plugin_find_field(request->head, own->trigger).ptr ||
           has_argument(request->uri->query, own->trigger);
}

static json_t *named(struct str id, struct str name)
{
    return json_pack("{s:o, s:o}", "id", text_of(id), "name",
                     name.len > 0 ? text_of(name) : json_null());
}

/* For those who look for what a route matches; not for traffic. */
static struct str echo(const struct request_termination *own, const struct plugin_request *request)
{
    const struct http_head *head = request->head;
    const struct service *service = request->route->service;
    json_t *headers = json_object();
    for (unsigned i = 0; i < head->field_count; i++) {
        json_t *name = text_of(http_field_name(head, &head->fields[i]));
        json_object_set_new(headers, json_string_value(name),
                            text_of(http_field_value(head, &head->fields[i])));
        json_decref(name);
    }
    json_t *about = json_pack(
        "{s:s, s:o, s:i, s:o, s:o, s:o, s:o}", "scheme", request->is_secure ? "https" : "http",
        "host", text_of(http_span_str(head, head->host)), "port", (int)request->listener_port,
        "method", text_of(http_span_str(head, head->method_text)), "path", text_of(request->path),
        "raw_query", text_of(request->uri->query), "headers", headers);
    json_t *body = json_pack(
        "{s:o, s:o, s:o}", "message", own->message.len > 0 ? text_of(own->message) : json_null(),
        "request", about, "matched_route", named(request->route->id, request->route->name));
    if (service)
        json_object_set_new(body, "matched_service", named(service->id, service->name));
    return dump(body, request->arena);
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct request_termination *own = config;
    if (!is_triggered(own, request))
        return;
    effect->status = own->status;
    effect->content_type = own->content_type;
    effect->body = own->body;
    if (own->echoes)
        effect->body = echo(own, request);
}

const struct plugin request_termination_step = {
    .name = "request-termination", .compile = compile, .access = on_access};
