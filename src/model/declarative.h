/* declarative.h - a file that says what the configuration is to be, in Kong's format 3.0: YAML or
 * JSON, entities in lists under their names, or nested in what they belong to.
 *
 *     _format_version: "3.0"
 *     services:
 *     - name: orders
 *       url: http://orders.internal
 *       routes:
 *       - paths: [/orders]
 *
 * Read once, and planned as often as needed: into a change of the configuration as it then is, or a
 * list of what is wrong with it. An entity without an id keeps that of the row which has its name
 * (or the like); a new one gets an id that follows from its name, the same as Kong makes of it.
 *
 * Thread: one owner. Memory: the caller owns what it gets. */
#ifndef MODEL_DECLARATIVE_H
#define MODEL_DECLARATIVE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "model/config.h"

#define DECLARATIVE_HASH_BYTES 33 /* 32 hexadecimal digits */

struct declarative;

/* What is wrong with one entity of a file, or with the file itself (no entity then). */
struct declarative_problem {
    unsigned line;               /* 0: not known */
    const struct entity *entity; /* NULL: it is the file's own key, or its text */
    char *where;                 /* owned: 'service "orders"'; NULL: of the file */
    char *sentence;              /* owned */
    json_t *path;                /* owned: ["services", 1, "routes", 1], from 1; empty: the file */
    json_t *fields;              /* owned: as in violation.h */
    json_t *item;                /* owned: the entity as the file has it; NULL: none */
};

struct declarative_problems {
    struct declarative_problem *list; /* owned */
    size_t count;
};
void declarative_problems_deinit(struct declarative_problems *problems);
/* Kong's answer to a file that is wrong: code 14. Owned. `flattened`: with a list of entities and
 * their errors. */
json_t *declarative_problems_to_body(const struct declarative_problems *problems, bool flattened);

/* Reads a file's text. 0; UV_EINVAL with *problems; UV_ENOMEM. */
int declarative_read(const char *text, size_t len, struct declarative **ret,
                     struct declarative_problems *problems);
/* The same of what has been read already, as the body of a request; borrowed. */
int declarative_read_json(const json_t *root, struct declarative **ret,
                          struct declarative_problems *problems);
void declarative_destroy(struct declarative *declarative);

/* What a plan did with the file's entities. */
struct declarative_counts {
    size_t created;
    size_t changed;
    size_t removed;
    size_t unchanged;
};

/* Plans what makes the configuration what the file says. `is_all`: what is not in the file goes;
 * else it stays. *change must be empty. 0 (with nothing planned where there is no difference);
 * UV_EINVAL with *problems, of all entities; UV_ENOMEM. */
int declarative_plan(const struct declarative *declarative, const struct config *config,
                     bool is_all, struct config_change *change, struct declarative_counts *counts,
                     struct declarative_problems *problems);

/* A name for people: 'orders', or the key, or the id of a row. Borrowed from the row. */
const char *declarative_name(const struct entity *entity, const json_t *row);

/* All configuration as such a file would have it, nested, with ids and times. Owned; NULL: no
 * memory. */
json_t *declarative_export(const struct config *config);
/* The same without secrets (mask.h): to be looked at, not to be imported. */
json_t *declarative_export_masked(const struct config *config);
/* As YAML text; owned, NULL: no memory. */
char *declarative_to_yaml(const json_t *file);

/* Of what a node was told to be; zeros for nothing. */
void declarative_hash(const char *text, size_t len, char hash[DECLARATIVE_HASH_BYTES]);

/* The id that Kong makes of an entity's kind and key (UUID version 5). */
void declarative_make_id(const char *kind, const char *key, char id[37]);

#endif
