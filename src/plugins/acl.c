/* acl.c - lets consumers in, or keeps them out, by their groups. */
#include "plugins/registry.h"

#include <string.h>

#include <uv.h> /* error codes only */

#define GROUPS_FIELD STR("X-Consumer-Groups")

struct acl {
    bool denies;              /* those in the groups; else it lets only those in */
    const struct str *groups; /* of the configuration */
    size_t group_count;
    bool hides_groups;
};

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    const json_t *deny = json_object_get(config, "deny");
    bool denies = json_array_size(deny) > 0;
    const json_t *list = denies ? deny : json_object_get(config, "allow");
    size_t count = json_array_size(list);
    struct acl *made = arena_alloc(arena, sizeof(*made));
    struct str *groups = arena_alloc(arena, (count + 1) * sizeof(*groups));
    if (!made || !groups)
        return UV_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        groups[i] = arena_copy(arena, str_of(json_string_value(json_array_get(list, i))));
        if (!groups[i].ptr)
            return UV_ENOMEM;
    }
    *made = (struct acl){
        .denies = denies,
        .groups = groups,
        .group_count = count,
        .hides_groups = json_is_true(json_object_get(config, "hide_groups_header")),
    };
    *ret = made;
    return 0;
}

static bool is_in_any(const struct acl *own, const struct consumer *consumer)
{
    for (size_t i = 0; i < own->group_count; i++)
        if (consumer_is_in(consumer, own->groups[i]))
            return true;
    return false;
}

/* "a, b"; its ptr is NULL when there is no memory. */
static struct str join(struct arena *arena, const struct consumer *consumer)
{
    size_t size = 1;
    for (uint32_t i = 0; i < consumer->group_count; i++)
        size += consumer->groups[i].len + 2;
    char *text = arena_alloc(arena, size);
    char *at = text;
    for (uint32_t i = 0; text && i < consumer->group_count; i++) {
        if (i > 0)
            at = mempcpy(at, ", ", 2);
        at = mempcpy(at, consumer->groups[i].ptr, consumer->groups[i].len);
    }
    return str_make(text, text ? (size_t)(at - text) : 0);
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct acl *own = config;
    const struct consumer *consumer = effect->consumer;
    plugin_drop_like(request->head, GROUPS_FIELD); /* nobody names his own */
    plugin_drop_lines(&effect->request_lines, GROUPS_FIELD);
    if (!consumer || is_in_any(own, consumer) == own->denies) {
        if (effect->credential)
            plugin_refuse(effect, 403, "You cannot consume this service");
        else
            plugin_refuse(effect, 401, "Unauthorized");
        return;
    }
    if (!own->hides_groups && consumer->group_count > 0)
        plugin_add_line(request->arena, &effect->request_lines, GROUPS_FIELD,
                        join(request->arena, consumer));
}

const struct plugin acl_step = {.name = "acl", .compile = compile, .access = on_access};
