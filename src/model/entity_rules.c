#include "model/entity_rules.h"

#include <stdio.h>
#include <string.h>

#define LIST_BYTES 512

static bool is_null(const json_t *value)
{
    return !value || json_is_null(value);
}

static bool is_empty(const json_t *value)
{
    return is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

const json_t *rules_value(const json_t *object, const char *path)
{
    const char *dot;
    while ((dot = strchr(path, '.'))) {
        object = json_object_getn(object, path, (size_t)(dot - path));
        path = dot + 1;
    }
    return json_object_get(object, path);
}

void rules_add(json_t **errors, const char *path, json_t *text)
{
    if (!*errors)
        *errors = json_object();
    json_t *at = *errors;
    const char *dot;
    while ((dot = strchr(path, '.'))) {
        size_t len = (size_t)(dot - path);
        json_t *next = json_object_getn(at, path, len);
        if (!json_is_object(next)) {
            json_object_setn_new(at, path, len, json_object());
            next = json_object_getn(at, path, len);
        }
        at = next;
        path = dot + 1;
    }
    json_object_set_new(at, path, text);
}

void rules_add_entity(json_t **errors, json_t *text)
{
    if (!*errors)
        *errors = json_object();
    json_t *list = json_object_get(*errors, "@entity");
    if (!list) {
        list = json_array();
        json_object_set_new(*errors, "@entity", list);
    }
    json_array_append_new(list, text);
}

/* 'a', 'b' */
static void list_fields(const char *const *fields, char list[LIST_BYTES])
{
    size_t at = 0;
    list[0] = '\0';
    for (size_t i = 0; fields[i] && at < LIST_BYTES; i++)
        at += (size_t)snprintf(list + at, LIST_BYTES - at, "%s'%s'", i ? ", " : "", fields[i]);
}

static bool any_wrong(const char *const *fields, const json_t *errors)
{
    for (; errors && *fields; fields++)
        if (rules_value(errors, *fields))
            return true;
    return false;
}

static void check_count(const struct entity_rule *rule, const json_t *object,
                        enum entity_operation operation, json_t **errors)
{
    size_t count = 0;
    size_t total = 0;
    for (; rule->fields[total]; total++)
        count += !is_empty(rules_value(object, rule->fields[total]));
    const char *sentence = NULL;
    if (rule->kind == RULE_AT_LEAST_ONE && count == 0)
        sentence = "at least one of these fields must be non-empty";
    else if (rule->kind == RULE_EXACTLY_ONE && count != 1)
        sentence = "exactly one of these fields must be non-empty";
    else if (rule->kind == RULE_AT_MOST_ONE && count > 1)
        sentence = "only one or none of these fields must be set";
    else if (rule->kind == RULE_ALL_OR_NONE && count > 0 && count < total)
        sentence = "all or none of these fields must be set";
    if (!sentence)
        return;
    char list[LIST_BYTES];
    list_fields(rule->fields, list);
    bool says_when = operation == ENTITY_UPDATE && rule->kind == RULE_AT_LEAST_ONE;
    rules_add_entity(
        errors, violation_text("%s%s: %s", says_when ? "when updating, " : "", sentence, list));
}

static void check_distinct(const struct entity_rule *rule, const json_t *object, json_t **errors)
{
    for (size_t i = 0; rule->fields[i]; i++)
        for (size_t j = 0; j < i; j++) {
            const json_t *value = rules_value(object, rule->fields[i]);
            if (is_empty(value) || !json_equal(value, rules_value(object, rule->fields[j])))
                continue;
            char list[LIST_BYTES];
            list_fields(rule->fields, list);
            rules_add_entity(errors,
                             violation_text("values of these fields must be distinct: %s", list));
            return;
        }
}

static bool equals(const json_t *value, const char *text)
{
    json_t *wanted = json_loads(text, JSON_DECODE_ANY, NULL);
    bool same = is_null(value) ? json_is_null(wanted) : json_equal(value, wanted);
    json_decref(wanted);
    return same;
}

static bool is_among(const json_t *value, const char *const *names)
{
    for (; json_is_string(value) && *names; names++)
        if (strcmp(*names, json_string_value(value)) == 0)
            return true;
    return false;
}

static bool holds(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *element = json_string_value(json_array_get(list, i));
        if (element && strcmp(element, text) == 0)
            return true;
    }
    return false;
}

static json_t *list_of(const char *const *names)
{
    char list[LIST_BYTES];
    size_t at = 0;
    for (size_t i = 0; names[i] && at < LIST_BYTES; i++)
        at += (size_t)snprintf(list + at, LIST_BYTES - at, "%s%s", i ? ", " : "", names[i]);
    return violation_text("expected one of: %s", list);
}

/* Why the value doesn't match, owned; NULL: it does. */
static json_t *mismatch(const struct rule_match *match, const json_t *value)
{
    if (match->required && is_null(value))
        return violation_text("required field missing");
    if (match->eq && !equals(value, match->eq))
        return violation_text("value must be %s", match->eq);
    if (match->ne && equals(value, match->ne))
        return violation_text("value must not be %s", match->ne);
    if (match->one_of && !is_null(value) && !is_among(value, match->one_of))
        return list_of(match->one_of);
    if (match->contains && !holds(value, match->contains))
        return violation_text("expected to contain: %s", match->contains);
    if (match->has_more_than && !(json_number_value(value) > match->more_than))
        return violation_text("value must be greater than %.0f", match->more_than);
    if (match->less_than > 0 && !(json_number_value(value) < match->less_than))
        return violation_text("value must be less than %.0f", match->less_than);
    if (match->len_min > 0 && json_array_size(value) < match->len_min)
        return violation_text("length must be at least %zu", match->len_min);
    char message[LIST_BYTES] = "";
    if (match->check && !is_null(value) && !match->check(value, message, sizeof(message)))
        return violation_text("%s", message);
    return NULL;
}

