/* plan.h - a write that is being planned, and what is asked of its row among the others.
 *
 * config_plan.c's own: what others may call is in config.h. Looks at the configuration as it will
 * be after the change, which grows as the plan goes on.
 *
 * Thread: control. Memory: all is borrowed but the change's rows, which the change owns. */
#ifndef MODEL_PLAN_H
#define MODEL_PLAN_H

#include "model/config.h"

struct plan {
    const struct config *config;
    const struct entity *entity;
    const char *parent_field; /* NULL: not under a parent */
    const char *parent_id;
    struct config_change *change;
    struct violation *violation;
};

/* Functions that return int: 0; UV_EINVAL with the violation filled; or UV_ENOMEM. */

const char *plan_row_id(const json_t *row);
const json_t *plan_find_id(const struct plan *plan, const struct entity *entity, const char *id);
/* Takes the row over. 0 or UV_ENOMEM. */
int plan_append(struct config_change *change, enum config_op_kind kind, const struct entity *entity,
                json_t *row);
/* For a row that is made of tags; UV_EINVAL. */
int plan_refuse_made(const struct plan *plan, const json_t *row, const char *verb);

/* Foreign keys given by name become ids, in place. */
int plan_resolve_foreign(const struct plan *plan, json_t *input);
int plan_check_foreign(const struct plan *plan, const json_t *row);
/* No other row has its unique values; one that has, and whose time has come, is removed. */
int plan_check_unique(const struct plan *plan, const json_t *row);

/* Takes the list out of the input: NULL where there is none, which leaves what is there. Owned. */
json_t *plan_take_listed(const struct plan *plan, json_t *given, enum entity_operation operation);
/* Each by itself, and none twice or another row's. */
int plan_check_listed(const struct plan *plan, const json_t *list, const char *id);
/* Makes the rows be those of the list. */
int plan_put_listed(const struct plan *plan, const json_t *list, const char *id);

#endif
