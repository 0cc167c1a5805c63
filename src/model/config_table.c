#include "model/config_table.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/buf.h"

#define FIRST_CAPACITY 1 /* of most services, how many routes they have */
#define JOINED_MAX_BYTES (1u << 20)

const char *row_foreign_id(const json_t *row, const char *field)
{
    return json_string_value(json_object_get(json_object_get(row, field), "id"));
}

/* ---- sets in list order ---- */

static int compare(const struct table *table, const struct packed_row *a,
                   const struct packed_row *b)
{
    if (table->entity->newest_first && a->created_at != b->created_at)
        return a->created_at > b->created_at ? -1 : 1;
    return strcmp(packed_row_id(a), packed_row_id(b));
}

/* Of the first row that does not stand before `row`. */
static size_t position_of(const struct table *table, const struct row_set *set,
                          const struct packed_row *row)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(table, set->rows[middle], row) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The same where the order is by id. */
static size_t position_of_id(const struct row_set *set, const char *id)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(packed_row_id(set->rows[middle]), id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int set_add(const struct table *table, struct row_set *set, struct packed_row *row)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;
        struct packed_row **rows = realloc(set->rows, capacity * sizeof(struct packed_row *));
        if (!rows)
            return UV_ENOMEM;
        set->rows = rows;
        set->capacity = capacity;
    }
    size_t at = position_of(table, set, row);
    memmove(set->rows + at + 1, set->rows + at, (set->count - at) * sizeof(struct packed_row *));
    set->rows[at] = row;
    set->count++;
    set->stamp = table->stamp;
    return 0;
}

static void set_remove(const struct table *table, struct row_set *set, const struct packed_row *row)
{
    size_t at = position_of(table, set, row);
    assert(at < set->count && set->rows[at] == row);
    set->count--;
    set->stamp = table->stamp;
    memmove(set->rows + at, set->rows + at + 1, (set->count - at) * sizeof(struct packed_row *));
}

static void set_destroy(struct row_set *set)
{
    free(set->rows);
    free(set);
}

/* ---- life ---- */

int table_init(struct table *table, const struct entity *entity)
{
    *table = (struct table){.entity = entity, .layout = row_layout_of(entity)};
    table->rows.borrows_keys = true;
    size_t uniques = entity->unique_together ? 1 : 0;
    size_t foreigns = 0;
    for (const struct field *field = entity->fields; field->name; field++) {
        uniques += field->unique;
        foreigns += field->type == FIELD_FOREIGN;
    }
    table->indexes = calloc(uniques + 1, sizeof(*table->indexes));
    table->parents = calloc(foreigns + 1, sizeof(*table->parents));
    if (!table->layout || !table->indexes || !table->parents)
        return UV_ENOMEM;
    for (const struct field *field = entity->fields; field->name; field++) {
        if (field->unique)
            table->indexes[table->index_count++] =
                (struct table_index){.field = field, .rows.borrows_keys = true};
        if (field->type == FIELD_FOREIGN)
            table->parents[table->parents_count++] =
                (struct table_parents){.field = field, .children.borrows_keys = true};
    }
    if (entity->unique_together)
        table->index_count++;
    return 0;
}

void table_deinit(struct table *table)
{
    void *value;
    for (size_t i = 0; i < table->parents_count; i++) {
        for (size_t at = 0; map_each(&table->parents[i].children, &at, NULL, &value);)
            set_destroy(value);
        map_deinit(&table->parents[i].children);
    }
    for (size_t i = 0; i < table->index_count; i++)
        map_deinit(&table->indexes[i].rows);
    for (size_t at = 0; map_each(&table->rows, &at, NULL, &value);)
        packed_row_unref(value);
    map_deinit(&table->rows);
    for (size_t i = 0; i < TABLE_LOG_ROWS; i++)
        packed_row_unref(table->log[i].row);
    free(table->order.rows);
    free(table->indexes);
    free(table->parents);
    *table = (struct table){0};
}

/* ---- unique values ---- */

char *table_join_unique(const struct entity *entity, const json_t *row)
{
    if (!entity->unique_together)
        return NULL;
    struct buf joined;
    buf_init(&joined, JOINED_MAX_BYTES);
    bool is_whole = true;
    for (const char *const *name = entity->unique_together; *name; name++) {
        const char *text = row_foreign_id(row, *name);
        if (!text)
            text = json_string_value(json_object_get(row, *name));
        if (!text && entity->together_with_nulls)
            text = "";
        /* Lengths keep ("a", "bc") and ("ab", "c") apart. */
        is_whole = is_whole && text && !buf_printf(&joined, "%zu:%s", strlen(text), text);
    }
    char *text = is_whole ? str_dup(buf_str(&joined)) : NULL;
    buf_deinit(&joined);
    return text;
}

/* What is unique by itself is found in the row, which the map borrows; what is so together is made.
 */
static int index_add(struct table *table, struct table_index *index, struct packed_row *row,
                     const json_t *json)
{
    if (index->field) {
        struct str own = packed_row_unique(row, index->field);
        return own.ptr ? map_put(&index->rows, own, row, NULL) : 0;
    }
    char *joined = table_join_unique(table->entity, json);
    int rc = joined ? map_put(&index->rows, str_of(joined), row, NULL) : 0;
    free(joined);
    return rc;
}

