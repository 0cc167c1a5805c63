/* config_take.c - rows as a store has them, taken into the configuration: config.h's
 * config_take_row and config_each. */
#include "model/config.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/config_table.h"

/* What a human needs to find the fault: the message of the violation that a request would get. */
static void explain(const struct violation *violation, struct error *why)
{
    json_t *body = violation_to_body(violation);
    const char *message = json_string_value(json_object_get(body, "message"));
    error_set(why, "", "%s", message ? message : "is not valid");
    json_decref(body);
}

/* 0 and an owned row, UV_EINVAL with *why, or UV_ENOMEM. */
static int read_row(const struct entity *entity, const char *id, const char *body, json_t **ret,
                    struct error *why)
{
    struct violation violation = {0};
    json_error_t at;
    json_t *row = NULL;
    json_t *stored = json_loads(body, 0, &at);
    int rc = UV_EINVAL;
    if (!json_is_object(stored)) {
        error_set(why, "", "is no JSON object%s%s", stored ? "" : ": ", stored ? "" : at.text);
        goto done;
    }
    rc = UV_ENOMEM;
    row = entity_complete_row(entity, stored);
    if (!row || json_object_set_new(row, "id", json_string(id)) < 0)
        goto done;
    rc = 0;
    if (!entity_check_row(entity, row, &violation)) {
        explain(&violation, why);
        rc = UV_EINVAL;
    }
done:
    violation_deinit(&violation);
    json_decref(stored);
    if (rc == 0)
        *ret = json_incref(row);
    json_decref(row);
    return rc;
}

int config_take_row(struct config *config, const char *kind, const char *id, const char *body,
                    bool *ret_changed, struct error *why)
{
    *ret_changed = false;
    const struct entity *entity = entity_find(str_of(kind));
    if (!entity) {
        error_set(why, "", "is of a kind that this version of weir doesn't know");
        return UV_EINVAL;
    }
    struct table *table = config_table(config, entity);
    const struct packed_row *there = table_get(table, str_of(id));
    json_t *row = NULL;
    int rc = body ? read_row(entity, id, body, &row, why) : 0;
    if (rc == UV_ENOMEM)
        return rc;
    if (row && !(there && packed_row_is(there, row))) {
        *ret_changed = true;
        if (table_put(table, row))
            abort(); /* no memory for what the store has already: a fresh start reads it again */
    } else if (!row && there) {
        *ret_changed = true;
        table_remove(table, id);
    }
    json_decref(row);
    return rc ? rc : *ret_changed;
}

int config_each(const struct config *config,
                int (*each)(void *arg, const char *kind, const struct packed_row *row), void *arg)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct table *table = &config->tables[i];
        for (size_t at = 0; at < table->order.count; at++) {
            const struct packed_row *row = table->order.rows[at];
            int rc = row->is_made ? 0 : each(arg, table->entity->name, row);
            if (rc)
                return rc;
        }
    }
    return 0;
}
