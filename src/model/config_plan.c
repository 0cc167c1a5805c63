/* config_plan.c - what a write would change, and whether it may: config.h's plan verbs. Nothing
 * here touches the configuration; a change under way is looked through as if it were applied. */
#include "model/config.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "model/config_find.h"
#include "model/config_table.h"
#include "model/plan.h"

/* ---- writes ---- */

static int read_key(const struct plan *plan, struct str text, struct config_key *ret)
{
    return config_key_read(plan->entity, text, ret, plan->violation);
}

static const json_t *find_key(const struct plan *plan, const struct config_key *key)
{
    return config_find_key(plan->config, plan->change, plan->entity, key, plan->parent_id);
}

static bool belongs(const struct plan *plan, const json_t *row)
{
    if (!plan->parent_field)
        return true;
    const char *id = row_foreign_id(row, plan->parent_field);
    return id && strcmp(id, plan->parent_id) == 0;
}

/* A copy that may be changed, under its parent; what is no object counts as an empty one. */
static json_t *take_input(const struct plan *plan, const json_t *input)
{
    json_t *given = json_is_object(input) ? json_deep_copy(input) : json_object();
    if (given && plan->parent_field)
        json_object_set_new(given, plan->parent_field, json_pack("{ss}", "id", plan->parent_id));
    return given;
}

/* Makes the row, checks it against the others and puts it into the change. Takes `given` over. */
static int plan_row(const struct plan *plan, json_t *given, enum entity_operation operation,
                    const json_t *current, const char *id, const json_t **ret_row)
{
    json_t *row = NULL;
    if (current && config_is_made(current)) {
        json_decref(given);
        return plan_refuse_made(plan, current, "changed");
    }
    json_t *listed = plan_take_listed(plan, given, operation);
    int rc = plan_resolve_foreign(plan, given);
    if (rc == 0)
        rc = entity_make_row(plan->entity, given, operation, current, id, &row, plan->violation);
    json_decref(given);
    if (rc) {
        json_decref(listed);
        return rc;
    }
    if (!current && plan_find_id(plan, plan->entity, plan_row_id(row))) {
        violation_set(plan->violation, VIOLATION_PRIMARY_KEY,
                      json_pack("{ss}", "id", plan_row_id(row)),
                      "primary key violation on key '{id=\"%s\"}'", plan_row_id(row));
        rc = UV_EINVAL;
    }
    if (rc == 0)
        rc = plan_check_unique(plan, row);
    if (rc == 0)
        rc = plan_check_foreign(plan, row);
    if (rc == 0 && plan->entity->check_among) {
        plan->entity->check_among(plan->config, plan->change, row, plan->violation);
        rc = plan->violation->code ? UV_EINVAL : 0;
    }
    if (rc == 0 && listed)
        rc = plan_check_listed(plan, listed, plan_row_id(row));
    if (rc == 0)
        rc = plan_append(plan->change, CONFIG_PUT, plan->entity, json_incref(row));
    if (rc == 0 && ret_row)
        *ret_row = row;
    if (rc == 0 && listed)
        rc = plan_put_listed(plan, listed, plan_row_id(row));
    json_decref(listed);
    json_decref(row);
    return rc;
}

int config_plan_insert(const struct config *config, const struct entity *entity,
                       const json_t *input, const char *parent_field, const char *parent_id,
                       struct config_change *change, const json_t **ret_row,
                       struct violation *violation)
{
    struct plan plan = {config, entity, parent_field, parent_id, change, violation};
    json_t *given = take_input(&plan, input);
    return given ? plan_row(&plan, given, ENTITY_INSERT, NULL, NULL, ret_row) : UV_ENOMEM;
}

/* Under a parent the plain answer, but for what only lives there; UV_EINVAL or UV_ENOENT. */
static int report_missing(const struct plan *plan, const struct config_key *key)
{
    if ((plan->parent_field && !plan->entity->nested_under) ||
        (!key->is_id && !plan->entity->endpoint_key) || plan->entity->variants)
        return UV_ENOENT;
    const char *name = key->is_id ? "id" : plan->entity->endpoint_key;
    json_t *fields = json_object();
    json_object_set_new(fields, name, violation_text("%s", key->is_id ? key->id : key->value));
    char *shown = violation_dump(fields);
    violation_set(plan->violation, VIOLATION_NOT_FOUND, fields,
                  key->is_id ? "could not find the entity with primary key '%s'"
                             : "could not find the entity with '%s'",
                  shown ? shown : "");
    free(shown);
    return UV_EINVAL;
}

static void add_to_list(json_t *given, const char *field, const char *value)
{
    json_t *list = json_object_get(given, field);
    if (!list || json_is_null(list)) {
        json_object_set_new(given, field, json_array());
        list = json_object_get(given, field);
    }
    size_t i;
    json_t *there;
    json_array_foreach(list, i, there) if (json_is_string(there) &&
                                           strcmp(json_string_value(there), value) == 0) return;
    json_array_append_new(list, json_string(value)); /* what is no array is refused later */
}

/* The key in the path is the row's, whatever the body says. Where PUT does not create, a body that
 * names no key leaves the row its own. */
static void give_key(const struct plan *plan, const struct config_key *key, const json_t *current,
                     json_t *given)
{
    const char *name = plan->entity->endpoint_key;
    if (!name && !key->is_id) {
        add_to_list(given, plan->entity->listed, key->value);
    } else if (plan->entity->replace_only) {
        if (!json_object_get(given, name))
            json_object_set(given, name, json_object_get(current, name));
    } else if (!key->is_id) {
        json_object_set_new(given, name, json_string(key->value));
    }
}

