/* response_transformer.c - changes the header of what the client gets. The content stays as it
 * is. */
#include "plugins/registry.h"

#include <uv.h> /* error codes only */

#include "plugins/edits.h"

struct response_transformer {
    struct edits headers;
};

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct response_transformer *made = arena_alloc(arena, sizeof(*made));
    if (!made)
        return UV_ENOMEM;
    *ret = made;
    return edits_compile(config, EDITS_OF_RESPONSE, arena, &made->headers);
}

static void on_respond(const void *config, const struct plugin_request *request,
                       const struct plugin_effect *effect, struct plugin_response *response)
{
    const struct response_transformer *own = config;
    struct str *values = edits_render(&own->headers, request, effect->request_lines);
    if (values)
        edits_apply_to_head(&own->headers, values, request->arena, response->head, response->lines);
}

static const char *const lacking[] = {
    "config.*.json",
    "config.*.headers: those that frame a message or that weir writes itself",
    NULL,
};

static const char *lacks(const json_t *config)
{
    if (edits_has(config, "json"))
        return lacking[0];
    return edits_are_understood(config, EDITS_OF_RESPONSE) ? NULL : lacking[1];
}

const struct plugin response_transformer_step = {.name = "response-transformer",
                                                 .compile = compile,
                                                 .respond = on_respond,
                                                 .lacks = lacks,
                                                 .lacking = lacking};
