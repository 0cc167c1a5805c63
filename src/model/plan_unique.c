/* plan_unique.c - that no other row has the unique values of one that is being planned: plan.h's.
 */
#include "model/plan.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "model/config_find.h"
#include "model/config_table.h"

static int refuse_taken(const struct plan *plan, json_t *fields)
{
    char *shown = violation_dump(fields);
    violation_set(plan->violation, VIOLATION_UNIQUE, fields, "UNIQUE violation detected on '%s'",
                  shown ? shown : "");
    free(shown);
    return UV_EINVAL;
}

static bool is_other(const json_t *found, const json_t *row)
{
    return found && strcmp(plan_row_id(found), plan_row_id(row)) != 0;
}

static int check_fields(const struct plan *plan, const json_t *row)
{
    for (const struct field *field = plan->entity->fields; field->name; field++) {
        json_t *value = json_object_get(row, field->name);
        if (!field->unique || !json_is_string(value))
            continue;
        struct str text = str_of(json_string_value(value));
        const json_t *over =
            config_find_over(plan->config, plan->change, plan->entity, field, text);
        if (over && plan_append(plan->change, CONFIG_REMOVE, plan->entity,
                                json_incref((json_t *)(uintptr_t)over)))
            return UV_ENOMEM;
        const json_t *found =
            config_find_unique(plan->config, plan->change, plan->entity, field, text);
        if (is_other(found, row) && !config_is_made(found)) /* by hand wins */
            return refuse_taken(plan, json_pack("{sO}", field->name, value));
    }
    return 0;
}

static int check_together(const struct plan *plan, const json_t *row)
{
    char *joined = table_join_unique(plan->entity, row);
    if (!joined)
        return 0;
    const json_t *found =
        config_find_unique(plan->config, plan->change, plan->entity, NULL, str_of(joined));
    free(joined);
    if (!is_other(found, row))
        return 0;
    json_t *fields = json_object();
    for (const char *const *name = plan->entity->unique_together; *name; name++)
        json_object_set(fields, *name, json_object_get(row, *name));
    return refuse_taken(plan, fields);
}

int plan_check_unique(const struct plan *plan, const json_t *row)
{
    int rc = check_fields(plan, row);
    return rc ? rc : check_together(plan, row);
}
