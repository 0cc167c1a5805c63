/* declarative_plan.c - what a file changes: its entities are put into a scratch configuration one
 * by one, parents first, each judged as a request would be; what then differs is the change. */
#include "model/declarative_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "model/config_find.h"
#include "model/config_lend.h"
#include "model/config_table.h"
#include "model/secrets.h"

struct plan {
    const struct declarative *file;
    const struct config *config; /* as it is */
    struct config *scratch;      /* as it will be */
    struct declarative_problems *problems;
    const char **ids; /* an item's, borrowed from scratch's rows; NULL: it failed */
    struct map seen;  /* kind and id, of this file */
};

static const char *id_of(const json_t *row)
{
    return json_string_value(json_object_get(row, "id"));
}

static bool is_given(const json_t *input, const char *field)
{
    const json_t *value = json_object_get(input, field);
    return value && !json_is_null(value);
}

/* ---- telling what is wrong ---- */

/* Of the first field with an error that has a line. */
static unsigned line_of(const struct plan *plan, const struct declarative_item *item,
                        const json_t *fields)
{
    const char *field;
    json_t *error;
    const json_t *container = item->source;
    json_object_foreach((json_t *)(uintptr_t)fields, field, error)
    {
        unsigned line = yaml_line(&plan->file->places, container, field);
        const json_t *inner = json_object_get(container, field);
        const char *deeper;
        json_t *ignored;
        if (line && json_is_object(error) && json_is_object(inner)) {
            json_object_foreach(error, deeper, ignored)
            {
                unsigned found = yaml_line(&plan->file->places, inner, deeper);
                if (found)
                    return found;
            }
        }
        if (line)
            return line;
    }
    return yaml_line(&plan->file->places, container, NULL);
}

/* Takes the violation over. */
static int add_violation(struct plan *plan, const struct declarative_item *item,
                         struct violation *violation)
{
    json_t *body = violation_to_body(violation);
    const char *message = json_string_value(json_object_get(body, "message"));
    char *sentence = NULL;
    const char *list = message ? strchr(message, '(') : NULL;
    if (violation->code == VIOLATION_SCHEMA && list) /* without "n schema violations (…)" */
        sentence = strndup(list + 1, strlen(list) - 2);
    json_t *fields =
        violation->code == VIOLATION_SCHEMA ? json_incref(violation->fields) : json_object();
    if (violation->code != VIOLATION_SCHEMA)
        json_object_set_new(fields, "@entity",
                            json_pack("[o]", violation_text("%s", message ? message : "")));
    int rc = declarative_add_problem(plan->problems, line_of(plan, item, fields), item, fields,
                                     sentence  ? sentence
                                     : message ? message
                                               : "");
    free(sentence);
    json_decref(body);
    violation_deinit(violation);
    return rc;
}

/* Takes the text over. */
static int add_field_problem(struct plan *plan, const struct declarative_item *item,
                             const char *field, json_t *text)
{
    struct violation violation = {0};
    violation_add(&violation, field, "%s", json_string_value(text));
    json_decref(text);
    return add_violation(plan, item, &violation);
}

/* ---- references ---- */

/* {"id": …} of what a text names in the scratch configuration; NULL: nothing. Owned. */
static json_t *resolve_text(struct plan *plan, const struct entity *parent, const char *text)
{
    struct violation ignored = {0};
    const json_t *row = config_find(plan->scratch, parent, str_of(text), NULL, &ignored);
    violation_deinit(&ignored);
    return row ? json_pack("{s:s}", "id", id_of(row)) : NULL;
}

/* By the unique field that an object names: {"name": …}. */
static json_t *resolve_object(struct plan *plan, const struct entity *parent, const json_t *foreign)
{
    for (const struct field *field = parent->fields; field->name; field++) {
        const char *text = json_string_value(json_object_get(foreign, field->name));
        if (!field->unique || !text)
            continue;
        const json_t *row = config_find_value(plan->scratch, parent, field->name, str_of(text));
        return row ? json_pack("{s:s}", "id", id_of(row)) : NULL;
    }
    return NULL;
}

