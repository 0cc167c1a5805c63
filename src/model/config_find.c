#include "model/config_find.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/config_lend.h"
#include "model/config_table.h"

/* Room for a check's own words around a key that it may repeat. */
#define CHECK_WORDS_BYTES 512

/* ---- keys ---- */

static int refuse_id(struct violation *violation)
{
    if (violation)
        violation_set(violation, VIOLATION_PRIMARY_KEY_INVALID,
                      json_pack("{ss}", "id", "expected a valid UUID"),
                      "invalid primary key: '{id=\"expected a valid UUID\"}'");
    return UV_EINVAL;
}

/* A key that no row can have is worth saying so, unless it is one of many names under a parent. */
static int check_key(const struct entity *entity, struct str text, struct violation *violation)
{
    if (entity->nested_under)
        return 0;
    size_t size = text.len * 3 + CHECK_WORDS_BYTES;
    char *message = malloc(size);
    if (!message)
        return UV_ENOMEM;
    message[0] = '\0';
    bool is_fine = entity_check_key(entity, text, message, size);
    if (!is_fine && violation) {
        violation_set(violation, VIOLATION_UNIQUE_FIELD_INVALID, NULL, "%s", message);
        violation->what = str_dup(str_of(entity->endpoint_key));
    }
    free(message);
    return is_fine ? 0 : UV_EINVAL;
}

/* As the field's values are: a target gets its port. */
static char *normal_value(const struct entity *entity, struct str text)
{
    const struct field *field =
        entity->endpoint_key ? entity_field(entity, str_of(entity->endpoint_key)) : NULL;
    json_t *value =
        field && field->normalise ? json_stringn(text.ptr ? text.ptr : "", text.len) : NULL;
    char *normal = NULL;
    if (value && field->normalise(&value) == 0)
        normal = str_dup(str_of(json_string_value(value)));
    json_decref(value);
    return normal ? normal : str_dup(text);
}

int config_key_read(const struct entity *entity, struct str text, struct config_key *ret,
                    struct violation *violation)
{
    *ret = (struct config_key){.is_id = entity_is_uuid(text)};
    if (ret->is_id) {
        for (size_t i = 0; i < text.len; i++)
            ret->id[i] = str_lower_char(text.ptr[i]);
        return 0;
    }
    if (!entity->endpoint_key && !entity->listed)
        return refuse_id(violation);
    int rc = entity->endpoint_key ? check_key(entity, text, violation) : 0;
    if (rc)
        return rc;
    ret->value = normal_value(entity, text);
    return ret->value ? 0 : UV_ENOMEM;
}

void config_key_deinit(struct config_key *key)
{
    free(key->value);
    key->value = NULL;
}

/* ---- rows, with a change over them ---- */

static const char *op_id(const struct config_op *op)
{
    return json_string_value(json_object_get(op->row, "id"));
}

/* The last word of the change on that row; NULL: it has none. */
static const struct config_op *last_op(const struct config_change *change,
                                       const struct entity *entity, struct str id)
{
    for (size_t i = change ? change->count : 0; i-- > 0;)
        if (change->ops[i].entity == entity && str_equal(str_of(op_id(&change->ops[i])), id))
            return &change->ops[i];
    return NULL;
}

const json_t *config_find_id(const struct config *config, const struct config_change *change,
                             const struct entity *entity, struct str id)
{
    const struct config_op *op = last_op(change, entity, id);
    if (op)
        return op->kind == CONFIG_PUT ? op->row : NULL;
    return config_get(config, entity, id);
}

const json_t *config_find_over(const struct config *config, const struct config_change *change,
                               const struct entity *entity, const struct field *field,
                               struct str value)
{
    const struct packed_row *row = table_find(config_table(config, entity), field, value);
    bool is_over = row && packed_row_is_over(row);
    return is_over && !last_op(change, entity, str_of(packed_row_id(row)))
               ? config_lend(config, row)
               : NULL;
}

static bool has_unique(const struct entity *entity, const struct field *field, const json_t *row,
                       struct str value)
{
    if (field)
        return str_equal(str_of(json_string_value(json_object_get(row, field->name))), value);
    char *joined = table_join_unique(entity, row);
    bool has = joined && str_equal(str_of(joined), value);
    free(joined);
    return has;
}

