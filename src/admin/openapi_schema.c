/* openapi_schema.c - the fields of an entity as JSON Schema (2020-12, which OpenAPI 3.1 takes). */
#include "admin/openapi.h"

#include <stdio.h>
#include <string.h>

#include "model/entity_shorthand.h"

enum side { SENT, ANSWERED };

static json_t *schema_of(const struct field *field, enum side side);

static const char *type_name(const struct field *field)
{
    switch (field->type) {
    case FIELD_STRING:
        return "string";
    case FIELD_INTEGER:
        return "integer";
    case FIELD_NUMBER:
        return "number";
    case FIELD_BOOLEAN:
        return "boolean";
    case FIELD_ARRAY:
    case FIELD_SET:
        return "array";
    default:
        return "object";
    }
}

/* null is a value of everything that is not required; in answers, of what is unset. */
static void set_type(json_t *out, const struct field *field)
{
    bool may_be_null = !field->required || field->automatic;
    if (field->null_only)
        json_object_set_new(out, "type", json_string("null"));
    else if (may_be_null)
        json_object_set_new(out, "type", json_pack("[s, s]", type_name(field), "null"));
    else
        json_object_set_new(out, "type", json_string(type_name(field)));
}

static void set_enum(json_t *out, const struct field *field)
{
    if (!field->one_of && !field->one_of_integers)
        return;
    json_t *values = json_array();
    for (const char *const *text = field->one_of; text && *text; text++)
        json_array_append_new(values, json_string(*text));
    for (const int64_t *number = field->one_of_integers; number && *number; number++)
        json_array_append_new(values, json_integer(*number));
    if (!field->required)
        json_array_append_new(values, json_null());
    json_object_set_new(out, "enum", values);
}

static json_t *number(double value)
{
    json_int_t whole = (json_int_t)value;
    return (double)whole == value ? json_integer(whole) : json_real(value);
}

static void set_limits(json_t *out, const struct field *field)
{
    static const char *const names[][2] = {
        {"minLength", "maxLength"}, {"minItems", "maxItems"}, {"minProperties", "maxProperties"}};
    bool is_list = field->type == FIELD_ARRAY || field->type == FIELD_SET;
    const char *const *name = names[field->type == FIELD_STRING ? 0 : is_list ? 1 : 2];
    size_t least = field->len_min;
    if (field->type == FIELD_STRING && least == 0 && !field->may_be_empty && !field->one_of)
        least = 1;
    if (least > 0)
        json_object_set_new(out, name[0], json_integer((json_int_t)least));
    if (field->len_max > 0)
        json_object_set_new(out, name[1], json_integer((json_int_t)field->len_max));
    if (field->has_between) {
        json_object_set_new(out, "minimum", number(field->min));
        json_object_set_new(out, "maximum", number(field->max));
    }
    if (field->has_more_than)
        json_object_set_new(out, "exclusiveMinimum", number(field->more_than));
    if (field->uuid)
        json_object_set_new(out, "format", json_string("uuid"));
    if (field->type == FIELD_SET && field->elements->type == FIELD_STRING)
        json_object_set_new(out, "uniqueItems", json_true());
}

/* Fields that a body always has when it is answered. */
static bool is_always_told(const struct field *field)
{
    return !field->internal && !field->hidden_when_null;
}

static json_t *properties_of(const struct field *fields, enum side side, json_t *required)
{
    json_t *properties = json_object();
    for (const struct field *field = fields; field->name; field++) {
        if (field->internal)
            continue;
        json_object_set_new(properties, field->name, schema_of(field, side));
        if (side == ANSWERED ? is_always_told(field)
                             : field->required && !field->default_json && !field->expanded &&
                                   !field->automatic && !field->made)
            json_array_append_new(required, json_string(field->name));
    }
    return properties;
}

static void set_fields(json_t *out, const struct field *fields, enum side side)
{
    json_t *required = json_array();
    json_object_set_new(out, "properties", properties_of(fields, side, required));
    if (json_array_size(required) > 0)
        json_object_set(out, "required", required);
    json_decref(required);
}