int config_plan_replace(const struct config *config, const struct entity *entity, struct str key,
                        const json_t *input, const char *parent_field, const char *parent_id,
                        struct config_change *change, const json_t **ret_row,
                        struct violation *violation)
{
    struct plan plan = {config, entity, parent_field, parent_id, change, violation};
    struct config_key read;
    int rc = read_key(&plan, key, &read);
    if (rc)
        return rc;
    const json_t *current = find_key(&plan, &read);
    if (entity->replace_only && (!current || !belongs(&plan, current))) {
        rc = report_missing(&plan, &read);
        goto done;
    }
    rc = UV_ENOMEM;
    json_t *given = take_input(&plan, input);
    if (!given)
        goto done;
    give_key(&plan, &read, current, given);
    const char *id = current ? plan_row_id(current) : read.is_id ? read.id : NULL;
    rc = plan_row(&plan, given, ENTITY_REPLACE, current, id, ret_row);
done:
    config_key_deinit(&read);
    return rc;
}

int config_plan_update(const struct config *config, const struct entity *entity, struct str key,
                       const json_t *input, const char *parent_field, const char *parent_id,
                       struct config_change *change, const json_t **ret_row,
                       struct violation *violation)
{
    struct plan plan = {config, entity, parent_field, parent_id, change, violation};
    struct config_key read;
    int rc = read_key(&plan, key, &read);
    if (rc)
        return rc;
    const json_t *current = find_key(&plan, &read);
    if (!current || !belongs(&plan, current)) {
        rc = report_missing(&plan, &read);
    } else {
        json_t *given = take_input(&plan, input);
        rc = given ? plan_row(&plan, given, ENTITY_UPDATE, current, NULL, ret_row) : UV_ENOMEM;
    }
    config_key_deinit(&read);
    return rc;
}

/* ---- removal ---- */

static int plan_removal(const struct plan *plan, const struct entity *entity, const json_t *row);

/* Removes, or refuses for, the rows of `child` that refer to the row by that field. */
static int plan_children(const struct plan *plan, const struct entity *entity, const json_t *row,
                         const struct entity *child, const struct field *field)
{
    const struct row_set *set =
        table_children(config_table(plan->config, child), field->name, plan_row_id(row));
    for (size_t i = 0; set && i < set->count; i++) {
        const json_t *there = plan_find_id(plan, child, packed_row_id(set->rows[i]));
        const char *parent = there ? row_foreign_id(there, field->name) : NULL;
        if (!parent || strcmp(parent, plan_row_id(row)) != 0)
            continue; /* the same change has removed or moved it */
        if (config_is_made(there))
            continue; /* follows by itself */
        if (!field->cascade) {
            violation_set(plan->violation, VIOLATION_FOREIGN_KEY,
                          json_pack("{ss}", "@referenced_by", child->name),
                          "an existing '%s' entity references this '%s' entity", child->name,
                          entity->name);
            return UV_EINVAL;
        }
        int rc = plan_removal(plan, child, there);
        if (rc)
            return rc;
    }
    return 0;
}

/* Refuses where an array of some row's holds the id. */
static int check_arrays(const struct plan *plan, const json_t *row, const struct entity *holder,
                        const struct field *field)
{
    const struct row_set *set = &config_table(plan->config, holder)->order;
    for (size_t i = 0; i < set->count; i++) {
        const json_t *there = plan_find_id(plan, holder, packed_row_id(set->rows[i]));
        size_t at;
        json_t *id;
        json_array_foreach(json_object_get(there, field->name), at, id)
        {
            if (strcmp(json_string_value(id), plan_row_id(row)) != 0)
                continue;
            violation_set(plan->violation, VIOLATION_REFERENCED, NULL,
                          "ca certificate %s is still referenced by %s (id = %s)", plan_row_id(row),
                          holder->name, plan_row_id(there));
            return UV_EINVAL;
        }
    }
    return 0;
}

static int plan_removal(const struct plan *plan, const struct entity *entity, const json_t *row)
{
    for (size_t i = 0; entities[i]; i++)
        for (const struct field *field = entities[i]->fields; field->name; field++) {
            if (!field->reference || strcmp(field->reference, entity->name) != 0)
                continue;
            int rc = field->type == FIELD_FOREIGN
                         ? plan_children(plan, entity, row, entities[i], field)
                         : check_arrays(plan, row, entities[i], field);
            if (rc)
                return rc;
        }
    return plan_append(plan->change, CONFIG_REMOVE, entity, json_incref((json_t *)(uintptr_t)row));
}

int config_plan_remove(const struct config *config, const struct entity *entity, struct str key,
                       const char *parent_field, const char *parent_id,
                       struct config_change *change, struct violation *violation)
{
    struct plan plan = {config, entity, parent_field, parent_id, change, violation};
    struct config_key read;
    int rc = read_key(&plan, key, &read);
    if (rc)
        return rc;
    const json_t *row = find_key(&plan, &read);
    config_key_deinit(&read);
    if (!row)
        return parent_field ? UV_ENOENT : 0;
    if (!belongs(&plan, row))
        return UV_ENOENT;

    if (config_is_made(row))
        return plan_refuse_made(&plan, row, "removed");
    size_t before = change->count;
    rc = plan_removal(&plan, entity, row);
    while (rc && change->count > before)
        json_decref(change->ops[--change->count].row);
    return rc;
}

int config_plan_expiry(const struct config *config, struct config_change *change, size_t max)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct table *table = &config->tables[i];
        for (size_t at = 0; table->entity->has_ttl && at < table->order.count; at++) {
            const struct packed_row *row = table->order.rows[at];
            if (!packed_row_is_over(row))
                continue;
            json_t *json = packed_row_unpack(row);
            if (!json || plan_append(change, CONFIG_REMOVE, table->entity, json))
                return UV_ENOMEM;
            if (change->count == max)
                return 0;
        }
    }
    return 0;
}
