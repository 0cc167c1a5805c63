#include "model/plan.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/config_find.h"

const char *plan_row_id(const json_t *row)
{
    return json_string_value(json_object_get(row, "id"));
}

const json_t *plan_find_id(const struct plan *plan, const struct entity *entity, const char *id)
{
    return config_find_id(plan->config, plan->change, entity, str_of(id));
}

int plan_append(struct config_change *change, enum config_op_kind kind, const struct entity *entity,
                json_t *row)
{
    struct config_op *ops = realloc(change->ops, (change->count + 1) * sizeof(struct config_op));
    if (!ops) {
        json_decref(row);
        return UV_ENOMEM;
    }
    change->ops = ops;
    ops[change->count++] = (struct config_op){.kind = kind, .entity = entity, .row = row};
    return 0;
}

int plan_refuse_made(const struct plan *plan, const json_t *row, const char *verb)
{
    violation_add_entity(plan->violation,
                         "it is made of tags (%s) and can't be %s: change the tags, or create one "
                         "of your own, which comes first",
                         json_string_value(json_object_get(row, "origin")), verb);
    return UV_EINVAL;
}
