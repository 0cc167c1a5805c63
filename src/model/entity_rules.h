/* entity_rules.h - what holds between the fields of an entity or a record, as tables: one of these
 * must be set, that one depends on this one.
 *
 * Kong's entity checks, in its words and its order; /schemas lists them. A field is named by its
 * path from where the rule stands ("config.allow").
 *
 * Thread: control (tables are constant). */
#ifndef MODEL_ENTITY_RULES_H
#define MODEL_ENTITY_RULES_H

#include "model/entity.h"

enum rule_kind {
    RULE_END = 0,
    RULE_AT_LEAST_ONE, /* of `fields` is not empty */
    RULE_EXACTLY_ONE,
    RULE_AT_MOST_ONE,
    RULE_ALL_OR_NONE,
    RULE_DISTINCT,    /* values of `fields`, where set */
    RULE_CONDITIONAL, /* where if_field matches, then_field must */
    RULE_CONDITIONAL_AT_LEAST_ONE,
    RULE_CUSTOM,
};

/* All that is set must be met. Texts are JSON: "null", "true", "\"redis\"", "-1". */
struct rule_match {
    const char *eq;
    const char *ne;
    const char *const *one_of;
    const char *contains; /* a text that the array holds */
    bool required;        /* not null */
    bool has_more_than;
    double more_than;
    double less_than; /* 0: no limit */
    size_t len_min;
    field_check_cb check; /* of a value that is there */
};

struct entity_rule {
    enum rule_kind kind;
    const char *const *fields; /* NULL-terminated */
    const char *if_field;
    struct rule_match if_match;
    const char *then_field;
    struct rule_match then_match;
    const char *sentence; /* of a failed condition, in place of Kong's own; NULL: that */
    /* RULE_CUSTOM: adds to *errors by rules_add and rules_add_entity. */
    void (*custom)(const json_t *object, enum entity_operation operation, json_t **errors);
};

/* Adds what is wrong with a complete object to *errors (owned; NULL: nothing yet), which has a
 * message or a tree a field, and "@entity". A rule about a field that is wrong by itself says
 * nothing. */
void rules_check(const struct entity_rule *rules, const json_t *object,
                 enum entity_operation operation, json_t **errors);

/* A field's message, in place of what it had; the path may be dotted. Takes `text` over. */
void rules_add(json_t **errors, const char *path, json_t *text);
void rules_add_entity(json_t **errors, json_t *text);
/* The value at a path, borrowed; NULL: not there. */
const json_t *rules_value(const json_t *object, const char *path);

/* As /schemas shows them; owned. */
json_t *rules_to_schema(const struct entity_rule *rules);

#endif
