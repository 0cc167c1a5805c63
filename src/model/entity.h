/* entity.h - what an entity's fields are: one table a noun, and everything follows from it:
 * validation, defaults, JSON, forms, /schemas and the Admin API's paths.
 *
 * Thread: control (tables are constant). Memory: JSON values are jansson's, reference-counted. */
#ifndef MODEL_ENTITY_H
#define MODEL_ENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/str.h"
#include "model/violation.h"

enum field_type {
    FIELD_STRING,
    FIELD_INTEGER,
    FIELD_NUMBER,
    FIELD_BOOLEAN,
    FIELD_ARRAY,
    FIELD_SET,
    FIELD_MAP,
    FIELD_RECORD,
    FIELD_FOREIGN,
};

struct field;
struct entity;
struct config;
struct config_change;
struct entity_rule;
struct shorthand;
/* A check of its own, after all others: fills `message` (size bytes, for a string at least three
 * times its length and then some) and returns false when the value is bad. The value is of the
 * field's type. */
typedef bool (*field_check_cb)(const json_t *value, char *message, size_t size);
/* May replace a value that has passed its checks (a target's port appended): *value is owned. 0 or
 * UV_ENOMEM. */
typedef int (*field_normalise_cb)(json_t **value);

struct field {
    const char *name;
    enum field_type type;
    bool required; /* null is refused; where absent, the default stands in */
    bool unique;
    bool automatic; /* id, created_at, updated_at */
    bool uuid;
    bool immutable;
    bool hidden_when_null; /* our own extra fields: absent from bodies unless set */
    bool timestamp;        /* a number above 0 */
    bool has_between;
    double min, max;
    size_t len_min, len_max; /* 0: no limit; of strings and collections */
    bool has_more_than;
    double more_than;
    bool may_be_empty;  /* of FIELD_STRING: "" is a value */
    bool made;          /* of FIELD_STRING: where absent, a random text is made */
    bool null_only;     /* any value is refused: a plugin that can't be a consumer's */
    bool referenceable; /* the text may be a {vault://…} reference */
    bool encrypted;     /* Kong's word for what is secret; in schemas */
    bool internal;      /* ours, in the row alone: never in bodies, in schemas, or from a request */
    bool has_no_path;   /* of FIELD_FOREIGN: no /E/{E}/F in the Admin API */
    bool expanded; /* of FIELD_RECORD: always there; unset or null, it has its fields' defaults */
    const char *default_json;       /* "5", "[\"http\",\"https\"]"; NULL: null */
    const char *const *one_of;      /* NULL-terminated strings */
    const char *const *not_one_of;  /* likewise */
    const int64_t *one_of_integers; /* 0-terminated */
    const char *reference; /* FIELD_FOREIGN: entity name; FIELD_ARRAY: of those its elements are ids
                              of, which is looked at when one of them is to be removed */
    bool cascade; /* FIELD_FOREIGN: goes with its parent (else deleting the parent is refused) */
    const struct field *elements; /* of FIELD_ARRAY, FIELD_SET */
    const struct field *keys;     /* of FIELD_MAP */
    const struct field *values;
    const struct field *fields; /* of FIELD_RECORD; ends with a NULL name */
    /* Of FIELD_RECORD: NULL-terminated names, of which one at least must be set. */
    const char *const *at_least_one_of;
    const struct entity_rule *rules;    /* of FIELD_RECORD; NULL: none */
    const struct shorthand *shorthands; /* of FIELD_RECORD; NULL: none */
    field_check_cb check;
    field_normalise_cb normalise;
    const char *description;
};

enum entity_operation { ENTITY_INSERT, ENTITY_REPLACE, ENTITY_UPDATE };

/* Entities whose further fields depend on one of them: a plugin's config on its name. */
struct entity_variants {
    const char *key; /* the field that says which */
    const struct entity *(*find)(struct str name);
    const char *(*name_at)(size_t i); /* of all that there are; NULL behind the last */
    const char *unknown[2]; /* what stands before and behind a name that there is no variant of */
};

