#include "plugins/auth.h"

#include <stdio.h>

#include <openssl/crypto.h>
#include <uv.h> /* error codes only */

#include "base/log.h"
#include "model/row.h"

#define MAX_TEXT_BYTES 1024
#define ABSENT "anonymous consumer %.*s is configured but doesn't exist"

static const struct str names[] = {
    STR_INIT("X-Consumer-ID"),        STR_INIT("X-Consumer-Custom-ID"),
    STR_INIT("X-Consumer-Username"),  STR_INIT("X-Credential-Identifier"),
    STR_INIT("X-Anonymous-Consumer"), STR_INIT("X-Consumer-Groups"), /* acl's */
};
enum {
    NAME_ID,
    NAME_CUSTOM_ID,
    NAME_USERNAME,
    NAME_IDENTIFIER,
    NAME_ANONYMOUS,
    NAME_GROUPS,
    NAME_COUNT
};

int auth_compile(const json_t *config, const char *scheme, struct arena *arena, struct auth *ret)
{
    char text[MAX_TEXT_BYTES];
    struct str realm = row_text(config, "realm");
    struct str anonymous = row_text(config, "anonymous");
    *ret = (struct auth){.hides_credentials =
                             json_is_true(json_object_get(config, "hide_credentials"))};
    if (realm.len > 0)
        snprintf(text, sizeof(text), "%s realm=\"%.*s\"", scheme, STR_ARG(realm));
    else
        snprintf(text, sizeof(text), "%s", scheme);
    ret->challenge = arena_copy(arena, str_of(text));
    if (anonymous.len > 0) {
        size_t size = anonymous.len + sizeof(ABSENT); /* whole, as a part may be no UTF-8 */
        char *words = arena_alloc(arena, size);
        ret->anonymous = arena_copy(arena, anonymous);
        if (!words || !ret->anonymous.ptr)
            return UV_ENOMEM;
        snprintf(words, size, ABSENT, STR_ARG(anonymous));
        if (plugin_saying_compile(arena, str_of(words), &ret->no_such_one))
            return UV_ENOMEM;
    }
    return ret->challenge.ptr ? 0 : UV_ENOMEM;
}

bool auth_begin(const struct auth *auth, const struct plugin_request *request,
                const struct plugin_effect *effect)
{
    for (int name = 0; name < NAME_COUNT; name++)
        plugin_drop_like(request->head, names[name]);
    return auth->anonymous.len > 0 && effect->credential;
}

static void tell(const struct plugin_request *request, struct plugin_effect *effect, int name,
                 struct str value)
{
    plugin_drop_lines(&effect->request_lines, names[name]);
    if (value.len > 0)
        plugin_add_line(request->arena, &effect->request_lines, names[name], value);
}

static void become(const struct plugin_request *request, struct plugin_effect *effect,
                   const struct consumer *consumer, const struct credential *credential,
                   struct str identifier)
{
    effect->consumer = consumer;
    effect->credential = credential;
    tell(request, effect, NAME_ID, consumer->id);
    tell(request, effect, NAME_CUSTOM_ID, consumer->custom_id);
    tell(request, effect, NAME_USERNAME, consumer->username);
    tell(request, effect, NAME_IDENTIFIER, identifier);
    tell(request, effect, NAME_ANONYMOUS, credential ? STR_EMPTY : STR("true"));
}

void auth_accept(const struct plugin_request *request, struct plugin_effect *effect,
                 const struct credential *credential, struct str identifier)
{
    become(request, effect, credential->consumer, credential, identifier);
}

bool auth_be_anonymous(const struct auth *auth, const struct plugin_request *request,
                       struct plugin_effect *effect)
{
    if (auth->anonymous.len == 0)
        return false;
    const struct consumer *consumer = consumers_find(request->consumers, auth->anonymous);
    if (consumer)
        become(request, effect, consumer, NULL, STR_EMPTY);
    else
        plugin_refuse_saying(effect, 500, &auth->no_such_one);
    return true;
}

void auth_refuse(const struct auth *auth, const struct plugin_request *request,
                 struct plugin_effect *effect, const char *message)
{
    if (auth_be_anonymous(auth, request, effect))
        return;
    plugin_refuse(effect, 401, message);
    plugin_add_line(request->arena, &effect->answer_lines, STR("WWW-Authenticate"),
                    auth->challenge);
}

bool auth_is_same(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}