static void index_remove(struct table *table, struct table_index *index,
                         const struct packed_row *row, const json_t *json)
{
    char *joined = index->field ? NULL : table_join_unique(table->entity, json);
    struct str key = index->field ? packed_row_unique(row, index->field) : str_of(joined);
    if (key.ptr && map_get(&index->rows, key) == row)
        map_remove(&index->rows, key);
    free(joined);
}

/* ---- parents ---- */

/* With the name by which the map knows them. */
struct children {
    struct row_set set; /* first: a set of children is its struct children */
    char parent_id[];
};

static int parents_add(struct table *table, struct table_parents *parents, struct packed_row *row,
                       const json_t *json)
{
    const char *id = row_foreign_id(json, parents->field->name);
    if (!id)
        return 0;
    struct row_set *set = map_get(&parents->children, str_of(id));
    if (!set) {
        struct children *made = calloc(1, sizeof(*made) + strlen(id) + 1);
        if (!made)
            return UV_ENOMEM;
        strcpy(made->parent_id, id);
        set = &made->set;
        int rc = map_put(&parents->children, str_of(made->parent_id), set, NULL);
        if (rc) {
            free(set);
            return rc;
        }
    }
    return set_add(table, set, row);
}

static void parents_remove(struct table *table, struct table_parents *parents,
                           const struct packed_row *row, const json_t *json)
{
    const char *id = row_foreign_id(json, parents->field->name);
    struct row_set *set = id ? map_get(&parents->children, str_of(id)) : NULL;
    if (!set)
        return;
    set_remove(table, set, row);
    if (set->count == 0) {
        map_remove(&parents->children, str_of(id));
        set_destroy(set);
    }
}

/* ---- rows ---- */

/* Of all tables of the process: a configuration that takes another's place has none of its stamps.
 */
static void stamp(struct table *table)
{
    static _Atomic uint64_t last;
    table->stamp = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

/* The row comes or goes. */
static void note_change(struct table *table, const struct packed_row *row)
{
    struct table_change *oldest = &table->log[table->log_at];
    table->log_at = (table->log_at + 1) % TABLE_LOG_ROWS;
    if (oldest->row)
        table->forgotten = oldest->stamp;
    packed_row_unref(oldest->row);
    stamp(table);
    *oldest = (struct table_change){table->stamp, packed_row_ref(row)};
}

/* Takes the row, of which `json` is the same, out of all sets. */
static void take_out(struct table *table, struct packed_row *row, const json_t *json)
{
    for (size_t i = 0; i < table->index_count; i++)
        index_remove(table, &table->indexes[i], row, json);
    for (size_t i = 0; i < table->parents_count; i++)
        parents_remove(table, &table->parents[i], row, json);
    set_remove(table, &table->order, row);
}

void table_remove(struct table *table, const char *id)
{
    struct packed_row *row = map_remove(&table->rows, str_of(id));
    if (!row)
        return;
    json_t *json = packed_row_unpack(row);
    if (!json)
        abort(); /* no memory for what the store has already: a fresh start reads it again */
    note_change(table, row);
    take_out(table, row, json);
    json_decref(json);
    packed_row_unref(row);
}

/* Takes the row over. */
static int add(struct table *table, struct packed_row *row, const json_t *json)
{
    table_remove(table, packed_row_id(row));
    note_change(table, row);
    int rc = map_put(&table->rows, str_of(packed_row_id(row)), row, NULL);
    if (rc) {
        packed_row_unref(row);
        return rc;
    }
    rc = set_add(table, &table->order, row);
    for (size_t i = 0; rc == 0 && i < table->index_count; i++)
        rc = index_add(table, &table->indexes[i], row, json);
    for (size_t i = 0; rc == 0 && i < table->parents_count; i++)
        rc = parents_add(table, &table->parents[i], row, json);
    return rc;
}

int table_put(struct table *table, const json_t *json)
{
    struct packed_row *row = packed_row_create(table->layout, json);
    return row ? add(table, row, json) : UV_ENOMEM;
}

int table_share(struct table *table, const struct packed_row *row)
{
    json_t *json = packed_row_unpack(row);
    int rc = json ? add(table, packed_row_ref(row), json) : UV_ENOMEM;
    json_decref(json);
    return rc;
}

/* ---- finding ---- */

const struct packed_row *table_get(const struct table *table, struct str id)
{
    return map_get(&table->rows, id);
}

const struct packed_row *table_find(const struct table *table, const struct field *field,
                                    struct str value)
{
    for (size_t i = 0; i < table->index_count; i++)
        if (table->indexes[i].field == field)
            return map_get(&table->indexes[i].rows, value);
    return NULL;
}

const struct row_set *table_children(const struct table *table, const char *field,
                                     const char *parent_id)
{
    for (size_t i = 0; i < table->parents_count; i++)
        if (strcmp(table->parents[i].field->name, field) == 0)
            return map_get(&table->parents[i].children, str_of(parent_id));
    return NULL;
}

size_t table_position_after(const struct table *table, const struct row_set *set, const char *id)
{
    const struct packed_row *row = table_get(table, str_of(id));
    if (!row && table->entity->newest_first)
        return set->count; /* its place went with it */
    size_t at = row ? position_of(table, set, row) : position_of_id(set, id);
    return at < set->count && strcmp(packed_row_id(set->rows[at]), id) == 0 ? at + 1 : at;
}
