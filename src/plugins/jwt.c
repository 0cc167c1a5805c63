/* jwt.c - asks for a JSON Web Token (RFC 7519) that a consumer's key has signed. Its claims are
 * checked where that is configured, and read only once the signature is found good. */
#include "plugins/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/row.h"
#include "plugins/auth.h"
#include "plugins/base64.h"
#include "plugins/jws.h"

#define MAX_TEXT_BYTES 512

struct names {
    struct str *list;
    size_t count;
};

struct jwt {
    struct auth auth;
    struct str challenge; /* to a token that is refused */
    struct names arguments, cookies, headers;
    const char *key_claim;
    bool is_secret_base64;
    bool checks_exp;
    bool checks_nbf;
    double max_expiration_s; /* 0: none */
    bool runs_on_preflight;
    /* Answers, made once. */
    struct str no_claim, bad_claim, no_credentials;
};

/* ---- compiling ---- */

static int read_names(const json_t *config, const char *field, struct arena *arena,
                      struct names *ret)
{
    const json_t *list = json_object_get(config, field);
    ret->count = json_array_size(list);
    ret->list = arena_alloc(arena, (ret->count + 1) * sizeof(*ret->list));
    for (size_t i = 0; ret->list && i < ret->count; i++) {
        ret->list[i] = arena_copy(arena, str_of(json_string_value(json_array_get(list, i))));
        if (!ret->list[i].ptr)
            return UV_ENOMEM;
    }
    return ret->list ? 0 : UV_ENOMEM;
}

static struct str sentence(struct arena *arena, const char *form, const char *claim)
{
    char text[MAX_TEXT_BYTES];
    int len = 0;
    const char *at = strstr(form, "%s");
    if (at)
        len = snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - form), form, claim, at + 2);
    if (len < 0 || (size_t)len >= sizeof(text))
        len = 0;
    return plugin_message_body(arena, str_make(text, (size_t)len));
}

static struct str make_challenge(const json_t *config, struct arena *arena)
{
    char text[MAX_TEXT_BYTES];
    struct str realm = row_text(config, "realm");
    if (realm.len > 0)
        snprintf(text, sizeof(text), "Bearer realm=\"%.*s\", error=\"invalid_token\"",
                 STR_ARG(realm));
    else
        snprintf(text, sizeof(text), "Bearer error=\"invalid_token\"");
    return arena_copy(arena, str_of(text));
}

static void read_claims(const json_t *config, struct jwt *made)
{
    size_t i;
    json_t *claim;
    json_array_foreach(json_object_get(config, "claims_to_verify"), i, claim)
    {
        made->checks_exp = made->checks_exp || strcmp(json_string_value(claim), "exp") == 0;
        made->checks_nbf = made->checks_nbf || strcmp(json_string_value(claim), "nbf") == 0;
    }
}

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct jwt *made = arena_alloc(arena, sizeof(*made));
    struct str claim = row_text(config, "key_claim_name");
    if (!made)
        return UV_ENOMEM;
    *made = (struct jwt){
        .challenge = make_challenge(config, arena),
        .key_claim = arena_copy(arena, claim.len > 0 ? claim : STR("iss")).ptr,
        .is_secret_base64 = json_is_true(json_object_get(config, "secret_is_base64")),
        .max_expiration_s = json_number_value(json_object_get(config, "maximum_expiration")),
        .runs_on_preflight = json_is_true(json_object_get(config, "run_on_preflight")),
    };
    if (!made->key_claim || !made->challenge.ptr ||
        read_names(config, "uri_param_names", arena, &made->arguments) ||
        read_names(config, "cookie_names", arena, &made->cookies) ||
        read_names(config, "header_names", arena, &made->headers))
        return UV_ENOMEM;
    read_claims(config, made);
    made->no_claim = sentence(arena, "No mandatory '%s' in claims", made->key_claim);
    made->bad_claim = sentence(arena, "Invalid '%s' in claims", made->key_claim);
    made->no_credentials = sentence(arena, "No credentials found for given '%s'", made->key_claim);
    *ret = made;
    return made->no_claim.ptr && made->bad_claim.ptr && made->no_credentials.ptr
               ? auth_compile(config, "Bearer", arena, &made->auth)
               : UV_ENOMEM;
}

/* ---- the token ---- */