static int resolve_field(struct plan *plan, const struct declarative_item *item,
                         const struct field *field, json_t *input)
{
    const json_t *value = json_object_get(input, field->name);
    const struct entity *parent = entity_find(str_of(field->reference));
    const char *text = json_string_value(value);
    const char *id = json_string_value(json_object_get(value, "id"));
    json_t *resolved = NULL;
    if (!value || json_is_null(value))
        return 0;
    if (text)
        resolved = resolve_text(plan, parent, text);
    else if (id)
        resolved = entity_is_uuid(str_of(id)) ? resolve_text(plan, parent, id) : NULL;
    else
        resolved = resolve_object(plan, parent, value);
    if (resolved) {
        json_object_set_new(input, field->name, resolved);
        return 0;
    }
    char *shown = text ? strdup(text) : violation_dump(value);
    int rc = add_field_problem(plan, item, field->name,
                               violation_text("invalid reference '%s' (no such entry in '%s')",
                                              shown ? shown : "", parent->name));
    free(shown);
    return rc ? rc : UV_EINVAL;
}

static int resolve(struct plan *plan, const struct declarative_item *item, json_t *input)
{
    if (item->parent)
        json_object_set_new(input, item->foreign,
                            json_pack("{s:s}", "id", plan->ids[item->parent - 1]));
    int rc = 0;
    for (const struct field *field = item->entity->fields; rc == 0 && field->name; field++)
        if (field->type == FIELD_FOREIGN &&
            !(item->parent && strcmp(field->name, item->foreign) == 0))
            rc = resolve_field(plan, item, field, input);
    return rc;
}

/* ---- ids ---- */

/* The row that is what the item means; NULL: it is new. */
static const json_t *find_namesake(const struct plan *plan, const struct entity *entity,
                                   const json_t *input)
{
    const char *key = entity->endpoint_key
                          ? json_string_value(json_object_get(input, entity->endpoint_key))
                          : NULL;
    const struct field *field = key ? entity_field(entity, str_of(entity->endpoint_key)) : NULL;
    if (field && field->unique)
        return config_find_value(plan->scratch, entity, field->name, str_of(key));
    if (entity->searched_by && is_given(input, entity->searched_by))
        return config_find_value(
            plan->scratch, entity, entity->searched_by,
            str_of(json_string_value(json_object_get(input, entity->searched_by))));
    if (!entity->unique_together)
        return NULL;
    json_t *normal = json_copy((json_t *)(uintptr_t)input);
    json_t *value = field && field->normalise ? json_string(key) : NULL;
    if (value && field->check) {
        char message[1024];
        bool is_fine = strlen(key) < 256 && field->check(value, message, sizeof(message));
        if (is_fine && field->normalise(&value) == 0)
            json_object_set(normal, field->name, value);
    }
    json_decref(value);
    char *joined = table_join_unique(entity, normal);
    const struct packed_row *row =
        joined ? table_find(config_table(plan->scratch, entity), NULL, str_of(joined)) : NULL;
    free(joined);
    json_decref(normal);
    return config_lend(plan->scratch, row);
}

static struct str seen_key(const struct entity *entity, const char *id, char room[128])
{
    int len = snprintf(room, 128, "%s/%s", entity->name, id);
    for (int i = 0; i < len && i < 127; i++)
        room[i] = str_lower_char(room[i]);
    return str_make(room, len < 127 ? (size_t)len : 127);
}

