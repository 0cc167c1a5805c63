/* credentials.c - what a consumer is known by: one table a kind. */
#include "model/entities.h"
#include "model/entity_rules.h"
#include "model/field_checks.h"
#include "model/secrets.h"

#include <stdio.h>
#include <time.h>

#define TTL_MAX_S 100000000.0 /* Kong's: three years */

static bool is_given(const json_t *input, const char *field)
{
    const json_t *value = json_object_get(input, field);
    return value && !json_is_null(value);
}

/* ---- key-auth: a key, which may end by itself ---- */

static const struct field keyauth_fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_CONSUMER,
    {FIELD_MADE_TEXT("key"), .unique = true, .encrypted = true},
    FIELD_TAGS,
    {.name = "ttl", .type = FIELD_INTEGER, BETWEEN(0, TTL_MAX_S)},
    {.name = "expires_at", .type = FIELD_INTEGER, .internal = true},
    {.name = NULL},
};

/* Seconds from now are kept as the moment that they lead to. */
static bool derive_end(json_t *row, const json_t *input, struct violation *violation)
{
    (void)violation;
    const json_t *ttl = json_object_get(input, "ttl");
    if (!ttl)
        return true;
    json_int_t seconds = json_integer_value(ttl); /* 0: for ever */
    json_object_set_new(row, "expires_at",
                        seconds > 0 ? json_integer(time(NULL) + seconds) : json_null());
    json_object_set_new(row, "ttl", json_null());
    return true;
}

static void show_time_left(const json_t *row, json_t *body)
{
    const json_t *end = json_object_get(row, "expires_at");
    if (json_is_integer(end))
        json_object_set_new(body, "ttl", json_integer(json_integer_value(end) - time(NULL)));
}

const struct entity keyauth_credential_entity = {
    .name = "keyauth_credentials",
    .path = "key-auths",
    .nested_path = "key-auth",
    .endpoint_key = "key",
    .fields = keyauth_fields,
    .derive = derive_end,
    .show = show_time_left,
    .has_ttl = true,
};

/* ---- basic-auth ---- */

static const struct field basicauth_fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_CONSUMER,
    {.name = "username", .type = FIELD_STRING, .required = true, .unique = true},
    {.name = "password", .type = FIELD_STRING, .required = true, .encrypted = true},
    FIELD_TAGS,
    {.name = NULL},
};

static bool derive_password(json_t *row, const json_t *input, struct violation *violation)
{
    (void)violation;
    if (!is_given(input, "password"))
        return true;
    char hash[SECRETS_SHA1_BYTES];
    const json_t *consumer = json_object_get(row, "consumer");
    secrets_hash_password(json_string_value(json_object_get(row, "password")),
                          json_string_value(json_object_get(consumer, "id")), hash);
    return json_object_set_new(row, "password", json_string(hash)) == 0;
}

const struct entity basicauth_credential_entity = {
    .name = "basicauth_credentials",
    .path = "basic-auths",
    .nested_path = "basic-auth",
    .endpoint_key = "username",
    .fields = basicauth_fields,
    .derive = derive_password,
};

/* ---- jwt ---- */

static const char *const jwt_algorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                             "RS512", "ES256", "ES384", "ES512", "PS256",
                                             "PS384", "PS512", "EdDSA", NULL};
static const char *const with_public_key[] = {"RS256", "RS384", "RS512", "PS256",
                                              "PS384", "PS512", "EdDSA", NULL};

static const struct field jwt_fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_CONSUMER,
    {FIELD_MADE_TEXT("key"), .unique = true},
    {FIELD_MADE_TEXT("secret"), .encrypted = true},
    {.name = "rsa_public_key", .type = FIELD_STRING},
    {.name = "algorithm",
     .type = FIELD_STRING,
     .default_json = "\"HS256\"",
     .one_of = jwt_algorithms},
    FIELD_TAGS,
    {.name = NULL},
};

static bool check_public_key(const json_t *value, char *message, size_t size)
{
    if (secrets_is_public_key(json_string_value(value)))
        return true;
    snprintf(message, size, "invalid key");
    return false;
}