struct entity {
    const char *name;         /* "services": in messages, schemas and the store */
    const char *path;         /* first path segment in the Admin API; NULL: only nested (targets) */
    const char *nested_under; /* the foreign field whose parent's path leads here ("upstream"), for
                                 targets */
    const char *nested_path;  /* the segment behind a parent's key; NULL: path, or name */
    const char
        *endpoint_key; /* "name": what a path segment that is no UUID is looked up by; NULL: none */
    const char *searched_by; /* a unique field that a list may be asked by; NULL: none */
    const char *const
        *unique_together;     /* NULL-terminated field names, for targets (upstream, target) */
    bool together_with_nulls; /* there may be one row with null, too: plugins */
    const struct entity_variants *variants; /* NULL: all rows have the same fields */
    const struct entity_rule *rules;        /* NULL: none */
    /* An entity whose rows refer here and which bodies show and set by their keys, under its name:
     * a certificate's "snis". A path's segment may be such a key, too. NULL: none. */
    const char *listed;
    const char *missing;        /* what a 404 of a row says in place of Kong's usual words */
    const struct field *fields; /* in schema order; ends with a NULL name */
    /* Before validation: shorthands (url) and side effects (hash_on); changes `input` in place.
     * What it adds to violation ends the matter. */
    void (*prepare)(json_t *input, enum entity_operation operation, struct violation *violation);
    /* Before the fields' own checks, of the complete row: what is wrong with a field for a reason
     * that outweighs its own checks. False: nothing else is to be validated. */
    bool (*precheck)(const json_t *row, struct violation *violation);
    /* After the fields' own checks: the entity's rules. `row` is complete. Adds to violation. */
    void (*check)(const json_t *row, const json_t *input, enum entity_operation operation,
                  struct violation *violation);
    /* Of a row that is valid by itself, among the others as they will be after `change`. */
    void (*check_among)(const struct config *config, const struct config_change *change,
                        const json_t *row, struct violation *violation);
    /* Last of all, of a row that is valid: changes it in place. NULL: nothing to do. */
    void (*finish)(json_t *row);
    /* Likewise, with what the request brought: what is made of a value rather than stored. False:
     * not possible, *violation says why. NULL: nothing to do. */
    bool (*derive)(json_t *row, const json_t *input, struct violation *violation);
    /* Changes a body that is about to be shown. NULL: nothing to do. */
    void (*show)(const json_t *row, json_t *body);
    bool is_internal;     /* no noun of the Admin API: no paths, no schema */
    bool is_unexported;   /* in no declarative file */
    bool is_uncompiled;   /* no snapshot is another for its rows */
    bool has_ttl;         /* a row whose internal expires_at (Unix seconds) has come is gone */
    bool replace_only;    /* PUT does not create: targets */
    bool newest_first;    /* order of lists: targets */
    bool fine_timestamps; /* created_at and updated_at with milliseconds: targets */
};

/* How bodies with rows are dumped: fine timestamps keep their milliseconds, and no noise after. */
#define ENTITY_DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))

/* Our entities, in order of dependence; ends with NULL. */
extern const struct entity *const entities[];
const struct entity *entity_find(struct str name);
const struct field *entity_field(const struct entity *entity, struct str name);

/* Makes a complete row of `input` (a JSON object, borrowed). INSERT and REPLACE: unset fields get
 * their defaults, id and timestamps are filled in (`id` NULL: a new one). UPDATE: input merges into
 * `current` (records deep, collections whole). Returns 0 and an owned row, or UV_EINVAL with
 * *violation filled (code 2), or UV_ENOMEM. */
int entity_make_row(const struct entity *entity, const json_t *input,
                    enum entity_operation operation, const json_t *current, const char *id,
                    json_t **ret, struct violation *violation);

/* Turns what came from a form (all strings) into what the schema says: numbers, booleans (exactly
 * true, false), lone values into lists, "" into null. In place; what does not fit stays and fails
 * validation. `current` (NULL: none) is the row that the input will change. */
void entity_coerce(const struct entity *entity, json_t *input, const json_t *current);

/* The entity with all fields that this row or input has: itself where it has no variants; NULL
 * where the name is missing or unknown. `other` (NULL: none) is looked at where `row` says none. */
const struct entity *entity_variant(const struct entity *entity, const json_t *row,
                                    const json_t *other);

/* Fills what a stored row lacks (a field that is younger than the row) with its default. An owned
 * row; NULL: no memory. */
json_t *entity_complete_row(const struct entity *entity, const json_t *stored);

/* Whether a complete row, as a store has it, holds what a request might write today: somebody may
 * have edited it by hand, or its rules have changed. Fills *violation where not. */
bool entity_check_row(const struct entity *entity, const json_t *row, struct violation *violation);

/* Whether `key` may be the value of the entity's endpoint key; `message` as in field_check_cb. */
bool entity_check_key(const struct entity *entity, struct str key, char *message, size_t size);
/* 32 random letters and digits; NULL: no memory. */
json_t *entity_make_text(void);

/* What stands for the entity behind a parent's key in paths. */
const char *entity_nested_path(const struct entity *entity);
/* 8-4-4-4-12 hexadecimal digits, in any case. */
bool entity_is_uuid(struct str text);

/* Whether the row's time has come (has_ttl): it counts as gone, wherever it still is. */
bool entity_is_over(const struct entity *entity, const json_t *row);
/* The same of that field; NULL is never. */
bool entity_is_past(const json_t *expires_at);

/* The row as bodies show it: every field in schema order, hidden ones left out. Owned. */
json_t *entity_to_body(const struct entity *entity, const json_t *row);

#endif
