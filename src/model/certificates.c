/* certificates.c - what TLS needs: certificates with their keys, the names that they are for, and
 * authorities to trust. Three tables. */
#include "model/certificate.h"
#include "model/entities.h"
#include "model/entity_rules.h"
#include "model/field_checks.h"

#include <stdio.h>

static bool check_certificate(const json_t *value, char *message, size_t size)
{
    char why[256];
    const char *pem = json_string_value(value);
    if (certificate_is_reference(pem) || certificate_is_one(pem, why, sizeof(why)))
        return true;
    snprintf(message, size, "invalid certificate: %s", why);
    return false;
}

static bool check_key(const json_t *value, char *message, size_t size)
{
    char why[256];
    const char *pem = json_string_value(value);
    if (certificate_is_reference(pem) || certificate_is_key(pem, why, sizeof(why)))
        return true;
    snprintf(message, size, "invalid key: %s", why);
    return false;
}

/* ---- certificates ---- */

static const struct field certificate_fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = "cert",
     .type = FIELD_STRING,
     .required = true,
     .referenceable = true,
     .check = check_certificate},
    {.name = "key",
     .type = FIELD_STRING,
     .required = true,
     .referenceable = true,
     .encrypted = true,
     .check = check_key},
    {.name = "cert_alt", .type = FIELD_STRING, .referenceable = true, .check = check_certificate},
    {.name = "key_alt",
     .type = FIELD_STRING,
     .referenceable = true,
     .encrypted = true,
     .check = check_key},
    FIELD_TAGS,
    {.name = NULL},
};

/* The text, where it can be looked at here and now. */
static const char *pem_of(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));
    return text && !certificate_is_reference(text) ? text : NULL;
}

static void check_pairs(const json_t *row, enum entity_operation operation, json_t **errors)
{
    (void)operation;
    const char *cert = pem_of(row, "cert");
    const char *key = pem_of(row, "key");
    const char *cert_alt = pem_of(row, "cert_alt");
    const char *key_alt = pem_of(row, "key_alt");
    if (cert && key && !certificate_matches_key(cert, key))
        rules_add_entity(errors, violation_text("certificate does not match key"));
    if (cert_alt && key_alt && !certificate_matches_key(cert_alt, key_alt))
        rules_add_entity(errors, violation_text("alternative certificate does not match key"));
    if (cert && cert_alt && certificate_has_same_type(cert, cert_alt))
        rules_add_entity(errors,
                         violation_text("certificate and alternative certificate need to have "
                                        "different type (e.g. RSA and ECDSA), the provided "
                                        "certificates were both of the same type"));
}

static const char *const alternative[] = {"cert_alt", "key_alt", NULL};
static const char *const pairs[] = {"cert", "key", "cert_alt", "key_alt", NULL};
static const struct entity_rule certificate_rules[] = {
    {.kind = RULE_ALL_OR_NONE, .fields = alternative},
    {.kind = RULE_CUSTOM, .fields = pairs, .custom = check_pairs},
    {.kind = RULE_END},
};

const struct entity certificate_entity = {
    .name = "certificates",
    .path = "certificates",
    .listed = "snis",
    .missing = "SNI not found",
    .fields = certificate_fields,
    .rules = certificate_rules,
};

/* ---- snis ---- */

static const struct field sni_fields[] = {
    FIELD_ID,
    {.name = "name",
     .type = FIELD_STRING,
     .required = true,
     .unique = true,
     .check = check_wildcard_sni},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    FIELD_TAGS,
    {.name = "certificate",
     .type = FIELD_FOREIGN,
     .required = true,
     .reference = "certificates",
     .cascade = true,
     .has_no_path = true},
    {.name = NULL},
};

const struct entity sni_entity = {
    .name = "snis",
    .path = "snis",
    .endpoint_key = "name",
    .fields = sni_fields,
};

/* ---- certificates of authorities ---- */

static const struct field ca_fields[] = {
    FIELD_ID,
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = "cert", .type = FIELD_STRING, .required = true, .check = check_certificate},
    {.name = "cert_digest", .type = FIELD_STRING, .unique = true},
    FIELD_TAGS,
    {.name = NULL},
};

static void check_authority(const json_t *row, enum entity_operation operation, json_t **errors)
{
    (void)operation;
    const char *cert = pem_of(row, "cert");
    const char *problem = cert ? certificate_ca_problem(cert) : NULL;
    if (problem)
        rules_add_entity(errors, violation_text("%s", problem));
}

static const char *const cert_only[] = {"cert", NULL};
static const struct entity_rule ca_rules[] = {
    {.kind = RULE_CUSTOM, .fields = cert_only, .custom = check_authority},
    {.kind = RULE_END},
};

static bool derive_digest(json_t *row, const json_t *input, struct violation *violation)
{
    char digest[CERTIFICATE_DIGEST_BYTES];
    (void)input;
    (void)violation;
    certificate_digest(json_string_value(json_object_get(row, "cert")), digest);
    return json_object_set_new(row, "cert_digest", json_string(digest)) == 0;
}

const struct entity ca_certificate_entity = {
    .name = "ca_certificates",
    .path = "ca_certificates",
    .fields = ca_fields,
    .rules = ca_rules,
    .derive = derive_digest,
};
