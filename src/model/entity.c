#include "model/entity.h"

#include <stdlib.h>
#include <time.h>

#include <uv.h> /* error codes only */

#include "base/random.h"
#include "model/entities.h"
#include "model/entity_complete.h"
#include "model/entity_shorthand.h"
#include "model/entity_validate.h"

/* Parents before children, as far as they refer to each other. */
const struct entity *const entities[] = {
    &certificate_entity,
    &sni_entity,
    &ca_certificate_entity,
    &service_entity,
    &route_entity,
    &upstream_entity,
    &target_entity,
    &health_order_entity,
    &ticket_key_entity,
    &acme_account_entity,
    &acme_challenge_entity,
    &acme_lease_entity,
    &acme_failure_entity,
    &acme_history_entity,
    &consumer_entity,
    &keyauth_credential_entity,
    &basicauth_credential_entity,
    &jwt_secret_entity,
    &hmacauth_credential_entity,
    &acl_entity,
    &oauth2_credential_entity,
    &plugin_entity,
    &vault_entity,
    &key_set_entity,
    &key_entity,
    NULL,
};

#define MADE_TEXT_LEN 32 /* of what is made where a key or a secret is missing */

const struct entity *entity_find(struct str name)
{
    for (size_t i = 0; entities[i]; i++)
        if (str_equal(str_of(entities[i]->name), name))
            return entities[i];
    return NULL;
}

const struct field *entity_field(const struct entity *entity, struct str name)
{
    for (const struct field *field = entity->fields; field->name; field++)
        if (str_equal(str_of(field->name), name))
            return field;
    return NULL;
}

bool entity_is_uuid(struct str text)
{
    if (text.len != UUID_TEXT_BYTES - 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = str_lower_char(text.ptr[i]);
        bool is_dash_place = i == 8 || i == 13 || i == 18 || i == 23;
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (is_dash_place ? c != '-' : !is_hex)
            return false;
    }
    return true;
}

const char *entity_nested_path(const struct entity *entity)
{
    if (entity->nested_path)
        return entity->nested_path;
    return entity->path ? entity->path : entity->name;
}

bool entity_check_key(const struct entity *entity, struct str key, char *message, size_t size)
{
    const struct field *field = entity_field(entity, str_of(entity->endpoint_key));
    if (!field || !field->check)
        return true;
    json_t *value = json_stringn_nocheck(key.ptr ? key.ptr : "", key.len);
    bool is_fine = value && field->check(value, message, size);
    json_decref(value);
    return is_fine;
}

/* ---- rows ---- */

static json_t *time_now(const struct entity *entity)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!entity->fine_timestamps)
        return json_integer(now.tv_sec);
    long milliseconds = now.tv_nsec / 1000000;
    return json_real((double)now.tv_sec + (double)milliseconds / 1000.0);
}

static bool is_unset(const json_t *row, const char *field)
{
    const json_t *value = json_object_get(row, field);
    return !value || json_is_null(value);
}

/* Letters and digits, drawn evenly. */
json_t *entity_make_text(void)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const unsigned even = 256 - 256 % (sizeof(alphabet) - 1);
    char text[MADE_TEXT_LEN];
    unsigned char byte;
    for (size_t len = 0; len < sizeof(text);) {
        random_fill(&byte, 1);
        if (byte < even)
            text[len++] = alphabet[byte % (sizeof(alphabet) - 1)];
    }
    return json_stringn(text, sizeof(text));
}

static void fill_automatic(const struct entity *entity, json_t *row,
                           enum entity_operation operation, const char *id)
{
    char made[UUID_TEXT_BYTES];
    if (id) {
        json_object_set_new(row, "id", json_string(id));
    } else if (is_unset(row, "id")) {
        random_uuid(made);
        json_object_set_new(row, "id", json_string(made));
    }
    json_t *now = time_now(entity);
    if (operation != ENTITY_UPDATE && is_unset(row, "created_at"))
        json_object_set(row, "created_at", now);
    if (entity_field(entity, STR("updated_at")))
        json_object_set(row, "updated_at", now);
    json_decref(now);
    for (const struct field *field = entity->fields; field->name; field++)
        if (field->automatic && field->type == FIELD_STRING && is_unset(row, field->name))
            json_object_set_new(row, field->name, entity_make_text());
}

/* ---- variants ---- */

static const json_t *variant_key(const struct entity *entity, const json_t *row,
                                 const json_t *other)
{
    const json_t *key = json_object_get(row, entity->variants->key);
    return key ? key : json_object_get(other, entity->variants->key);
}

const struct entity *entity_variant(const struct entity *entity, const json_t *row,
                                    const json_t *other)
{
    if (!entity->variants)
        return entity;
    const json_t *key = variant_key(entity, row, other);
    if (!json_is_string(key))
        return NULL;
    return entity->variants->find(str_make(json_string_value(key), json_string_length(key)));
}