/* Older names of fields, beside what has replaced them. */
static void add_shorthands(json_t *out, const struct shorthand *shorthands, enum side side)
{
    json_t *properties = json_object_get(out, "properties");
    for (; shorthands && shorthands->field.name; shorthands++) {
        json_t *schema = schema_of(&shorthands->field, side);
        json_object_set_new(schema, "deprecated", json_true());
        json_object_set_new(properties, shorthands->field.name, schema);
    }
}

static json_t *reference(enum side side)
{
    return json_pack("{s:[s, s], s:{s:{s:s}}, s:[s]}", "type", "object", "null", "properties", "id",
                     "type", side == ANSWERED ? "string" : "string", "required", "id");
}

static json_t *schema_of(const struct field *field, enum side side)
{
    if (field->type == FIELD_FOREIGN && !field->null_only) {
        json_t *out = reference(side);
        if (side == SENT) /* {"name": …} does as well */
            json_object_del(out, "required");
        return out;
    }
    json_t *out = json_object();
    set_type(out, field);
    set_enum(out, field);
    set_limits(out, field);
    if (field->elements)
        json_object_set_new(out, "items", schema_of(field->elements, side));
    if (field->type == FIELD_MAP && field->values)
        json_object_set_new(out, "additionalProperties", schema_of(field->values, side));
    if (field->fields && !field->null_only) {
        set_fields(out, field->fields, side);
        add_shorthands(out, field->shorthands, side);
        if (field->fields->name) /* what has none takes anything */
            json_object_set_new(out, "additionalProperties", json_false());
    }
    if (field->default_json)
        json_object_set_new(out, "default", json_loads(field->default_json, JSON_DECODE_ANY, NULL));
    if (field->description)
        json_object_set_new(out, "description", json_string(field->description));
    return out;
}

static json_t *entity_schema(const struct entity *entity, enum side side)
{
    json_t *out = json_pack("{s:s}", "type", "object");
    set_fields(out, entity->fields, side);
    json_t *properties = json_object_get(out, "properties");
    if (entity->listed)
        json_object_set_new(
            properties, entity->listed,
            json_pack("{s:[s, s], s:{s:s}}", "type", "array", "null", "items", "type", "string"));
    return out;
}

static json_t *body_schema(const struct entity *entity, enum side side)
{
    json_t *out = entity_schema(entity, side);
    if (side == ANSWERED)
        json_object_set_new(out, "additionalProperties", json_false());
    return out;
}

/* ---- components ---- */

#define NAME_BYTES 128

static const char *suffix_of(enum side side)
{
    return side == SENT ? ".input" : "";
}

/* One of the variants, told apart by the field that says which: "plugins.key-auth". */
static json_t *add_variants(json_t *schemas, const struct entity *entity, enum side side)
{
    const struct entity_variants *variants = entity->variants;
    json_t *one_of = json_array(), *mapping = json_object();
    const char *variant;
    char name[NAME_BYTES], ref[NAME_BYTES + 32];
    for (size_t i = 0; (variant = variants->name_at(i)); i++) {
        snprintf(name, sizeof(name), "%s.%s%s", entity->name, variant, suffix_of(side));
        snprintf(ref, sizeof(ref), "#/components/schemas/%s", name);
        json_t *schema = body_schema(variants->find(str_of(variant)), side);
        json_object_set_new(json_object_get(schema, "properties"), variants->key,
                            json_pack("{s:s}", "const", variant));
        json_object_set_new(schemas, name, schema);
        json_array_append_new(one_of, json_pack("{s:s}", "$ref", ref));
        json_object_set_new(mapping, variant, json_string(ref));
    }
    return json_pack("{s:o, s:{s:s, s:o}}", "oneOf", one_of, "discriminator", "propertyName",
                     variants->key, "mapping", mapping);
}

void admin_openapi_add_entity(json_t *schemas, const struct entity *entity)
{
    static const enum side sides[] = {ANSWERED, SENT};
    char name[NAME_BYTES];
    for (size_t i = 0; i < 2; i++) {
        json_t *schema = entity->variants ? add_variants(schemas, entity, sides[i])
                                          : body_schema(entity, sides[i]);
        snprintf(name, sizeof(name), "%s%s", entity->name, suffix_of(sides[i]));
        json_object_set_new(schemas, name, schema);
    }
}
