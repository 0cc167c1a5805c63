/* request_size_limiting.c - refuses requests whose content is too long. */
#include "plugins/registry.h"

#include <uv.h> /* error codes only */

#include "model/row.h"

struct request_size_limiting {
    uint64_t max_bytes;
    bool needs_length;
};

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct str unit = row_text(config, "size_unit");
    json_int_t size = json_integer_value(json_object_get(config, "allowed_payload_size"));
    struct request_size_limiting *made = arena_alloc(arena, sizeof(*made));
    uint64_t factor = str_equal(unit, STR("bytes"))       ? 1
                      : str_equal(unit, STR("kilobytes")) ? 1024
                                                          : 1048576;
    if (!made)
        return UV_ENOMEM;
    *made = (struct request_size_limiting){
        .needs_length = json_is_true(json_object_get(config, "require_content_length"))};
    if (size > 0 && __builtin_mul_overflow((uint64_t)size, factor, &made->max_bytes))
        made->max_bytes = UINT64_MAX;
    *ret = made;
    return 0;
}

/* Content of unknown length is stopped where it passes the limit. */
static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct request_size_limiting *own = config;
    const struct http_head *head = request->head;
    if (head->has_content_length) {
        if (head->content_length > own->max_bytes)
            plugin_refuse(effect, head->expects_continue ? 417 : 413,
                          "Request size limit exceeded");
    } else if (own->needs_length) {
        plugin_refuse(effect, 411, "A valid Content-Length header is required");
    } else if (head->framing == HTTP_CHUNKED) {
        effect->has_max_body = true;
        effect->max_body_bytes = own->max_bytes;
    }
}

const struct plugin request_size_limiting_step = {
    .name = "request-size-limiting", .compile = compile, .access = on_access};
