#include "admin/schemas.h"

#include <stdio.h>

#include <uv.h> /* error codes only */

#include "admin/problem.h"
#include "model/entity_rules.h"
#include "model/entity_shorthand.h"

static const char *const type_names[] = {
    [FIELD_STRING] = "string",   [FIELD_INTEGER] = "integer", [FIELD_NUMBER] = "number",
    [FIELD_BOOLEAN] = "boolean", [FIELD_ARRAY] = "array",     [FIELD_SET] = "set",
    [FIELD_MAP] = "map",         [FIELD_RECORD] = "record",   [FIELD_FOREIGN] = "foreign",
};

static json_t *number(double value)
{
    json_int_t whole = (json_int_t)value; /* the tables' bounds are small */
    return (double)whole == value ? json_integer(whole) : json_real(value);
}

static void set_flag(json_t *out, const char *name, bool value)
{
    if (value)
        json_object_set_new(out, name, json_true());
}

static void set_length(json_t *out, const char *name, size_t value)
{
    if (value > 0)
        json_object_set_new(out, name, json_integer((json_int_t)value));
}

static void set_one_of(json_t *out, const struct field *field)
{
    if (!field->one_of && !field->one_of_integers)
        return;
    json_t *values = json_array();
    for (const char *const *text = field->one_of; text && *text; text++)
        json_array_append_new(values, json_string(*text));
    for (const int64_t *n = field->one_of_integers; n && *n; n++)
        json_array_append_new(values, json_integer(*n));
    json_object_set_new(out, "one_of", values);
}

static json_t *schema_of_fields(const struct field *fields);
static json_t *schema_of_field(const struct field *field);

/* ["redis", "host"] */
static json_t *split_path(const char *path)
{
    json_t *list = json_array();
    struct str rest = str_of(path);
    while (rest.len > 0) {
        struct str part = str_cut(&rest, '.');
        json_array_append_new(list, json_stringn(part.ptr, part.len));
    }
    return list;
}

static json_t *schema_of_shorthands(const struct shorthand *shorthands)
{
    json_t *out = json_array();
    for (; shorthands->field.name; shorthands++) {
        json_t *schema = schema_of_field(&shorthands->field);
        json_object_set_new(schema, "deprecation",
                            json_pack("{s:[{s:o}], s:s}", "replaced_with", "path",
                                      split_path(shorthands->path), "removal_in_version", "4.0"));
        if (!shorthands->is_silent)
            json_object_set_new(schema, "translate_backwards", split_path(shorthands->path));
        json_array_append_new(out, json_pack("{s:o}", shorthands->field.name, schema));
    }
    return out;
}

/* Recursion is as deep as the tables are. */
static json_t *schema_of_field(const struct field *field)
{
    json_t *out = json_pack("{s:s}", "type", type_names[field->type]);
    set_flag(out, "required", field->required);
    set_flag(out, "unique", field->unique);
    set_flag(out, "auto", field->automatic);
    set_flag(out, "uuid", field->uuid);
    set_flag(out, "immutable", field->immutable);
    set_length(out, "len_min", field->len_min);
    set_length(out, "len_max", field->len_max);
    set_flag(out, "referenceable", field->referenceable);
    set_flag(out, "encrypted", field->encrypted);
    set_flag(out, "timestamp", field->timestamp);
    set_one_of(out, field);
    if (field->null_only)
        json_object_set_new(out, "eq", json_null());
    if (field->has_more_than)
        json_object_set_new(out, "gt", number(field->more_than));
    if (field->has_between)
        json_object_set_new(out, "between",
                            json_pack("[o,o]", number(field->min), number(field->max)));
    if (field->default_json)
        json_object_set_new(out, "default", json_loads(field->default_json, JSON_DECODE_ANY, NULL));
    if (field->reference && field->type == FIELD_FOREIGN)
        json_object_set_new(out, "reference", json_string(field->reference));
    if (field->type == FIELD_FOREIGN && field->cascade)
        json_object_set_new(out, "on_delete", json_string("cascade"));
    if (field->elements)
        json_object_set_new(out, "elements", schema_of_field(field->elements));
    if (field->keys)
        json_object_set_new(out, "keys", schema_of_field(field->keys));
    if (field->values)
        json_object_set_new(out, "values", schema_of_field(field->values));
    if (field->fields)
        json_object_set_new(out, "fields", schema_of_fields(field->fields));
    if (field->shorthands)
        json_object_set_new(out, "shorthand_fields", schema_of_shorthands(field->shorthands));
    if (field->rules)
        json_object_set_new(out, "entity_checks", rules_to_schema(field->rules));
    if (field->at_least_one_of) {
        const struct entity_rule rules[] = {
            {.kind = RULE_AT_LEAST_ONE, .fields = field->at_least_one_of}, {.kind = RULE_END}};
        json_object_set_new(out, "entity_checks", rules_to_schema(rules));
    }
    if (field->description)
        json_object_set_new(out, "description", json_string(field->description));
    return out;
}

