/* plan_listed.c - the rows that another lists by their keys, such as a certificate's SNIs:
 * plan.h's. */
#include "model/plan.h"

#include <string.h>

#include <uv.h> /* error codes only */

#include "model/config_find.h"
#include "model/config_lend.h"
#include "model/config_table.h"

json_t *plan_take_listed(const struct plan *plan, json_t *given, enum entity_operation operation)
{
    if (!plan->entity->listed)
        return NULL;
    json_t *list = json_object_get(given, plan->entity->listed);
    bool is_unset = !list || json_is_null(list);
    if (is_unset)
        list = !list && operation == ENTITY_UPDATE ? NULL : json_array();
    else
        json_incref(list);
    json_object_del(given, plan->entity->listed);
    return list;
}

static bool is_listed(const json_t *list, const char *name, size_t before)
{
    for (size_t i = 0; i < before && i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
            return true;
    return false;
}

int plan_check_listed(const struct plan *plan, const json_t *list, const char *id)
{
    const struct entity *child = entity_find(str_of(plan->entity->listed));
    const struct field *key = entity_field(child, str_of(child->endpoint_key));
    const struct field *field = config_listing_field(plan->entity);
    if (!json_is_array(list)) {
        violation_add(plan->violation, child->name, "expected an array");
        return UV_EINVAL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        const char *name = json_string_value(value);
        char message[512] = "expected a string";
        if (!name || strlen(name) != json_string_length(value) || name[0] == '\0' ||
            !key->check(value, message, sizeof(message))) {
            violation_add(plan->violation, child->name, "%s",
                          name && !*name ? "length must be at least 1" : message);
            return UV_EINVAL;
        }
        if (is_listed(list, name, i)) {
            violation_add(plan->violation, child->name, "%s is duplicated", name);
            return UV_EINVAL;
        }
        const json_t *there =
            config_find_unique(plan->config, plan->change, child, key, str_of(name));
        const char *owner = there ? row_foreign_id(there, field->name) : NULL;
        if (owner && strcmp(owner, id) != 0) {
            violation_add(plan->violation, child->name,
                          "%s already associated with existing certificate '%s'", name, owner);
            return UV_EINVAL;
        }
    }
    return 0;
}

int plan_put_listed(const struct plan *plan, const json_t *list, const char *id)
{
    const struct entity *child = entity_find(str_of(plan->entity->listed));
    const struct field *key = entity_field(child, str_of(child->endpoint_key));
    const struct field *field = config_listing_field(plan->entity);
    const struct row_set *set = table_children(config_table(plan->config, child), field->name, id);
    for (size_t i = 0; set && i < set->count; i++) {
        const json_t *row = config_lend(plan->config, set->rows[i]);
        const char *name = json_string_value(json_object_get(row, key->name));
        if (is_listed(list, name, json_array_size(list)) ||
            !plan_find_id(plan, child, plan_row_id(row)))
            continue;
        if (plan_append(plan->change, CONFIG_REMOVE, child, json_incref((json_t *)(uintptr_t)row)))
            return UV_ENOMEM;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (config_find_unique(plan->config, plan->change, child, key, str_of(name)))
            continue;
        json_t *input = json_pack("{s:s}", key->name, name);
        int rc = input ? config_plan_insert(plan->config, child, input, field->name, id,
                                            plan->change, NULL, plan->violation)
                       : UV_ENOMEM;
        json_decref(input);
        if (rc)
            return rc;
    }
    return 0;
}