/* Sets input's id. */
static int choose_id(struct plan *plan, const struct declarative_item *item, json_t *input)
{
    char room[128], made[37];
    const char *given = json_string_value(json_object_get(input, "id"));
    if (given) {
        if (!entity_is_uuid(str_of(given)) ||
            !map_get(&plan->seen, seen_key(item->entity, given, room)))
            return 0;
        int rc = add_field_problem(plan, item, "id",
                                   violation_text("uniqueness violation: '%s' entity with "
                                                  "primary key set to '%s' already declared",
                                                  item->entity->name, given));
        return rc ? rc : UV_EINVAL;
    }
    const json_t *namesake = find_namesake(plan, item->entity, input);
    if (namesake && !map_get(&plan->seen, seen_key(item->entity, id_of(namesake), room))) {
        json_object_set(input, "id", json_object_get(namesake, "id"));
        return 0;
    }
    unsigned number = 0;
    do {
        /* A namesake of the file itself is refused as such, by what is unique. */
        declarative_item_id(item, input, number++, made);
    } while (map_get(&plan->seen, seen_key(item->entity, made, room)));
    json_object_set_new(input, "id", json_string(made));
    return 0;
}

/* ---- rows ---- */

static bool is_kept_when_unset(const struct field *field)
{
    return field->made ||
           (field->automatic && field->type == FIELD_STRING && strcmp(field->name, "id") != 0) ||
           strcmp(field->name, "created_at") == 0;
}

static bool has_made(const struct field *fields)
{
    for (; fields->name; fields++)
        if (fields->made || (fields->type == FIELD_RECORD && has_made(fields->fields)))
            return true;
    return false;
}

/* What weir makes up stays what it was, where the file doesn't say; of records, too, which are the
 * file's own and copied before they change. */
static void keep_made(const struct field *fields, const json_t *current, json_t *input)
{
    for (const struct field *field = fields; field->name; field++) {
        json_t *given = json_object_get(input, field->name);
        const json_t *there = json_object_get(current, field->name);
        if (is_kept_when_unset(field) && !is_given(input, field->name) && there)
            json_object_set(input, field->name, (json_t *)(uintptr_t)there);
        if (field->type != FIELD_RECORD || !json_is_object(there) || !has_made(field->fields))
            continue;
        json_t *record = json_is_object(given) ? json_copy(given) : given ? NULL : json_object();
        if (!record)
            continue;
        keep_made(field->fields, there, record);
        json_object_set_new(input, field->name, record);
    }
}

/* Secrets as the file has them, not made anything of. */
static void take_stored(const struct entity *entity, const json_t *input, json_t *row)
{
    for (const struct field *field = entity->fields; field->name; field++)
        if (field->encrypted && json_is_string(json_object_get(input, field->name)))
            json_object_set(row, field->name, json_object_get(input, field->name));
}

static bool is_same(const json_t *a, const json_t *b)
{
    const char *field;
    json_t *value;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)(uintptr_t)a, field, value)
    {
        if (strcmp(field, "updated_at") != 0 && !json_equal(value, json_object_get(b, field)))
            return false;
    }
    return true;
}

/* A hash has a salt of its own each time it is made: the one that is there stays, where the file
 * has it, or what it was made of. */
static void keep_hash(const json_t *input, const json_t *current, json_t *row)
{
    const char *given = json_string_value(json_object_get(input, "client_secret"));
    json_t *kept = json_object_get(current, "client_secret");
    const char *hash = json_string_value(kept);
    if (given && hash && json_is_true(json_object_get(row, "hash_secret")) &&
        secrets_is_hashed(hash) &&
        (strcmp(given, hash) == 0 || secrets_check_client_secret(given, hash)))
        json_object_set(row, "client_secret", kept);
}

/* Puts the row into the scratch configuration. `row` is the planned one; nobody shares it yet. */
static int finish_row(struct plan *plan, const struct declarative_item *item, const json_t *input,
                      json_t *row)
{
    const struct entity *entity = item->entity;
    const json_t *current = config_get(plan->config, entity, str_of(id_of(row)));
    if (!plan->file->transforms)
        take_stored(entity, input, row);
    if (current)
        keep_hash(input, current, row);
    if (is_given(input, "updated_at") && entity_field(entity, STR("updated_at")))
        json_object_set(row, "updated_at", json_object_get(input, "updated_at"));
    if (current && is_same(row, current))
        json_object_update(row, (json_t *)(uintptr_t)current);
    return 0;
}

