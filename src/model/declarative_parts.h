/* declarative_parts.h - what declarative.h's files share.
 *
 * Thread: one owner. */
#ifndef MODEL_DECLARATIVE_PARTS_H
#define MODEL_DECLARATIVE_PARTS_H

#include "model/declarative.h"
#include "model/yaml_read.h"

/* One entity of the file. */
struct declarative_item {
    const struct entity *entity;
    json_t *source;      /* borrowed: where it stands in the file */
    json_t *input;       /* owned: without children and what is the file's own */
    size_t parent;       /* index + 1 of the item that it is nested in; 0: none */
    const char *foreign; /* the field that refers to the parent */
    json_t *path;        /* owned */
};

struct declarative {
    json_t *root; /* referenced */
    struct yaml_places places;
    bool transforms; /* secrets are as people write them; else as they are stored */
    bool is_before_3;
    struct declarative_item *items; /* parents before their children, by kind */
    size_t count;
};

/* Splits the root into items. 0, UV_EINVAL with problems, or UV_ENOMEM. */
int declarative_split(struct declarative *declarative, struct declarative_problems *problems);

/* Adds a problem of the file itself (item NULL) or of an item. `fields` passes. */
int declarative_add_problem(struct declarative_problems *problems, unsigned line,
                            const struct declarative_item *item, json_t *fields,
                            const char *sentence);

/* The id of an item that the file gives none and no row has; `input` has its foreign keys as ids.
 * `number` tells items apart that say the same, from 0. */
void declarative_item_id(const struct declarative_item *item, const json_t *input, unsigned number,
                         char id[37]);

/* The field of `child` by which its rows are nested in those of `parent`; NULL: they can't be. */
const struct field *declarative_nesting_field(const struct entity *parent,
                                              const struct entity *child);

#endif
