#include "model/config.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/log.h"
#include "base/random.h"
#include "model/config_find.h"
#include "model/config_table.h"

static size_t entity_count(void)
{
    size_t count = 0;
    while (entities[count])
        count++;
    return count;
}

int config_create(struct config **ret)
{
    struct config *config = calloc(1, sizeof(*config));
    if (!config)
        return UV_ENOMEM;
    config->tables = calloc(entity_count() + 1, sizeof(*config->tables));
    if (!config->tables)
        goto fail;
    for (; config->count < entity_count(); config->count++)
        if (table_init(&config->tables[config->count], entities[config->count]))
            goto fail;
    *ret = config;
    return 0;
fail:
    config_destroy(config);
    return UV_ENOMEM;
}

void config_destroy(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; config->tables && i < entity_count(); i++)
        table_deinit(&config->tables[i]); /* a zeroed one is empty */
    free(config->tables);
    free(config);
}

struct table *config_table(const struct config *config, const struct entity *entity)
{
    for (size_t i = 0; i < config->count; i++)
        if (config->tables[i].entity == entity)
            return &config->tables[i];
    return NULL;
}

int config_load(struct config *config, const char *kind, const char *id, const char *body)
{
    const struct entity *entity = entity_find(str_of(kind));
    if (!entity)
        return UV_EINVAL;
    json_t *stored = json_loads(body, 0, NULL);
    if (!json_is_object(stored)) {
        json_decref(stored);
        return UV_EINVAL;
    }
    int rc = UV_ENOMEM;
    json_t *row = entity_complete_row(entity, stored);
    if (row && json_object_set_new(row, "id", json_string(id)) == 0)
        rc = table_put(config_table(config, entity), row);
    json_decref(row);
    json_decref(stored);
    return rc;
}

const json_t *config_get(const struct config *config, const struct entity *entity, struct str id)
{
    const struct row *row = table_get(config_table(config, entity), id);
    return row && !entity_is_over(entity, row->json) ? row->json : NULL;
}

static bool refers_to(const struct entity *entity, const json_t *row, const char *parent_id)
{
    for (const struct field *field = entity->fields; field->name; field++) {
        const char *id = field->type == FIELD_FOREIGN ? row_foreign_id(row, field->name) : NULL;
        if (id && strcmp(id, parent_id) == 0)
            return true;
    }
    return false;
}

const json_t *config_find(const struct config *config, const struct entity *entity,
                          struct str id_or_key, const char *parent_id, struct violation *violation)
{
    const json_t *row = NULL;
    struct config_key key;
    if (config_key_read(entity, id_or_key, &key, violation))
        return NULL;
    row = config_find_key(config, NULL, entity, &key, parent_id);
    config_key_deinit(&key);
    return row && parent_id && !refers_to(entity, row, parent_id) ? NULL : row;
}

/* ---- lists ---- */

static bool has_tag(const json_t *row, const char *tag)
{
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(row, "tags"), i,
                       value) if (json_is_string(value) &&
                                  strcmp(json_string_value(value), tag) == 0) return true;
    return false;
}

static bool passes_tags(const json_t *row, const char *const *all, const char *const *any)
{
    for (; all && *all; all++)
        if (!has_tag(row, *all))
            return false;
    if (!any)
        return true;
    for (; *any; any++)
        if (has_tag(row, *any))
            return true;
    return false;
}

size_t config_list(const struct config *config, const struct entity *entity, const char *after,
                   const char *field, const char *parent_id, const char *const *tags_all,
                   const char *const *tags_any, const json_t **rows, size_t max, bool *ret_more)
{
    const struct table *table = config_table(config, entity);
    const struct row_set *set =
        field && parent_id ? table_children(table, field, parent_id) : &table->order;
    size_t count = 0;
    *ret_more = false;
    if (!set)
        return 0;
    for (size_t i = after ? table_position_after(table, set, after) : 0; i < set->count; i++) {
        const json_t *row = set->rows[i]->json;
        if (entity_is_over(entity, row) || !passes_tags(row, tags_all, tags_any))
            continue;
        if (count == max) {
            *ret_more = true;
            break;
        }
        rows[count++] = row;
    }
    return count;
}

size_t config_count(const struct config *config, const struct entity *entity)
{
    return config_table(config, entity)->order.count;
}

int config_walk(const struct config *config, const struct entity *entity,
                int (*each)(void *arg, const json_t *row), void *arg)
{
    const struct row_set *set = &config_table(config, entity)->order;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < set->count; i++)
        if (!entity_is_over(entity, set->rows[i]->json))
            rc = each(arg, set->rows[i]->json);
    return rc;
}

uint64_t config_stamp(const struct config *config, const struct entity *entity)
{
    return config_table(config, entity)->stamp;
}

uint64_t config_children_stamp(const struct config *config, const struct entity *entity,
                               const char *field, const char *parent_id)
{
    const struct row_set *set = table_children(config_table(config, entity), field, parent_id);
    return set ? set->stamp : 0;
}

size_t config_children_count(const struct config *config, const struct entity *entity,
                             const char *field, const char *parent_id)
{
    const struct row_set *set = table_children(config_table(config, entity), field, parent_id);
    return set ? set->count : 0;
}

/* ---- rows that are made ---- */

bool config_is_made(const json_t *row)
{
    return json_is_string(json_object_get(row, "origin"));
}

int config_put_made(struct config *config, const struct entity *entity, json_t *row)
{
    return table_put(config_table(config, entity), row);
}

void config_remove_made(struct config *config, const struct entity *entity, const char *id)
{
    struct table *table = config_table(config, entity);
    const struct row *row = table_get(table, str_of(id));
    if (row && config_is_made(row->json))
        table_remove(table, id);
}

/* ---- changes ---- */

void config_change_deinit(struct config_change *change)
{
    for (size_t i = 0; i < change->count; i++)
        json_decref(change->ops[i].row);
    free(change->ops);
    *change = (struct config_change){0};
}

void config_apply(struct config *config, const struct config_change *change)
{
    for (size_t i = 0; i < change->count; i++) {
        const struct config_op *op = &change->ops[i];
        struct table *table = config_table(config, op->entity);
        if (op->kind == CONFIG_REMOVE)
            table_remove(table, json_string_value(json_object_get(op->row, "id")));
        else if (table_put(table, op->row))
            abort(); /* no memory for what the store has already: a fresh start reads it again */
    }
}
