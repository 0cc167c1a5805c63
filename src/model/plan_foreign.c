/* plan_foreign.c - the foreign keys of a row that is being planned: plan.h's. */
#include "model/plan.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "model/config_find.h"
#include "model/config_table.h"

/* The unique field by which a foreign key names its row, {"name": "x"}; NULL: it has none such. */
static const struct field *named_by(const struct entity *parent, const json_t *foreign)
{
    for (const struct field *field = parent->fields; field->name; field++)
        if (field->unique && json_is_string(json_object_get(foreign, field->name)))
            return field;
    return NULL;
}

static void add_unresolved(json_t *unresolved, const struct field *field,
                           const struct entity *parent, const struct field *by,
                           const json_t *foreign)
{
    json_t *given = json_pack("{sO}", by->name, json_object_get(foreign, by->name));
    char *shown = given ? violation_dump(given) : NULL;
    json_t *text =
        violation_text("the foreign key cannot be resolved with '%s' for an existing '%s' entity",
                       shown ? shown : "", parent->name);
    json_object_set_new(unresolved, field->name, json_pack("{so}", by->name, text));
    free(shown);
    json_decref(given);
}

static void report_unresolved(json_t *unresolved, struct violation *violation)
{
    struct violation as_schema = {.code = VIOLATION_SCHEMA, .fields = unresolved};
    json_t *body = violation_to_body(&as_schema); /* for its list in parentheses, in order */
    const char *message = json_string_value(json_object_get(body, "message"));
    const char *list = message ? strchr(message, '(') : NULL;
    size_t count = json_object_size(unresolved);
    if (count == 1)
        violation_set(violation, VIOLATION_UNRESOLVED, unresolved, "foreign key unresolved %s",
                      list ? list : "");
    else
        violation_set(violation, VIOLATION_UNRESOLVED, unresolved, "%zu foreign keys unresolved %s",
                      count, list ? list : "");
    json_decref(body);
}

int plan_resolve_foreign(const struct plan *plan, json_t *input)
{
    json_t *unresolved = json_object();
    for (const struct field *field = plan->entity->fields; field->name; field++) {
        const json_t *foreign = json_object_get(input, field->name);
        if (field->type != FIELD_FOREIGN || !json_is_object(foreign) ||
            json_is_string(json_object_get(foreign, "id")))
            continue;
        const struct entity *parent = entity_find(str_of(field->reference));
        const struct field *by = parent ? named_by(parent, foreign) : NULL;
        if (!by)
            continue; /* validation says what is missing */
        const char *name = json_string_value(json_object_get(foreign, by->name));
        const json_t *row =
            config_find_unique(plan->config, plan->change, parent, by, str_of(name));
        if (row)
            json_object_set_new(input, field->name, json_pack("{ss}", "id", plan_row_id(row)));
        else
            add_unresolved(unresolved, field, parent, by, foreign);
    }
    if (json_object_size(unresolved) == 0) {
        json_decref(unresolved);
        return 0;
    }
    report_unresolved(unresolved, plan->violation);
    return UV_EINVAL;
}

int plan_check_foreign(const struct plan *plan, const json_t *row)
{
    for (const struct field *field = plan->entity->fields; field->name; field++) {
        const char *id = field->type == FIELD_FOREIGN ? row_foreign_id(row, field->name) : NULL;
        const struct entity *parent = id ? entity_find(str_of(field->reference)) : NULL;
        const json_t *there = parent ? plan_find_id(plan, parent, id) : NULL;
        if (there && config_is_made(there))
            return plan_refuse_made(plan, there, "referred to");
        if (!id || there)
            continue;
        violation_set(plan->violation, VIOLATION_FOREIGN_KEY,
                      json_pack("{s{ss}}", field->name, "id", id),
                      "the foreign key '{id=\"%s\"}' does not reference an existing '%s' entity.",
                      id, field->reference);
        return UV_EINVAL;
    }
    return 0;
}
