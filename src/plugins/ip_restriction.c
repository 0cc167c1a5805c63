/* ip_restriction.c - lets in, or keeps out, by the client's address. What is denied is so whatever
 * is allowed. */
#include "plugins/registry.h"

#include <stdio.h>

#include <uv.h> /* error codes only */

#include "base/log.h"
#include "model/row.h"
#include "net/cidr.h"

#define DEFAULT_STATUS 403
#define SENTENCE_BYTES 96

struct ip_restriction {
    bool has_allow;
    bool is_unreadable; /* of what is listed something is no address: nobody is let in */
    struct cidr_set allow;
    struct cidr_set deny;
    uint16_t status;
    struct str body; /* of a message of its own, as JSON; empty: Kong's words */
};

static int compile_ranges(const json_t *list, struct arena *arena, struct cidr_set *ret,
                          bool *is_unreadable)
{
    size_t count = json_array_size(list);
    *ret = (struct cidr_set){.count = 0};
    ret->ranges = count ? arena_alloc(arena, count * sizeof(*ret->ranges)) : NULL;
    if (count > 0 && !ret->ranges)
        return UV_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct str text = str_of(json_string_value(json_array_get(list, i)));
        if (cidr_read_range(text, &ret->ranges[ret->count])) {
            ret->count++;
        } else {
            *is_unreadable = true;
            log_error("ip-restriction: no address or range, so that nobody is let in",
                      LOG_STR("entry", text));
        }
    }
    return 0;
}

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct ip_restriction *made = arena_alloc(arena, sizeof(*made));
    if (!made)
        return UV_ENOMEM;
    const json_t *allow = json_object_get(config, "allow");
    const json_t *status = json_object_get(config, "status");
    *made =
        (struct ip_restriction){.has_allow = json_array_size(allow) > 0, .status = DEFAULT_STATUS};
    double number = json_number_value(status);
    if (number >= 200 && number <= 599) /* a 1xx ends no exchange */
        made->status = (uint16_t)number;
    struct str message = row_text(config, "message");
    if (message.len > 0) {
        made->body = plugin_message_body(arena, message);
        if (!made->body.ptr)
            return UV_ENOMEM;
    }
    int rc = compile_ranges(allow, arena, &made->allow, &made->is_unreadable);
    if (rc == 0)
        rc = compile_ranges(json_object_get(config, "deny"), arena, &made->deny,
                            &made->is_unreadable);
    *ret = made;
    return rc;
}

static void refuse(const struct ip_restriction *config, const struct plugin_request *request,
                   struct plugin_effect *effect)
{
    effect->status = config->status;
    if (config->body.len > 0) {
        effect->body = config->body;
        effect->content_type = STR("application/json; charset=utf-8");
        return;
    }
    char *text = arena_alloc(request->arena, SENTENCE_BYTES);
    effect->message = "IP address not allowed";
    if (!text)
        return;
    snprintf(text, SENTENCE_BYTES, "IP address not allowed: %.*s", STR_ARG(request->client));
    effect->message = text;
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct ip_restriction *own = config;
    struct cidr_address address;
    /* An address that is none (a Unix socket's) is on no list. */
    bool is_address = cidr_read_address(request->client, &address);
    bool is_denied = is_address && cidr_set_has(&own->deny, &address);
    bool is_allowed = !own->has_allow || (is_address && cidr_set_has(&own->allow, &address));
    if (own->is_unreadable || is_denied || !is_allowed)
        refuse(own, request, effect);
}

const struct plugin ip_restriction_step = {
    .name = "ip-restriction", .serves_streams = true, .compile = compile, .access = on_access};