static bool matches(const struct rule_match *match, const json_t *value)
{
    if (match->one_of && is_null(value))
        return false;
    json_t *why = mismatch(match, value);
    json_decref(why);
    return !why;
}

static void check_conditional(const struct entity_rule *rule, const json_t *object, json_t **errors)
{
    if (*errors && rules_value(*errors, rule->if_field))
        return;
    if (!matches(&rule->if_match, rules_value(object, rule->if_field)))
        return;
    if (rule->kind == RULE_CONDITIONAL_AT_LEAST_ONE) {
        for (const char *const *field = rule->fields; *field; field++)
            if (!is_empty(rules_value(object, *field)))
                return;
        char list[LIST_BYTES];
        list_fields(rule->fields, list);
        rules_add_entity(
            errors,
            rule->sentence
                ? violation_text("%s", rule->sentence)
                : violation_text("at least one of these fields must be non-empty: %s", list));
        return;
    }
    json_t *why = mismatch(&rule->then_match, rules_value(object, rule->then_field));
    if (!why)
        return;
    rules_add(errors, rule->then_field, why);
    rules_add_entity(errors,
                     rule->sentence
                         ? violation_text("%s", rule->sentence)
                         : violation_text("failed conditional validation given value of field '%s'",
                                          rule->if_field));
}

void rules_check(const struct entity_rule *rules, const json_t *object,
                 enum entity_operation operation, json_t **errors)
{
    for (const struct entity_rule *rule = rules; rule && rule->kind; rule++) {
        if (rule->fields && any_wrong(rule->fields, *errors))
            continue;
        switch (rule->kind) {
        case RULE_DISTINCT:
            check_distinct(rule, object, errors);
            break;
        case RULE_CONDITIONAL:
        case RULE_CONDITIONAL_AT_LEAST_ONE:
            check_conditional(rule, object, errors);
            break;
        case RULE_CUSTOM:
            rule->custom(object, operation, errors);
            break;
        default:
            check_count(rule, object, operation, errors);
            break;
        }
    }
}

/* ---- as schemas show them ---- */

static json_t *names_to_json(const char *const *names)
{
    json_t *list = json_array();
    for (; names && *names; names++)
        json_array_append_new(list, json_string(*names));
    return list;
}

static json_t *match_to_json(const struct rule_match *match)
{
    json_t *out = json_object();
    if (match->required)
        json_object_set_new(out, "required", json_true());
    if (match->eq)
        json_object_set_new(out, "eq", json_loads(match->eq, JSON_DECODE_ANY, NULL));
    if (match->ne)
        json_object_set_new(out, "ne", json_loads(match->ne, JSON_DECODE_ANY, NULL));
    if (match->one_of)
        json_object_set_new(out, "one_of", names_to_json(match->one_of));
    if (match->has_more_than)
        json_object_set_new(out, "gt", json_real(match->more_than));
    if (match->contains)
        json_object_set_new(out, "contains", json_string(match->contains));
    if (match->len_min)
        json_object_set_new(out, "len_min", json_integer((json_int_t)match->len_min));
    return out;
}

json_t *rules_to_schema(const struct entity_rule *rules)
{
    static const char *const names[] = {
        [RULE_AT_LEAST_ONE] = "at_least_one_of",
        [RULE_EXACTLY_ONE] = "only_one_of",
        [RULE_AT_MOST_ONE] = "mutually_exclusive",
        [RULE_ALL_OR_NONE] = "mutually_required",
        [RULE_DISTINCT] = "distinct",
        [RULE_CONDITIONAL] = "conditional",
        [RULE_CONDITIONAL_AT_LEAST_ONE] = "conditional_at_least_one_of",
        [RULE_CUSTOM] = "custom_entity_check",
    };
    json_t *list = json_array();
    for (const struct entity_rule *rule = rules; rule && rule->kind; rule++) {
        json_t *what = NULL;
        if (rule->kind == RULE_CONDITIONAL)
            what = json_pack("{s:s, s:o, s:s, s:o}", "if_field", rule->if_field, "if_match",
                             match_to_json(&rule->if_match), "then_field", rule->then_field,
                             "then_match", match_to_json(&rule->then_match));
        else if (rule->kind == RULE_CONDITIONAL_AT_LEAST_ONE)
            what = json_pack("{s:s, s:o, s:o}", "if_field", rule->if_field, "if_match",
                             match_to_json(&rule->if_match), "then_at_least_one_of",
                             names_to_json(rule->fields));
        else if (rule->kind == RULE_CUSTOM)
            what = json_pack("{s:o}", "field_sources", names_to_json(rule->fields));
        else
            what = names_to_json(rule->fields);
        json_array_append_new(list, json_pack("{s:o}", names[rule->kind], what));
    }
    return list;
}
