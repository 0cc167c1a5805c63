#include "model/declarative_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#define MAX_PROBLEMS 1000 /* nobody reads more */

const char *declarative_name(const struct entity *entity, const json_t *row)
{
    const char *const fields[] = {"name", "instance_name", entity->endpoint_key,
                                  entity->searched_by, "id"};
    /* A credential's key is a secret, and no name. */
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const struct field *field = fields[i] ? entity_field(entity, str_of(fields[i])) : NULL;
        bool is_secret = field && (field->encrypted || field->made);
        const char *text =
            field && !is_secret ? json_string_value(json_object_get(row, fields[i])) : NULL;
        if (text && text[0])
            return text;
    }
    return NULL;
}

/* 'services "orders"', or 'services #2'. */
static char *where_of(const struct declarative_item *item)
{
    char *text = NULL;
    const char *name = declarative_name(item->entity, item->source);
    json_int_t number =
        json_integer_value(json_array_get(item->path, json_array_size(item->path) - 1));
    int len = name ? asprintf(&text, "%s \"%s\"", item->entity->name, name)
                   : asprintf(&text, "%s #%lld", item->entity->name, (long long)number);
    return len < 0 ? NULL : text;
}

int declarative_add_problem(struct declarative_problems *problems, unsigned line,
                            const struct declarative_item *item, json_t *fields,
                            const char *sentence)
{
    if (problems->count == MAX_PROBLEMS) {
        json_decref(fields);
        return 0;
    }
    struct declarative_problem *list =
        realloc(problems->list, (problems->count + 1) * sizeof(*list));
    if (!list) {
        json_decref(fields);
        return UV_ENOMEM;
    }
    problems->list = list;
    list[problems->count++] = (struct declarative_problem){
        .line = line,
        .entity = item ? item->entity : NULL,
        .where = item ? where_of(item) : NULL,
        .sentence = strdup(sentence),
        .path = item ? json_incref(item->path) : json_array(),
        .fields = fields ? fields : json_object(),
        .item = item ? json_incref(item->source) : NULL,
    };
    return 0;
}

void declarative_problems_deinit(struct declarative_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct declarative_problem *problem = &problems->list[i];
        free(problem->where);
        free(problem->sentence);
        json_decref(problem->path);
        json_decref(problem->fields);
        json_decref(problem->item);
    }
    free(problems->list);
    *problems = (struct declarative_problems){0};
}

/* ---- Kong's answer ---- */

/* The object at {"services": [null, {"routes": [{…}]}]}, made on the way; borrowed. */
static json_t *object_at(json_t *tree, const json_t *path)
{
    for (size_t i = 0; i + 1 < json_array_size(path); i += 2) {
        const char *kind = json_string_value(json_array_get(path, i));
        size_t at = (size_t)json_integer_value(json_array_get(path, i + 1)) - 1;
        json_t *list = json_object_get(tree, kind);
        if (!json_is_array(list)) {
            json_object_set_new_nocheck(tree, kind, json_array());
            list = json_object_get(tree, kind);
        }
        while (json_array_size(list) <= at)
            json_array_append_new(list, json_null());
        if (!json_is_object(json_array_get(list, at)))
            json_array_set_new(list, at, json_object());
        tree = json_array_get(list, at);
    }
    return tree;
}

/* Kong's word for one of them. */
static json_t *singular(const struct entity *entity)
{
    size_t len = strlen(entity->name);
    return json_stringn(entity->name, len > 0 && entity->name[len - 1] == 's' ? len - 1 : len);
}

static void flatten_fields(json_t *list, const char *prefix, const json_t *errors)
{
    const char *key;
    json_t *error;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)errors, key, error)
    {
        char *path = NULL;
        if (asprintf(&path, "%s%s%s", prefix, prefix[0] ? "." : "", key) < 0)
            return;
        if (strcmp(key, "@entity") == 0) {
            json_t *message;
            json_array_foreach(error, i, message) json_array_append_new(
                list, json_pack("{s:s, s:O}", "type", "entity", "message", message));
        } else if (json_is_string(error)) {
            json_array_append_new(list, json_pack("{s:s, s:s, s:O}", "type", "field", "field", path,
                                                  "message", error));
        } else if (json_is_object(error)) {
            flatten_fields(list, path, error);
        } else {
            json_t *element;
            json_array_foreach(error, i, element)
            {
                char *at = NULL;
                if (json_is_null(element) || asprintf(&at, "%s.%zu", path, i + 1) < 0)
                    continue;
                if (json_is_object(element))
                    flatten_fields(list, at, element);
                else
                    json_array_append_new(list, json_pack("{s:s, s:s, s:O}", "type", "field",
                                                          "field", at, "message", element));
                free(at);
            }
        }
        free(path);
    }
}

static json_t *flattened_of(const struct declarative_problem *problem)
{
    json_t *entry = json_object(), *errors = json_array();
    static const char *const copied[][2] = {
        {"entity_name", "name"}, {"entity_id", "id"}, {"entity_tags", "tags"}};
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        json_t *value = json_object_get(problem->item, copied[i][1]);
        if (value)
            json_object_set(entry, copied[i][0], value);
    }
    json_object_set_new(entry, "entity_type", singular(problem->entity));
    json_object_set(entry, "entity", problem->item);
    flatten_fields(errors, "", problem->fields);
    json_object_set_new(entry, "errors", errors);
    return entry;
}

json_t *declarative_problems_to_body(const struct declarative_problems *problems, bool flattened)
{
    json_t *tree = json_object(), *flat = json_array(), *remaining = json_object();
    for (size_t i = 0; i < problems->count; i++) {
        const struct declarative_problem *problem = &problems->list[i];
        json_object_update_missing(object_at(tree, problem->path), problem->fields);
        if (problem->entity)
            json_array_append_new(flat, flattened_of(problem));
        else
            json_object_update_missing(remaining, problem->fields);
    }
    char *dump = violation_dump(tree);
    json_t *body =
        json_pack("{s:i, s:s, s:o}", "code", 14, "name", "invalid declarative configuration",
                  "message", violation_text("declarative config is invalid: %s", dump ? dump : ""));
    free(dump);
    json_object_set(body, "fields", flattened ? remaining : tree);
    if (flattened)
        json_object_set(body, "flattened_errors", flat);
    json_decref(tree);
    json_decref(flat);
    json_decref(remaining);
    return body;
}