struct found {
    struct str token;
    unsigned count; /* of different ones */
};

static void note(struct found *found, struct str token)
{
    if (found->count > 0 && str_equal(found->token, token))
        return;
    found->token = token;
    found->count++;
}

static void look_in_cookies(const struct plugin_request *request, struct str name,
                            struct found *found)
{
    const struct http_head *head = request->head;
    for (unsigned i = 0; i < head->field_count; i++) {
        if (!str_equal_nocase(http_field_name(head, &head->fields[i]), STR("cookie")))
            continue;
        struct str rest = http_field_value(head, &head->fields[i]);
        while (rest.ptr) {
            struct str value = str_trim(str_cut(&rest, ';'));
            struct str key = str_cut(&value, '=');
            if (value.len > 0 && str_equal(key, name)) {
                note(found, value);
                return;
            }
        }
    }
}

static void look_in_header(const struct plugin_request *request, struct str name,
                           struct found *found)
{
    struct str value = plugin_find_field(request->head, name);
    struct str scheme = str_cut(&value, ' ');
    value = str_trim(value);
    if (str_equal_nocase(scheme, STR("bearer")) && value.len > 0)
        note(found, value);
}

static struct found find_token(const struct jwt *own, const struct plugin_request *request)
{
    struct found found = {.count = 0};
    unsigned count;
    for (size_t i = 0; i < own->arguments.count; i++) {
        struct str value = plugin_find_argument(request, own->arguments.list[i], &count);
        if (count > 0)
            note(&found, value);
        if (count > 1)
            found.count++;
    }
    for (size_t i = 0; i < own->cookies.count; i++)
        look_in_cookies(request, own->cookies.list[i], &found);
    for (size_t i = 0; i < own->headers.count; i++)
        look_in_header(request, own->headers.list[i], &found);
    return found;
}

struct token {
    json_t *header; /* owned */
    json_t *claims; /* owned */
    struct str signed_text;
    struct str signature;
};

static void token_deinit(struct token *token)
{
    json_decref(token->header);
    json_decref(token->claims);
}

