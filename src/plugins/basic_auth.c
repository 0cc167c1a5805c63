/* basic_auth.c - asks for a name and a password (RFC 7617). */
#include "plugins/registry.h"

#include <string.h>

#include <openssl/crypto.h>
#include <uv.h> /* error codes only */

#include "model/secrets.h"
#include "plugins/auth.h"
#include "plugins/base64.h"

#define MAX_CREDENTIALS_BYTES 8192

struct basic_auth {
    struct auth auth;
};

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct basic_auth *made = arena_alloc(arena, sizeof(*made));
    if (!made)
        return UV_ENOMEM;
    *ret = made;
    return auth_compile(config, "Basic", arena, &made->auth);
}

/* "Basic", white space and base64; false: it is something else. */
static bool read_credentials(struct str value, struct arena *arena, struct str *ret_name,
                             struct str *ret_password)
{
    struct str scheme = str_cut(&value, ' ');
    struct str text = str_trim(value);
    if (!str_equal_nocase(scheme, STR("basic")) || text.len == 0 ||
        text.len > MAX_CREDENTIALS_BYTES)
        return false;
    struct str plain;
    if (!base64_decode(text, arena, &plain))
        return false;
    const char *colon = memchr(plain.ptr, ':', plain.len);
    if (!colon)
        return false;
    *ret_name = str_make(plain.ptr, (size_t)(colon - plain.ptr));
    *ret_password = str_make(colon + 1, plain.len - ret_name->len - 1);
    return true;
}

/* Nobody's name costs as much as somebody's. A password with a NUL in it is nobody's. */
static const struct credential *check(const struct plugin_request *request, struct str name,
                                      struct str password)
{
    static const char nobody[] = "00000000-0000-0000-0000-000000000000";
    char hash[SECRETS_SHA1_BYTES];
    const struct credential *credential =
        consumers_find_credential(request->consumers, CREDENTIAL_BASIC, name, plugin_now_s());
    struct str copy = arena_copy(request->arena, password);
    if (!copy.ptr || strlen(copy.ptr) != password.len)
        return NULL;
    secrets_hash_password(copy.ptr, credential ? credential->consumer->id.ptr : nobody, hash);
    return credential && hash[0] && auth_is_same(str_of(hash), credential->secret) ? credential
                                                                                   : NULL;
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    static const struct str fields[] = {STR_INIT("Proxy-Authorization"), STR_INIT("Authorization")};
    const struct basic_auth *own = config;
    const struct credential *credential = NULL;
    if (auth_begin(&own->auth, request, effect))
        return;
    for (size_t i = 0; i < 2 && !credential; i++) {
        struct str name, password;
        struct str value = plugin_find_field(request->head, fields[i]);
        if (!read_credentials(value, request->arena, &name, &password))
            continue;
        credential = check(request, name, password);
        if (own->auth.hides_credentials)
            plugin_drop(request->head, &effect->request_lines, fields[i]);
    }
    if (credential)
        auth_accept(request, effect, credential, credential->name);
    else
        auth_refuse(&own->auth, request, effect, "Unauthorized");
}

const struct plugin basic_auth_step = {
    .name = "basic-auth", .compile = compile, .access = on_access, .identifies = true};
