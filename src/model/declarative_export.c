/* declarative_export.c - the configuration as a file: entities under what they belong to, in the
 * order of fields that schemas have, nothing left out that isn't what a reader would fill in. */
#include "model/declarative_parts.h"

#include <string.h>

#include "model/config_lend.h"
#include "model/config_table.h"
#include "model/mask.h"

/* What a row nests under, by preference: the one that it is most about. */
static const char *const homes[] = {"consumer",    "route", "service", "upstream",
                                    "certificate", "set",   NULL};

struct export
{
    const struct config *config;
    bool masks_secrets;
    bool needs_stored; /* a secret is there that cannot be told from its hash */
};

/* The field under whose parent the row stands in the file; NULL: it stands by itself. */
static const struct field *home_of(const struct entity *entity, const json_t *row)
{
    for (const char *const *name = homes; *name; name++) {
        const struct field *field = entity_field(entity, str_of(*name));
        const struct entity *parent =
            field && field->type == FIELD_FOREIGN ? entity_find(str_of(field->reference)) : NULL;
        if (parent && declarative_nesting_field(parent, entity) == field &&
            row_foreign_id(row, *name))
            return field;
    }
    return NULL;
}

/* Null is left out where that is what a reader fills in. */
static bool is_told(const struct field *field, const json_t *value)
{
    if (field->internal || !value)
        return false;
    return !json_is_null(value) ||
           (field->default_json && strcmp(field->default_json, "null") != 0) || field->made;
}

static json_t *told(const struct field *fields, const json_t *record);

static json_t *told_value(const struct field *field, const json_t *value)
{
    if (field->type == FIELD_RECORD && json_is_object(value))
        return told(field->fields, value);
    if ((field->type == FIELD_ARRAY || field->type == FIELD_SET) && json_is_array(value)) {
        json_t *list = json_array();
        size_t i;
        json_t *element;
        json_array_foreach((json_t *)(uintptr_t)value, i, element)
            json_array_append_new(list, told_value(field->elements, element));
        return list;
    }
    return json_deep_copy(value);
}

static json_t *told(const struct field *fields, const json_t *record)
{
    json_t *out = json_object();
    for (const struct field *field = fields; field->name; field++) {
        const json_t *value = json_object_get(record, field->name);
        if (is_told(field, value))
            json_object_set_new_nocheck(out, field->name, told_value(field, value));
    }
    return out;
}

static bool holds_hash(const struct entity *entity, const json_t *row)
{
    return strcmp(entity->name, "basicauth_credentials") == 0 ||
           json_is_true(json_object_get(row, "hash_secret"));
}

static json_t *export_row(struct export *export, const struct entity *entity, const json_t *row);

/* The rows of `child` that stand under this one; NULL: none. */
static json_t *export_children(struct export *export, const struct entity *entity,
                               const json_t *row, const struct entity *child)
{
    const struct field *field = declarative_nesting_field(entity, child);
    const char *id = json_string_value(json_object_get(row, "id"));
    const struct row_set *set =
        field ? table_children(config_table(export->config, child), field->name, id) : NULL;
    json_t *list = NULL;
    for (size_t i = 0; set && i < set->count; i++) {
        size_t lent = config_lent(export->config);
        const json_t *there = config_lend(export->config, set->rows[i]);
        bool is_told = home_of(child, there) == field && !entity_is_over(child, there);
        json_t *told_row = is_told ? export_row(export, child, there) : NULL;
        config_take_back(export->config, lent);
        if (!is_told)
            continue;
        json_object_del(told_row, field->name);
        if (!list)
            list = json_array();
        json_array_append_new(list, told_row);
    }
    return list;
}

static json_t *export_row(struct export *export, const struct entity *entity, const json_t *row)
{
    const struct entity *variant = entity_variant(entity, row, NULL);
    json_t *masked = export->masks_secrets ? mask_row(entity, row) : NULL;
    json_t *out = told((variant ? variant : entity)->fields, masked ? masked : row);
    json_decref(masked);
    if (entity->has_ttl && entity->show)
        entity->show(row, out);
    export->needs_stored |= holds_hash(entity, row);
    for (size_t i = 0; entities[i]; i++) {
        json_t *children = export_children(export, entity, row, entities[i]);
        if (children)
            json_object_set_new(out, entities[i]->name, children);
    }
    return out;
}

static json_t *export_kind(struct export *export, const struct entity *entity)
{
    const struct table *table = config_table(export->config, entity);
    json_t *list = NULL;
    for (size_t i = 0; i < table->order.count; i++) {
        size_t lent = config_lent(export->config);
        const json_t *row = config_lend(export->config, table->order.rows[i]);
        bool is_told = !home_of(entity, row) && !entity_is_over(entity, row);
        if (is_told && !list)
            list = json_array();
        if (is_told)
            json_array_append_new(list, export_row(export, entity, row));
        config_take_back(export->config, lent);
    }
    return list;
}

static json_t *export_all(const struct config *config, bool masks_secrets)
{
    struct export export = {.config = config, .masks_secrets = masks_secrets};
    json_t *kinds = json_object(), *ours = json_object();
    for (size_t i = 0; entities[i]; i++) {
        if (entities[i]->is_unexported)
            continue;
        json_t *list = export_kind(&export, entities[i]);
        if (list)
            json_object_set_new(entities[i]->is_internal ? ours : kinds, entities[i]->name, list);
    }
    json_t *file = json_pack("{s:s}", "_format_version", "3.0");
    if (export.needs_stored) /* decK takes no such file, so it is said only where it must be */
        json_object_set_new(file, "_transform", json_false());
    if (json_object_size(ours) > 0)
        json_object_set(file, "_weir", ours);
    json_object_update(file, kinds);
    json_decref(kinds);
    json_decref(ours);
    return file;
}

json_t *declarative_export(const struct config *config)
{
    return export_all(config, false);
}

json_t *declarative_export_masked(const struct config *config)
{
    return export_all(config, true);
}
