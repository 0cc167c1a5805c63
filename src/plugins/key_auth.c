/* key_auth.c - asks for a key, in a header or an argument. Keys in the request's content are not
 * looked for. */
#include "plugins/registry.h"

#include <uv.h> /* error codes only */

#include "plugins/auth.h"

struct key_auth {
    struct auth auth;
    const struct str *names;
    size_t name_count;
    bool looks_in_header;
    bool looks_in_query;
    bool runs_on_preflight;
};

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    const json_t *list = json_object_get(config, "key_names");
    size_t count = json_array_size(list);
    struct key_auth *made = arena_alloc(arena, sizeof(*made));
    struct str *names = arena_alloc(arena, (count + 1) * sizeof(*names));
    if (!made || !names)
        return UV_ENOMEM;
    *made = (struct key_auth){
        .names = names,
        .name_count = count,
        .looks_in_header = json_is_true(json_object_get(config, "key_in_header")),
        .looks_in_query = json_is_true(json_object_get(config, "key_in_query")),
        .runs_on_preflight = json_is_true(json_object_get(config, "run_on_preflight")),
    };
    for (size_t i = 0; i < count; i++) {
        names[i] = arena_copy(arena, str_of(json_string_value(json_array_get(list, i))));
        if (!names[i].ptr)
            return UV_ENOMEM;
    }
    *ret = made;
    return auth_compile(config, "Key", arena, &made->auth);
}

/* The key under that name; *ret_count: how often there is one in the same place. */
static struct str find(const struct key_auth *own, const struct plugin_request *request,
                       struct str name, unsigned *ret_count)
{
    *ret_count = 0;
    if (own->looks_in_header) {
        *ret_count = plugin_count_fields(request->head, name);
        if (*ret_count > 0)
            return plugin_find_field(request->head, name);
    }
    return own->looks_in_query ? plugin_find_argument(request, name, ret_count) : STR_EMPTY;
}

static void hide(const struct plugin_request *request, struct plugin_effect *effect,
                 struct str name)
{
    plugin_drop(request->head, &effect->request_lines, name);
    plugin_drop_argument(request, name);
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct key_auth *own = config;
    struct str key = STR_EMPTY;
    if (auth_begin(&own->auth, request, effect) ||
        (!own->runs_on_preflight && plugin_is_options(request->head)))
        return;
    for (size_t i = 0; i < own->name_count; i++) {
        unsigned count;
        key = find(own, request, own->names[i], &count);
        if (count > 1) {
            auth_refuse(&own->auth, request, effect, "Duplicate API key found");
            return;
        }
        if (count == 1) {
            if (own->auth.hides_credentials)
                hide(request, effect, own->names[i]);
            break;
        }
    }
    if (key.len == 0) {
        auth_refuse(&own->auth, request, effect, "No API key found in request");
        return;
    }
    const struct credential *credential =
        consumers_find_credential(request->consumers, CREDENTIAL_KEY, key, plugin_now_s());
    if (credential)
        auth_accept(request, effect, credential, credential->id);
    else
        auth_refuse(&own->auth, request, effect, "Unauthorized");
}

static const char *const lacking[] = {"config.key_in_body", NULL};

static const char *lacks(const json_t *config)
{
    return json_is_true(json_object_get(config, "key_in_body")) ? lacking[0] : NULL;
}

const struct plugin key_auth_step = {.name = "key-auth",
                                     .compile = compile,
                                     .access = on_access,
                                     .lacks = lacks,
                                     .lacking = lacking,
                                     .identifies = true};