static const struct entity_rule jwt_rules[] = {
    {.kind = RULE_CONDITIONAL,
     .if_field = "algorithm",
     .if_match = {.one_of = with_public_key},
     .then_field = "rsa_public_key",
     .then_match = {.required = true, .check = check_public_key}},
    {.kind = RULE_END},
};

const struct entity jwt_secret_entity = {
    .name = "jwt_secrets",
    .path = "jwts",
    .nested_path = "jwt",
    .endpoint_key = "key",
    .fields = jwt_fields,
    .rules = jwt_rules,
};

/* ---- hmac-auth ---- */

static const struct field hmacauth_fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_CONSUMER,
    {.name = "username", .type = FIELD_STRING, .required = true, .unique = true},
    {FIELD_MADE_TEXT("secret"), .encrypted = true},
    FIELD_TAGS,
    {.name = NULL},
};

const struct entity hmacauth_credential_entity = {
    .name = "hmacauth_credentials",
    .path = "hmac-auths",
    .nested_path = "hmac-auth",
    .endpoint_key = "username",
    .fields = hmacauth_fields,
};

/* ---- acl: the groups that a consumer is in ---- */

static const struct field acl_fields[] = {
    FIELD_ID,       FIELD_SECONDS_AT("created_at"),
    FIELD_CONSUMER, {.name = "group", .type = FIELD_STRING, .required = true},
    FIELD_TAGS,     {.name = NULL},
};

static const char *const consumer_and_group[] = {"consumer", "group", NULL};

const struct entity acl_entity = {
    .name = "acls",
    .path = "acls",
    .nested_under = "consumer",
    .endpoint_key = "group",
    .unique_together = consumer_and_group,
    .fields = acl_fields,
};

/* ---- oauth2 ---- */

static const char *const client_types[] = {"confidential", "public", NULL};

static bool check_redirect(const json_t *value, char *message, size_t size)
{
    const char *uri = json_string_value(value);
    const char *host = strstr(uri, "://");
    if (!host || host == uri || !host[3] || strchr("/?#", host[3])) {
        snprintf(message, size, "cannot parse '%s'", uri);
        return false;
    }
    if (!strchr(uri, '#'))
        return true;
    snprintf(message, size, "fragment not allowed in '%s'", uri);
    return false;
}

static const struct field redirect_element = {.type = FIELD_STRING, .check = check_redirect};

static const struct field oauth2_fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_CONSUMER,
    {.name = "name", .type = FIELD_STRING, .required = true},
    {FIELD_MADE_TEXT("client_id"), .unique = true},
    {FIELD_MADE_TEXT("client_secret"), .encrypted = true},
    {.name = "hash_secret", .type = FIELD_BOOLEAN, .required = true, .default_json = "false"},
    {.name = "redirect_uris", .type = FIELD_ARRAY, .elements = &redirect_element},
    FIELD_TAGS,
    {.name = "client_type",
     .type = FIELD_STRING,
     .required = true,
     .default_json = "\"confidential\"",
     .one_of = client_types},
    {.name = NULL},
};

static bool derive_secret(json_t *row, const json_t *input, struct violation *violation)
{
    const char *secret = json_string_value(json_object_get(row, "client_secret"));
    if (!json_is_true(json_object_get(row, "hash_secret")) || !secret)
        return true;
    /* Of a row that was there before, only what this request says. */
    if (secrets_is_hashed(secret) && !is_given(input, "client_secret"))
        return true;
    char hash[SECRETS_PBKDF2_BYTES];
    if (secrets_hash_client_secret(secret, hash))
        return json_object_set_new(row, "client_secret", json_string(hash)) == 0;
    violation_add(violation, "client_secret", "cannot be hashed");
    return false;
}

const struct entity oauth2_credential_entity = {
    .name = "oauth2_credentials",
    .path = "oauth2",
    .nested_path = "oauth2",
    .endpoint_key = "client_id",
    .fields = oauth2_fields,
    .derive = derive_secret,
};
