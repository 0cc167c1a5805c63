/* key.c - keys to verify and sign by, and sets of them: the tables of their fields. */
#include "model/certificate.h"
#include "model/entities.h"
#include "model/entity_rules.h"
#include "model/field_checks.h"
#include "model/secrets.h"

#include <stdio.h>

/* ---- sets ---- */

static const struct field set_fields[] = {
    FIELD_ID,
    {.name = "name", .type = FIELD_STRING, .unique = true},
    FIELD_TAGS,
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

const struct entity key_set_entity = {
    .name = "key_sets", .path = "key-sets", .endpoint_key = "name", .fields = set_fields};

/* ---- keys ---- */

static bool check_private(const json_t *value, char *message, size_t size)
{
    char why[256];
    const char *pem = json_string_value(value);
    if (certificate_is_reference(pem) || certificate_is_key(pem, why, sizeof(why)))
        return true;
    snprintf(message, size, "could not load private key");
    return false;
}

static bool check_public(const json_t *value, char *message, size_t size)
{
    const char *pem = json_string_value(value);
    if (certificate_is_reference(pem) || secrets_is_public_key(pem))
        return true;
    snprintf(message, size, "could not load public key");
    return false;
}

static const struct field pem_fields[] = {
    {.name = "private_key",
     .type = FIELD_STRING,
     .referenceable = true,
     .encrypted = true,
     .check = check_private},
    {.name = "public_key", .type = FIELD_STRING, .referenceable = true, .check = check_public},
    {.name = NULL},
};

static const struct field key_fields[] = {
    FIELD_ID,
    {.name = "set", .type = FIELD_FOREIGN, .reference = "key_sets", .cascade = true},
    {.name = "name", .type = FIELD_STRING, .unique = true},
    {.name = "kid", .type = FIELD_STRING, .required = true},
    {.name = "jwk", .type = FIELD_STRING, .referenceable = true, .encrypted = true},
    {.name = "pem", .type = FIELD_RECORD, .fields = pem_fields},
    FIELD_TAGS,
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

/* The members that RFC 7518, section 6, demands of each type. */
static bool is_jwk(const json_t *jwk)
{
    static const struct {
        const char *type;
        const char *members[4];
    } types[] = {
        {"RSA", {"n", "e"}},
        {"EC", {"crv", "x", "y"}},
        {"OKP", {"crv", "x"}}, /* RFC 8037 */
        {"oct", {"k"}},
    };
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    for (size_t i = 0; type && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(type, types[i].type) != 0)
            continue;
        for (const char *const *member = types[i].members; *member; member++)
            if (json_string_length(json_object_get(jwk, *member)) == 0)
                return false;
        return true;
    }
    return false;
}

static const char *jwk_problem(const char *text, const json_t *kid)
{
    json_t *jwk = json_loads(text, 0, NULL);
    const char *problem = NULL;
    if (!json_is_object(jwk))
        problem = "could not json decode jwk string";
    else if (!json_equal(json_object_get(jwk, "kid"), kid))
        problem = "kid in jwk.kid must be equal to keys.kid";
    else if (!is_jwk(jwk))
        problem = "could not load JWK, likely not a valid key";
    json_decref(jwk);
    return problem;
}

static void check_key_text(const json_t *row, enum entity_operation operation, json_t **errors)
{
    (void)operation;
    const char *jwk = json_string_value(json_object_get(row, "jwk"));
    const json_t *pem = json_object_get(row, "pem");
    const char *problem = NULL;
    if (jwk && !certificate_is_reference(jwk))
        problem = jwk_problem(jwk, json_object_get(row, "kid"));
    else if (json_is_object(pem) && json_is_null(json_object_get(pem, "private_key")) &&
             json_is_null(json_object_get(pem, "public_key")))
        problem = "need to supply a PEM formatted public and/or private key.";
    if (problem)
        rules_add_entity(errors, violation_text("%s", problem));
}

static const char *const formats[] = {"jwk", "pem", NULL};
static const char *const sources[] = {"jwk", "pem", "kid", NULL};
static const struct entity_rule key_rules[] = {
    {.kind = RULE_AT_MOST_ONE, .fields = formats},
    {.kind = RULE_AT_LEAST_ONE, .fields = formats},
    {.kind = RULE_CUSTOM, .fields = sources, .custom = check_key_text},
    {.kind = RULE_END},
};

static const char *const kid_and_set[] = {"kid", "set", NULL};

const struct entity key_entity = {
    .name = "keys",
    .path = "keys",
    .endpoint_key = "name",
    .unique_together = kid_and_set,
    .together_with_nulls = true,
    .fields = key_fields,
    .rules = key_rules,
};