static int plan_item(struct plan *plan, const struct declarative_item *item, json_t *input,
                     const char **ret_id)
{
    const struct entity *entity = item->entity;
    struct violation violation = {0};
    struct config_change change = {0};
    const json_t *row = NULL;
    char room[128];
    const char *id = json_string_value(json_object_get(input, "id"));
    if (!id || !entity_is_uuid(str_of(id))) {
        violation_add(&violation, "id", "expected a valid UUID");
        int rc = add_violation(plan, item, &violation);
        return rc ? rc : UV_EINVAL;
    }
    const json_t *current = config_get(plan->config, entity, str_of(id));
    const struct entity *variant = entity_variant(entity, input, NULL);
    if (current)
        keep_made((variant ? variant : entity)->fields, current, input);
    json_t *listed = entity->listed ? config_listed_keys(plan->scratch, entity, id) : NULL;
    if (listed)
        json_object_set_new(input, entity->listed, listed);
    /* Kong's rule that a PUT on a target creates none is the Admin API's. */
    bool is_new = !config_get(plan->scratch, entity, str_of(id));
    int rc = is_new ? config_plan_insert(plan->scratch, entity, input, NULL, NULL, &change, &row,
                                         &violation)
                    : config_plan_replace(plan->scratch, entity, str_of(id), input, NULL, NULL,
                                          &change, &row, &violation);
    if (rc == 0)
        rc = finish_row(plan, item, input, (json_t *)(uintptr_t)row);
    if (rc == 0) {
        rc =
            map_put(&plan->seen, seen_key(entity, id_of(row), room), (void *)(uintptr_t)item, NULL);
        config_apply(plan->scratch, &change);
        *ret_id = packed_row_id(table_get(config_table(plan->scratch, entity), str_of(id_of(row))));
    } else if (violation.code) {
        int failed = add_violation(plan, item, &violation);
        rc = failed ? failed : UV_EINVAL;
    }
    config_change_deinit(&change);
    violation_deinit(&violation);
    return rc;
}

/* UV_ENOMEM, or 0 whatever is wrong with the item itself. */
static int take_item(struct plan *plan, size_t at)
{
    const struct declarative_item *item = &plan->file->items[at];
    if (item->parent && !plan->ids[item->parent - 1])
        return 0; /* its parent is wrong, and known to be */
    size_t lent = config_lent(plan->config);
    json_t *input = json_copy(item->input);
    if (!input)
        return UV_ENOMEM;
    int rc = resolve(plan, item, input);
    if (rc == 0)
        rc = choose_id(plan, item, input);
    if (rc == 0)
        rc = plan_item(plan, item, input, &plan->ids[at]);
    json_decref(input);
    config_take_back(plan->config, lent);
    config_take_back(plan->scratch, 0);
    return rc == UV_EINVAL ? 0 : rc;
}

/* ---- the whole ---- */

static int copy_rows(struct plan *plan, bool wants_internal)
{
    for (size_t i = 0; i < plan->config->count; i++) {
        const struct table *from = &plan->config->tables[i];
        if (from->entity->is_internal != wants_internal)
            continue;
        for (size_t at = 0; at < from->order.count; at++)
            if (table_share(config_table(plan->scratch, from->entity), from->order.rows[at]))
                return UV_ENOMEM;
    }
    return 0;
}

static bool has_parents(const struct plan *plan, const struct entity *entity, const json_t *row)
{
    for (const struct field *field = entity->fields; field->name; field++) {
        const char *id = field->type == FIELD_FOREIGN ? row_foreign_id(row, field->name) : NULL;
        if (id && !config_get(plan->scratch, entity_find(str_of(field->reference)), str_of(id)))
            return false;
    }
    return true;
}

