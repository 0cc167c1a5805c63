/* request_transformer.c - changes a request's header, its query and its path on the way to the
 * service. Its method and content stay as they are. */
#include "plugins/registry.h"

#include <string.h>

#include <uv.h> /* error codes only */

#include "model/row.h"
#include "plugins/edits.h"

struct request_transformer {
    struct edits headers;
    struct edits query;
    bool replaces_path;
    struct template path;
};

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct request_transformer *made = arena_alloc(arena, sizeof(*made));
    struct str uri = row_text(json_object_get(config, "replace"), "uri");
    if (!made)
        return UV_ENOMEM;
    *made = (struct request_transformer){.replaces_path = false};
    int rc = edits_compile(config, EDITS_OF_REQUEST, arena, &made->headers);
    if (rc == 0)
        rc = edits_compile(config, EDITS_OF_QUERY, arena, &made->query);
    if (rc == 0 && uri.len > 0 && template_is_understood(uri)) {
        made->replaces_path = true;
        rc = template_compile(uri, arena, &made->path);
    }
    *ret = made;
    return rc;
}

/* The Host that the service gets: nothing else stands for it, so that it may only be replaced. */
static void replace_host(const struct request_transformer *own, const struct str *values,
                         struct plugin_effect *effect)
{
    struct str host;
    uint16_t port;
    for (size_t i = 0; i < own->headers.count; i++)
        if (own->headers.list[i].kind == EDIT_REPLACE &&
            str_equal_nocase(own->headers.list[i].name, STR("host")) &&
            uri_split_host(values[i], &host, &port))
            effect->host = values[i];
}

/* What a template brings in ends no path: '?' and '#' are escaped. Its ptr is NULL when there is no
 * memory. */
static struct str as_path(struct str text, struct arena *arena)
{
    char *out = arena_alloc(arena, text.len * 3 + 1);
    char *at = out;
    for (size_t i = 0; out && i < text.len; i++) {
        if (text.ptr[i] == '?' || text.ptr[i] == '#')
            at = mempcpy(at, text.ptr[i] == '?' ? "%3F" : "%23", 3);
        else
            *at++ = text.ptr[i];
    }
    return str_make(out, out ? (size_t)(at - out) : 0);
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct request_transformer *own = config;
    struct str lines = effect->request_lines;
    struct str *headers = edits_render(&own->headers, request, lines);
    struct str *query = edits_render(&own->query, request, lines);
    struct str path = own->replaces_path ? template_render(&own->path, request, lines) : STR_EMPTY;
    if (!headers || !query) {
        plugin_refuse(effect, 500, "An unexpected error occurred");
        return;
    }
    replace_host(own, headers, effect);
    edits_apply_to_head(&own->headers, headers, request->arena, request->head,
                        &effect->request_lines);
    edits_apply_to_query(&own->query, query, request);
    if (path.len > 0 && path.ptr[0] == '/')
        effect->path = as_path(path, request->arena);
}

static const char *const lacking[] = {
    "config.http_method",
    "config.*.body",
    "config.*.headers: those that frame a message or that weir writes itself, and Lua in $(…)",
    "config.*.querystring: Lua in $(…)",
    "config.replace.uri: Lua in $(…)",
    NULL,
};

static const char *lacks(const json_t *config)
{
    if (row_text(config, "http_method").len > 0)
        return lacking[0];
    if (edits_has(config, "body"))
        return lacking[1];
    if (!edits_are_understood(config, EDITS_OF_REQUEST))
        return lacking[2];
    if (!edits_are_understood(config, EDITS_OF_QUERY))
        return lacking[3];
    return template_is_understood(row_text(json_object_get(config, "replace"), "uri")) ? NULL
                                                                                       : lacking[4];
}

const struct plugin request_transformer_step = {.name = "request-transformer",
                                                .compile = compile,
                                                .access = on_access,
                                                .lacks = lacks,
                                                .lacking = lacking};
