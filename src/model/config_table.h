/* config_table.h - one entity's rows in memory and the ways to find them: by id, by unique value,
 * by parent, and in list order. config.c's and config_plan.c's own.
 *
 * Thread: control. Memory: a table holds a reference to each row. */
#ifndef MODEL_CONFIG_TABLE_H
#define MODEL_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "model/entity.h"
#include "model/packed_row.h"

/* Rows in list order. */
struct row_set {
    struct packed_row **rows; /* borrowed from their table */
    size_t count;
    size_t capacity;
    uint64_t stamp; /* the table's, when one of them came or went */
};

struct table_index {
    const struct field *field; /* NULL: the fields that are unique together */
    struct map rows;           /* a unique value → its row */
};

struct table_parents {
    const struct field *field;
    struct map children; /* a parent's id → struct row_set */
};

/* Rows that came or went lately, so that what is made of a table can be made of what has changed.
 */
#define TABLE_LOG_ROWS 128

struct table_change {
    uint64_t stamp;
    struct packed_row *row; /* a reference */
};

struct table {
    const struct entity *entity;
    const struct row_layout *layout;
    struct map rows; /* a reference to each */
    struct row_set order;
    struct table_index *indexes;
    size_t index_count;
    struct table_parents *parents; /* one a foreign field */
    size_t parents_count;
    uint64_t stamp; /* another one after each change; 0: it has always been empty */
    struct table_change log[TABLE_LOG_ROWS]; /* a ring; NULL rows: not used yet */
    size_t log_at;                           /* the oldest one */
    uint64_t forgotten;                      /* the stamp of the last one that fell out */
};

/* The image: a table an entity, in the order of entities[]. */
struct config {
    struct table *tables;
    size_t count;
    struct lending *lending; /* owned: rows as JSON, while they are looked at */
};

struct table *config_table(const struct config *config, const struct entity *entity);

int table_init(struct table *table, const struct entity *entity);
void table_deinit(struct table *table);
/* Packs the row, which takes the place of the one with its id. 0 or UV_ENOMEM (then the table is of
 * no use any more). */
int table_put(struct table *table, const json_t *json);
/* The same of a row that is packed already, in this table or another one; takes a reference. */
int table_share(struct table *table, const struct packed_row *row);
void table_remove(struct table *table, const char *id);

const struct packed_row *table_get(const struct table *table, struct str id);
/* By the value of a unique field, or (field NULL) by table_join_unique's text. */
const struct packed_row *table_find(const struct table *table, const struct field *field,
                                    struct str value);
/* The values of the fields that are unique together as one text, of a row; owned. NULL: one is
 * null, there are none such fields, or no memory. */
char *table_join_unique(const struct entity *entity, const json_t *row);
/* NULL: none. */
const struct row_set *table_children(const struct table *table, const char *field,
                                     const char *parent_id);
/* Where in `set` the rows behind that id begin; that row itself may have gone. */
size_t table_position_after(const struct table *table, const struct row_set *set, const char *id);

/* The id that a row's foreign field holds, or NULL. */
const char *row_foreign_id(const json_t *row, const char *field);

#endif