const json_t *config_find_unique(const struct config *config, const struct config_change *change,
                                 const struct entity *entity, const struct field *field,
                                 struct str value)
{
    for (size_t i = change ? change->count : 0; i-- > 0;) {
        const struct config_op *op = &change->ops[i];
        if (op->entity == entity && op->kind == CONFIG_PUT &&
            last_op(change, entity, str_of(op_id(op))) == op &&
            has_unique(entity, field, op->row, value))
            return op->row;
    }
    const struct packed_row *row = table_find(config_table(config, entity), field, value);
    if (!row || packed_row_is_over(row) || last_op(change, entity, str_of(packed_row_id(row))))
        return NULL;
    return config_lend(config, row);
}

const json_t *config_find_value(const struct config *config, const struct entity *entity,
                                const char *field, struct str value)
{
    return config_lend(config, config_find_packed(config, entity, field, value));
}

const struct packed_row *config_find_packed(const struct config *config,
                                            const struct entity *entity, const char *field,
                                            struct str value)
{
    const struct packed_row *row =
        table_find(config_table(config, entity), entity_field(entity, str_of(field)), value);
    return row && !packed_row_is_over(row) ? row : NULL;
}

const struct field *config_listing_field(const struct entity *entity)
{
    const struct entity *child = entity_find(str_of(entity->listed));
    const struct field *field = child ? child->fields : NULL;
    while (field && field->name &&
           !(field->type == FIELD_FOREIGN && strcmp(field->reference, entity->name) == 0))
        field++;
    return field && field->name ? field : NULL;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

json_t *config_listed_keys(const struct config *config, const struct entity *entity, const char *id)
{
    const struct entity *child = entity_find(str_of(entity->listed));
    const struct row_set *set =
        table_children(config_table(config, child), config_listing_field(entity)->name, id);
    json_t *keys = json_array();
    json_t **texts = set ? calloc(set->count + 1, sizeof(*texts)) : NULL;
    if (!texts)
        return keys;
    for (size_t i = 0; i < set->count; i++)
        texts[i] = packed_row_get(set->rows[i], child->endpoint_key);
    qsort(texts, set->count, sizeof(*texts), compare_texts);
    for (size_t i = 0; i < set->count; i++)
        json_array_append_new(keys, texts[i]);
    free(texts);
    return keys;
}

/* The row that a row of the listed entity with that key refers to. */
static const json_t *find_listing(const struct config *config, const struct config_change *change,
                                  const struct entity *entity, const char *value)
{
    const struct entity *child = entity_find(str_of(entity->listed));
    const struct field *key = entity_field(child, str_of(child->endpoint_key));
    const struct field *field = config_listing_field(entity);
    const json_t *row = config_find_unique(config, change, child, key, str_of(value));
    const char *id = row && field ? row_foreign_id(row, field->name) : NULL;
    return id ? config_find_id(config, change, entity, str_of(id)) : NULL;
}

/* The text that unique_together's index has for a key under a parent; owned. */
static char *join_key(const struct entity *entity, const char *value, const char *parent_id)
{
    json_t *like =
        json_pack("{s{ss}ss}", entity->nested_under, "id", parent_id, entity->endpoint_key, value);
    char *joined = like ? table_join_unique(entity, like) : NULL;
    json_decref(like);
    return joined;
}

const json_t *config_find_key(const struct config *config, const struct config_change *change,
                              const struct entity *entity, const struct config_key *key,
                              const char *parent_id)
{
    if (key->is_id)
        return config_find_id(config, change, entity, str_of(key->id));
    if (!entity->endpoint_key)
        return find_listing(config, change, entity, key->value);
    const struct field *field = entity_field(entity, str_of(entity->endpoint_key));
    if (field->unique)
        return config_find_unique(config, change, entity, field, str_of(key->value));
    if (!entity->nested_under || !parent_id)
        return NULL;
    char *joined = join_key(entity, key->value, parent_id);
    const json_t *row =
        joined ? config_find_unique(config, change, entity, NULL, str_of(joined)) : NULL;
    free(joined);
    return row;
}
