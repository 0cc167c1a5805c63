#include "model/config.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/log.h"
#include "base/random.h"
#include "model/config_find.h"
#include "model/config_lend.h"
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
    if (!config->tables || lending_create(&config->lending))
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
    lending_destroy(config->lending);
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

const struct packed_row *config_get_packed(const struct config *config, const struct entity *entity,
                                           struct str id)
{
    const struct packed_row *row = table_get(config_table(config, entity), id);
    return row && !packed_row_is_over(row) ? row : NULL;
}

const json_t *config_get(const struct config *config, const struct entity *entity, struct str id)
{
    return config_lend(config, config_get_packed(config, entity, id));
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

static bool has_tag(const json_t *tags, const char *tag)
{
    size_t i;
    json_t *value;
    json_array_foreach(tags, i, value) if (json_is_string(value) &&
                                           strcmp(json_string_value(value), tag) == 0) return true;
    return false;
}

static bool has_tags(const json_t *tags, const char *const *all, const char *const *any)
{
    for (; all && *all; all++)
        if (!has_tag(tags, *all))
            return false;
    if (!any)
        return true;
    for (; *any; any++)
        if (has_tag(tags, *any))
            return true;
    return false;
}

static bool passes_tags(const struct packed_row *row, const char *const *all,
                        const char *const *any)
{
    if (!all && !any)
        return true;
    json_t *tags = packed_row_get(row, "tags");
    bool passes = has_tags(tags, all, any);
    json_decref(tags);
    return passes;
}

/* A list that is gone through. */
struct listing {
    const struct row_set *set; /* NULL: it is empty */
    size_t at;
    const char *const *tags_all, *const *tags_any;
};

static struct listing start_list(const struct config *config, const struct entity *entity,
                                 const char *after, const char *field, const char *parent_id)
{
    const struct table *table = config_table(config, entity);
    struct listing list = {.set = field && parent_id ? table_children(table, field, parent_id)
                                                     : &table->order};
    if (list.set && after)
        list.at = table_position_after(table, list.set, after);
    return list;
}

/* NULL at the end. */
static const struct packed_row *next_of_list(struct listing *list)
{
    while (list->set && list->at < list->set->count) {
        const struct packed_row *row = list->set->rows[list->at++];
        if (!packed_row_is_over(row) && passes_tags(row, list->tags_all, list->tags_any))
            return row;
    }
    return NULL;
}

size_t config_list_packed(const struct config *config, const struct entity *entity,
                          const char *after, const char *field, const char *parent_id,
                          const char *const *tags_all, const char *const *tags_any,
                          const struct packed_row **rows, size_t max, bool *ret_more)
{
    struct listing list = start_list(config, entity, after, field, parent_id);
    list.tags_all = tags_all;
    list.tags_any = tags_any;
    size_t count = 0;
    while (count < max && (rows[count] = next_of_list(&list)))
        count++;
    *ret_more = next_of_list(&list) != NULL;
    return count;
}

size_t config_list(const struct config *config, const struct entity *entity, const char *after,
                   const char *field, const char *parent_id, const json_t **rows, size_t max,
                   bool *ret_more)
{
    struct listing list = start_list(config, entity, after, field, parent_id);
    size_t count = 0;
    while (count < max && (rows[count] = config_lend(config, next_of_list(&list))))
        count++;
    *ret_more = next_of_list(&list) != NULL;
    return count;
}

size_t config_count(const struct config *config, const struct entity *entity)
{
    return config_table(config, entity)->order.count;
}

static int walk_set(const struct config *config, const struct row_set *set,
                    int (*each)(void *arg, const struct packed_row *row), void *arg)
{
    size_t lent = config_lent(config);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < set->count; i++) {
        if (packed_row_is_over(set->rows[i]))
            continue;
        rc = each(arg, set->rows[i]);
        config_take_back(config, lent);
    }
    return rc;
}

int config_walk_packed(const struct config *config, const struct entity *entity,
                       int (*each)(void *arg, const struct packed_row *row), void *arg)
{
    return walk_set(config, &config_table(config, entity)->order, each, arg);
}

struct walk {
    const struct config *config;
    int (*each)(void *arg, const json_t *row);
    void *arg;
};

static int lend_to(void *arg, const struct packed_row *row)
{
    struct walk *walk = arg;
    return walk->each(walk->arg, config_lend(walk->config, row));
}

int config_walk(const struct config *config, const struct entity *entity,
                int (*each)(void *arg, const json_t *row), void *arg)
{
    struct walk walk = {config, each, arg};
    return config_walk_packed(config, entity, lend_to, &walk);
}

int config_walk_children(const struct config *config, const struct entity *entity,
                         const char *field, const char *parent_id,
                         int (*each)(void *arg, const json_t *row), void *arg)
{
    const struct row_set *set = table_children(config_table(config, entity), field, parent_id);
    struct walk walk = {config, each, arg};
    return set ? walk_set(config, set, lend_to, &walk) : 0;
}

int config_changes_since(const struct config *config, const struct entity *entity, uint64_t since,
                         int (*each)(void *arg, const struct packed_row *row), void *arg)
{
    const struct table *table = config_table(config, entity);
    bool is_known = since == 0 ? table->forgotten == 0 : since == table->forgotten;
    for (size_t i = 0; !is_known && i < TABLE_LOG_ROWS; i++)
        is_known = table->log[i].stamp == since;
    if (!is_known)
        return UV_ERANGE; /* too long ago, or of another configuration */
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < TABLE_LOG_ROWS; i++)
        if (table->log[i].row && table->log[i].stamp > since)
            rc = each(arg, table->log[i].row);
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
    const struct packed_row *row = table_get(table, str_of(id));
    if (row && row->is_made)
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