/* Without its variant nothing else of a row can be judged. */
static void refuse_variant(const struct entity *entity, const json_t *row, const json_t *other,
                           struct violation *violation)
{
    const json_t *key = variant_key(entity, row, other);
    if (!key || json_is_null(key))
        violation_add(violation, entity->variants->key, "required field missing");
    else if (!json_is_string(key))
        violation_add(violation, entity->variants->key, "expected a string");
    else if (json_string_length(key) == 0)
        violation_add(violation, entity->variants->key, "length must be at least 1");
    else
        violation_add(violation, entity->variants->key, "%s%s%s", entity->variants->unknown[0],
                      json_string_value(key), entity->variants->unknown[1]);
}

static void check_immutable(const struct entity *entity, const json_t *row, const json_t *current,
                            struct violation *violation)
{
    for (const struct field *field = entity->fields; field->name; field++)
        if (field->immutable &&
            !json_equal(json_object_get(row, field->name), json_object_get(current, field->name)))
            violation_add(violation, field->name, "immutable field cannot be updated");
}

static void check_row(const struct entity *entity, const json_t *row, const json_t *input,
                      enum entity_operation operation, const json_t *current,
                      struct violation *violation)
{
    if (entity->precheck && !entity->precheck(row, violation))
        return;
    entity_validate(entity, row, operation, violation);
    if (operation == ENTITY_UPDATE)
        check_immutable(entity, row, current, violation);
    if (entity->check)
        entity->check(row, input, operation, violation);
}

/* What only we may write. */
static void refuse_internal(const struct entity *entity, const json_t *given,
                            struct violation *violation)
{
    for (const struct field *field = entity->fields; field->name; field++)
        if (field->internal && json_object_get(given, field->name))
            violation_add(violation, field->name, "unknown field");
}

int entity_make_row(const struct entity *entity, const json_t *input,
                    enum entity_operation operation, const json_t *current, const char *id,
                    json_t **ret, struct violation *violation)
{
    int rc = UV_ENOMEM;
    json_t *row = NULL;
    json_t *given = json_deep_copy(input);
    if (!given)
        goto done;
    rc = UV_EINVAL;
    const json_t *base = operation == ENTITY_UPDATE ? current : NULL;
    const struct entity *variant = entity_variant(entity, given, base);
    if (!variant) {
        refuse_variant(entity, given, base, violation);
        goto done;
    }
    entity = variant;
    refuse_internal(entity, given, violation);
    shorthands_spread(entity->fields, given, violation);
    if (entity->prepare)
        entity->prepare(given, operation, violation);
    if (violation->code)
        goto done;

    rc = UV_ENOMEM;
    row = entity_complete(entity->fields, given, base);
    if (!row)
        goto done;
    if (base)
        id = json_string_value(json_object_get(base, "id"));
    fill_automatic(entity, row, operation, id);
    check_row(entity, row, given, operation, current, violation);
    rc = UV_EINVAL;
    if (!violation->code)
        rc = entity_normalise(entity->fields, row);
    if (!rc && entity->finish)
        entity->finish(row);
    if (!rc && entity->derive && !entity->derive(row, given, violation))
        rc = UV_EINVAL;
done:
    json_decref(given);
    if (rc) {
        json_decref(row);
        return rc;
    }
    *ret = row;
    return 0;
}

bool entity_check_row(const struct entity *entity, const json_t *row, struct violation *violation)
{
    const struct entity *variant = entity_variant(entity, row, NULL);
    if (variant)
        check_row(variant, row, row, ENTITY_REPLACE, NULL, violation);
    else
        refuse_variant(entity, row, NULL, violation);
    return violation->code == VIOLATION_NONE;
}

json_t *entity_complete_row(const struct entity *entity, const json_t *stored)
{
    const struct entity *variant = entity_variant(entity, stored, NULL);
    return entity_complete(variant ? variant->fields : entity->fields, stored, NULL);
}

/* ---- bodies ---- */

/* Hides our extra fields, and repeats shorthands, within records that are shown. */
static void dress(const struct field *fields, json_t *record)
{
    for (const struct field *field = fields; field->name; field++) {
        json_t *value = json_object_get(record, field->name);
        if (field->hidden_when_null && (!value || json_is_null(value)))
            json_object_del(record, field->name);
        if (field->type != FIELD_RECORD || !json_is_object(value))
            continue;
        dress(field->fields, value);
        if (field->shorthands)
            shorthands_repeat(field->shorthands, value);
    }
}

json_t *entity_to_body(const struct entity *entity, const json_t *row)
{
    const struct entity *variant = entity_variant(entity, row, NULL);
    if (variant)
        entity = variant;
    json_t *body = json_object();
    for (const struct field *field = entity->fields; field->name; field++) {
        const json_t *value = json_object_get(row, field->name);
        bool is_null = !value || json_is_null(value);
        if (field->internal || (is_null && field->hidden_when_null))
            continue;
        json_object_set_new_nocheck(body, field->name,
                                    is_null ? json_null() : json_deep_copy(value));
    }
    dress(entity->fields, body);
    if (entity->show)
        entity->show(row, body);
    return body;
}

/* ---- rows that end by themselves ---- */

bool entity_is_past(const json_t *expires_at)
{
    return json_is_integer(expires_at) && json_integer_value(expires_at) <= time(NULL);
}

bool entity_is_over(const struct entity *entity, const json_t *row)
{
    return entity->has_ttl && entity_is_past(json_object_get(row, "expires_at"));
}