/* Kong's form: one-key objects in schema order. */
static json_t *schema_of_fields(const struct field *fields)
{
    json_t *out = json_array();
    for (const struct field *field = fields; field->name; field++)
        if (!field->internal)
            json_array_append_new(out, json_pack("{s:o}", field->name, schema_of_field(field)));
    return out;
}

static const struct entity *entity_of(struct admin_request *request)
{
    const struct entity *entity = entity_find(request->segments[1]);
    if (entity && entity->is_internal)
        entity = NULL;
    if (entity)
        return entity;
    json_t *message = json_sprintf("No entity named '%s'", request->params[0]);
    admin_request_answer(request, 404, json_pack("{s:o}", "message", message));
    return NULL;
}

void admin_schemas_read(struct admin_request *request)
{
    const struct entity *entity = entity_of(request);
    if (entity)
        admin_request_answer(request, 200,
                             json_pack("{s:o, s:o}", "entity_checks",
                                       rules_to_schema(entity->rules), "fields",
                                       schema_of_fields(entity->fields)));
}

/* ---- variants ---- */

/* The variant of the name in the path, or NULL when the request has been answered. */
static const struct entity *variant_of(struct admin_request *request, struct str kind,
                                       const char *word)
{
    json_t *name = json_pack("{s:s}", "name", request->params[0]);
    const struct entity *variant = entity_variant(entity_find(kind), name, NULL);
    json_decref(name);
    if (variant)
        return variant;
    json_t *message = json_sprintf("No %s named '%s'", word, request->params[0]);
    admin_request_answer(request, 404, json_pack("{s:o}", "message", message));
    return NULL;
}

/* What the plugin narrows of the fields that all have, and its configuration. */
void admin_schemas_plugin(struct admin_request *request)
{
    static const char *const shown[] = {"consumer", "service", "route", "protocols", "config"};
    const struct entity *plugin = variant_of(request, STR("plugins"), "plugin");
    if (!plugin)
        return;
    json_t *fields = json_array();
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        const struct field *field = entity_field(plugin, str_of(shown[i]));
        if (field->type != FIELD_FOREIGN || field->null_only)
            json_array_append_new(fields, json_pack("{s:o}", field->name, schema_of_field(field)));
    }
    admin_request_answer(
        request, 200,
        json_pack("{s:o, s:o}", "entity_checks", rules_to_schema(plugin->rules), "fields", fields));
}

void admin_schemas_vault(struct admin_request *request)
{
    const struct entity *vault = variant_of(request, STR("vaults"), "vault");
    if (!vault)
        return;
    const struct field *config = entity_field(vault, STR("config"));
    admin_request_answer(request, 200,
                         json_pack("{s:[{s:o}]}", "fields", config->name, schema_of_field(config)));
}

/* The older path, of the configuration alone. */
void admin_schemas_plugin_config(struct admin_request *request)
{
    const struct entity *plugin = variant_of(request, STR("plugins"), "plugin");
    if (!plugin)
        return;
    const struct field *config = entity_field(plugin, STR("config"));
    admin_request_answer(request, 200,
                         json_pack("{s:o}", "fields", schema_of_fields(config->fields)));
}

/* ---- validation ---- */

void admin_schemas_validate(struct admin_request *request)
{
    const struct entity *entity = entity_of(request);
    if (!entity)
        return;
    if (request->from_form)
        entity_coerce(entity, request->input, NULL);
    json_t *row = NULL;
    int rc = entity_make_row(entity, request->input, ENTITY_INSERT, NULL, NULL, &row,
                             &request->violation);
    json_decref(row);
    if (rc == 0)
        admin_request_answer_message(request, 200, "schema validation successful");
    else if (request->violation.code)
        admin_request_answer_violation(request, &request->violation);
    else
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
}