/* What was ordered by hand stands, of what is still there. */
static int keep_internal(struct plan *plan)
{
    for (size_t i = 0; i < plan->config->count; i++) {
        const struct table *from = &plan->config->tables[i];
        struct table *to = config_table(plan->scratch, from->entity);
        for (size_t at = 0; from->entity->is_internal && at < from->order.count; at++) {
            const struct packed_row *row = from->order.rows[at];
            if (!table_get(to, str_of(packed_row_id(row))) &&
                has_parents(plan, from->entity, config_lend(plan->scratch, row)) &&
                table_share(to, row))
                return UV_ENOMEM;
            config_take_back(plan->scratch, 0);
        }
    }
    return 0;
}

static int add_op(struct config_change *change, size_t *capacity, enum config_op_kind kind,
                  const struct entity *entity, const struct packed_row *packed)
{
    json_t *row = packed_row_unpack(packed);
    if (!row)
        return UV_ENOMEM;
    if (change->count == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 64;
        struct config_op *ops = realloc(change->ops, more * sizeof(*ops));
        if (!ops) {
            json_decref(row);
            return UV_ENOMEM;
        }
        change->ops = ops;
        *capacity = more;
    }
    change->ops[change->count++] = (struct config_op){kind, entity, row};
    return 0;
}

/* Children go before their parents, and come after them. */
static int compare(const struct plan *plan, struct config_change *change,
                   struct declarative_counts *counts)
{
    size_t capacity = 0;
    int rc = 0;
    for (size_t i = plan->config->count; i-- > 0 && rc == 0;) {
        const struct table *before = &plan->config->tables[i];
        const struct table *after = config_table(plan->scratch, before->entity);
        for (size_t at = 0; at < before->order.count && rc == 0; at++) {
            const struct packed_row *row = before->order.rows[at];
            if (table_get(after, str_of(packed_row_id(row))))
                continue;
            counts->removed++;
            rc = add_op(change, &capacity, CONFIG_REMOVE, before->entity, row);
        }
    }
    for (size_t i = 0; i < plan->scratch->count && rc == 0; i++) {
        const struct table *after = &plan->scratch->tables[i];
        for (size_t at = 0; at < after->order.count && rc == 0; at++) {
            const struct packed_row *row = after->order.rows[at];
            const struct packed_row *before =
                config_get_packed(plan->config, after->entity, str_of(packed_row_id(row)));
            if (before && packed_row_equal(before, row)) {
                counts->unchanged++;
                continue;
            }
            counts->created += !before;
            counts->changed += before != NULL;
            rc = add_op(change, &capacity, CONFIG_PUT, after->entity, row);
        }
    }
    return rc;
}

static int take_items(struct plan *plan)
{
    int rc = 0;
    for (size_t kind = 0; entities[kind] && rc == 0; kind++)
        for (size_t at = 0; at < plan->file->count && rc == 0; at++)
            if (plan->file->items[at].entity == entities[kind])
                rc = take_item(plan, at);
    return rc;
}

int declarative_plan(const struct declarative *declarative, const struct config *config,
                     bool is_all, struct config_change *change, struct declarative_counts *counts,
                     struct declarative_problems *problems)
{
    struct plan plan = {.file = declarative, .config = config, .problems = problems};
    size_t before = problems->count;
    *counts = (struct declarative_counts){0};
    plan.ids = calloc(declarative->count + 1, sizeof(*plan.ids));
    int rc = plan.ids ? config_create(&plan.scratch) : UV_ENOMEM;
    if (rc == 0 && !is_all)
        rc = copy_rows(&plan, false);
    if (rc == 0 && !is_all)
        rc = copy_rows(&plan, true);
    if (rc == 0)
        rc = take_items(&plan);
    if (rc == 0 && is_all)
        rc = keep_internal(&plan);
    if (rc == 0 && problems->count > before)
        rc = UV_EINVAL;
    if (rc == 0)
        rc = compare(&plan, change, counts);
    if (rc)
        config_change_deinit(change);
    config_destroy(plan.scratch);
    map_deinit(&plan.seen);
    free(plan.ids);
    return rc;
}