static json_t *read_json(struct str text, struct arena *arena)
{
    struct str plain;
    if (!base64_url_decode(text, arena, &plain))
        return NULL;
    return json_loadb(plain.ptr, plain.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
}

/* NULL, or what is wrong with it. */
static const char *read_token(struct str text, struct arena *arena, struct token *ret)
{
    struct str rest = text;
    struct str header = str_cut(&rest, '.');
    struct str claims = str_cut(&rest, '.');
    ret->signed_text = str_make(text.ptr, header.len + 1 + claims.len);
    ret->header = read_json(header, arena);
    ret->claims = ret->header ? read_json(claims, arena) : NULL;
    if (!ret->claims)
        return "Bad token; invalid JSON";
    if (!json_is_object(ret->header) || !jws_is_known(row_text(ret->header, "alg")))
        return "Bad token; invalid alg";
    if (!json_is_object(ret->claims))
        return "Bad token; invalid claims";
    if (rest.len == 0 || !base64_url_decode(rest, arena, &ret->signature))
        return "Bad token; invalid signature";
    return NULL;
}

/* ---- the verdict ---- */

/* A refusal is a body, which may be empty where memory is short: what was found is never told by
 * it. */
static bool refused(struct arena *arena, const char *message, struct str *ret_body)
{
    *ret_body = plugin_message_body(arena, str_of(message));
    return false;
}

static bool has_good_signature(const struct credential *credential, const struct token *token,
                               struct str secret)
{
    struct str algorithm = credential->algorithm;
    if (jws_is_hmac(algorithm))
        return jws_verify_hmac(algorithm, secret, token->signed_text, token->signature);
    return jws_verify(algorithm, credential_public_key(credential), token->signed_text,
                      token->signature);
}

static bool check_signature(const struct jwt *own, const struct credential *credential,
                            const struct token *token, struct arena *arena, struct str *ret_body)
{
    struct str secret = credential->secret;
    bool is_hmac = jws_is_hmac(credential->algorithm);
    if (!str_equal(row_text(token->header, "alg"), credential->algorithm))
        return refused(arena, "Invalid algorithm", ret_body);
    if (is_hmac && own->is_secret_base64 && !base64_url_decode(secret, arena, &secret) &&
        !base64_decode(secret, arena, &secret))
        return refused(arena, "Invalid key/secret", ret_body);
    if (is_hmac ? secret.len == 0 : !credential_public_key(credential))
        return refused(arena, "Invalid key/secret", ret_body);
    return has_good_signature(credential, token, secret) ||
           refused(arena, "Invalid signature", ret_body);
}

static bool check_claim(json_t *errors, const json_t *claims, const char *name, bool is_end,
                        double now_s)
{
    const json_t *value = json_object_get(claims, name);
    const char *problem = NULL;
    if (!json_is_number(value))
        problem = "must be a number";
    else if (is_end && json_number_value(value) <= now_s)
        problem = "token expired";
    else if (!is_end && json_number_value(value) > now_s)
        problem = "token not valid yet";
    if (problem)
        json_object_set_new(errors, name, json_string(problem));
    return !problem;
}

static bool check_claims(const struct jwt *own, const json_t *claims, struct arena *arena,
                         struct str *ret_body)
{
    json_t *errors = json_object();
    double now_s = (double)plugin_now_s();
    bool is_good = !own->checks_exp || check_claim(errors, claims, "exp", true, now_s);
    is_good = (!own->checks_nbf || check_claim(errors, claims, "nbf", false, now_s)) && is_good;
    const json_t *end = json_object_get(claims, "exp");
    if (is_good && own->max_expiration_s > 0 &&
        !(json_is_number(end) && json_number_value(end) - now_s <= own->max_expiration_s)) {
        json_object_set_new(errors, "exp", json_string("exceeds maximum allowed expiration"));
        is_good = false;
    }
    char *text = is_good ? NULL : json_dumps(errors, JSON_COMPACT);
    if (text)
        *ret_body = arena_copy(arena, str_of(text));
    free(text);
    json_decref(errors);
    return is_good;
}

/* Who has signed the token; NULL: nobody whom a claim or the header names, or it is not valid. */
static const struct credential *judge(const struct jwt *own, const struct plugin_request *request,
                                      const struct token *token, struct str *ret_body)
{
    const json_t *key = json_object_get(token->claims, own->key_claim);
    if (!key || json_is_null(key) || json_is_false(key))
        key = json_object_get(token->header, own->key_claim);
    if (!key || json_is_null(key) || json_is_false(key)) {
        *ret_body = own->no_claim;
        return NULL;
    }
    *ret_body = own->bad_claim;
    if (json_string_length(key) == 0)
        return NULL;
    const struct credential *credential = consumers_find_credential(
        request->consumers, CREDENTIAL_JWT,
        str_make(json_string_value(key), json_string_length(key)), plugin_now_s());
    *ret_body = own->no_credentials;
    return credential && check_signature(own, credential, token, request->arena, ret_body) &&
                   check_claims(own, token->claims, request->arena, ret_body)
               ? credential
               : NULL;
}

static void refuse(const struct jwt *own, const struct plugin_request *request,
                   struct plugin_effect *effect, struct str body, struct str challenge)
{
    if (auth_be_anonymous(&own->auth, request, effect))
        return;
    effect->status = 401;
    effect->body = body;
    effect->content_type = PLUGIN_JSON_TYPE;
    plugin_add_line(request->arena, &effect->answer_lines, STR("WWW-Authenticate"), challenge);
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct jwt *own = config;
    if (auth_begin(&own->auth, request, effect) ||
        (!own->runs_on_preflight && plugin_is_options(request->head)))
        return;
    struct str body = STR_EMPTY;
    struct found found = find_token(own, request);
    if (found.count != 1) {
        bool is_none = found.count == 0;
        refused(request->arena, is_none ? "Unauthorized" : "Multiple tokens provided", &body);
        refuse(own, request, effect, body, is_none ? own->auth.challenge : own->challenge);
        return;
    }
    struct token token = {.header = NULL};
    const char *bad = read_token(found.token, request->arena, &token);
    const struct credential *credential = NULL;
    if (bad)
        refused(request->arena, bad, &body);
    else
        credential = judge(own, request, &token, &body);
    if (credential)
        auth_accept(request, effect, credential, credential->name);
    else
        refuse(own, request, effect, body, own->challenge);
    token_deinit(&token);
}

const struct plugin jwt_step = {
    .name = "jwt", .compile = compile, .access = on_access, .identifies = true};
