/* declarative_read.c - from a file's text to its entities, each by itself. */
#include "model/declarative_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#define MAX_ITEMS 1000000
#define OURS "_weir" /* what Kong has no word for */

struct split {
    struct declarative *file;
    struct declarative_problems *problems;
    size_t capacity;
    int rc; /* UV_ENOMEM, or what the problems make of it */
};

static void note(struct split *split, int rc)
{
    if (split->rc == 0 && rc)
        split->rc = rc;
}

/* A problem with one key of the file, or of an item. */
static void complain(struct split *split, const json_t *container, const char *key,
                     const struct declarative_item *item, const char *message)
{
    char sentence[512];
    unsigned line = yaml_line(&split->file->places, container, key);
    if (!line)
        line = yaml_line(&split->file->places, container, NULL);
    snprintf(sentence, sizeof(sentence), "%s: %s", key, message);
    note(split, declarative_add_problem(split->problems, line, item,
                                        json_pack("{s:s}", key, message), sentence));
}

const struct field *declarative_nesting_field(const struct entity *parent,
                                              const struct entity *child)
{
    if (child->is_internal)
        return NULL;
    for (const struct field *field = child->fields; field->name; field++)
        if (field->type == FIELD_FOREIGN && strcmp(field->reference, parent->name) == 0)
            return field;
    return NULL;
}

/* ---- items ---- */

static void split_list(struct split *split, const json_t *container, const char *key, json_t *list,
                       const struct entity *entity, size_t parent, const char *foreign,
                       const json_t *path);

static struct declarative_item *add_item(struct split *split)
{
    struct declarative *file = split->file;
    if (file->count == MAX_ITEMS) {
        complain(split, file->root, "_format_version", NULL, "the file has too many entities");
        note(split, UV_EINVAL);
        return NULL;
    }
    if (file->count == split->capacity) {
        size_t capacity = split->capacity ? split->capacity * 2 : 64;
        struct declarative_item *items = realloc(file->items, capacity * sizeof(*items));
        if (!items) {
            note(split, UV_ENOMEM);
            return NULL;
        }
        file->items = items;
        split->capacity = capacity;
    }
    return &file->items[file->count++];
}

/* The kind of entities that the item's key nests; NULL: it is a field of its own, or unknown. */
static const struct entity *nested_kind(const struct entity *entity, const char *key,
                                        const struct field **ret_foreign)
{
    const struct entity *child = entity_find(str_of(key));
    *ret_foreign = child ? declarative_nesting_field(entity, child) : NULL;
    return *ret_foreign ? child : NULL;
}

/* Paths of before 3.0 that are regular expressions don't say so. */
static void mark_regexes(json_t *input)
{
    static const char literal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._~/%";
    json_t *paths = json_object_get(input, "paths");
    size_t i;
    json_t *path;
    json_array_foreach(paths, i, path)
    {
        const char *text = json_string_value(path);
        if (text && text[0] == '/' && text[strspn(text, literal)])
            json_array_set_new(paths, i, json_sprintf("~%s", text));
    }
}

/* decK's: what several plugins share. */
static void use_plugin_config(struct split *split, const struct declarative_item *item,
                              json_t *input)
{
    const json_t *wanted = json_object_get(input, "_config");
    if (!wanted)
        return;
    const json_t *all = json_object_get(split->file->root, "_plugin_configs");
    const char *name = json_string_value(wanted);
    json_t *shared = name ? json_object_get(all, name) : NULL;
    if (json_is_object(shared)) {
        json_t *config = json_deep_copy(json_object_get(input, "config"));
        if (!json_is_object(config)) {
            json_decref(config);
            config = json_object();
        }
        json_object_update_missing(config, shared);
        json_object_set_new(input, "config", config);
    } else {
        complain(split, item->source, "_config", item, "names none of _plugin_configs");
    }
    json_object_del(input, "_config");
}

/* decK's: tags that all entities of the file have. */
static void add_select_tags(const struct declarative *file, const struct entity *entity,
                            json_t *input)
{
    const json_t *info = json_object_get(file->root, "_info");
    const json_t *wanted = json_object_get(info, "select_tags");
    if (json_array_size(wanted) == 0 || !entity_field(entity, STR("tags")))
        return;
    json_t *tags = json_deep_copy(json_object_get(input, "tags"));
    if (!json_is_array(tags)) {
        json_decref(tags);
        tags = json_array();
    }
    json_array_extend(tags, (json_t *)(uintptr_t)wanted); /* a set: twice is once */
    json_object_set_new(input, "tags", tags);
}

static json_t *extend_path(const json_t *path, const char *kind, size_t number)
{
    json_t *longer = json_copy((json_t *)(uintptr_t)path);
    json_array_append_new(longer, json_string(kind));
    json_array_append_new(longer, json_integer((json_int_t)number));
    return longer;
}

/* `entity` is the one with all fields that the item may have. */
static void split_children(struct split *split, json_t *source, size_t self,
                           const struct entity *entity)
{
    const char *key;
    json_t *value;
    json_object_foreach(source, key, value)
    {
        const struct field *foreign;
        const struct entity *child = nested_kind(entity, key, &foreign);
        if (child)
            split_list(split, source, key, value, child, self + 1, foreign->name,
                       split->file->items[self].path);
    }
}

static json_t *own_fields(const struct entity *entity, json_t *source)
{
    json_t *input = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(source, key, value)
    {
        const struct field *foreign;
        bool is_aside = strcmp(key, "_comment") == 0 || strcmp(key, "_ignore") == 0;
        if (!is_aside && !nested_kind(entity, key, &foreign))
            json_object_set(input, key, value);
    }
    return input;
}

static void split_item(struct split *split, const struct entity *entity, json_t *source,
                       size_t parent, const char *foreign, const json_t *path, size_t number)
{
    struct declarative_item *item = add_item(split);
    if (!item)
        return;
    size_t self = split->file->count - 1;
    *item = (struct declarative_item){
        .entity = entity,
        .source = source,
        .input = own_fields(entity, source),
        .parent = parent,
        .foreign = foreign,
        .path = extend_path(path, entity->name, number),
    };
    if (foreign && json_object_get(item->input, foreign))
        complain(split, source, foreign, item, "follows from where the entity stands");
    const json_t *comment = json_object_get(source, "_comment");
    if (comment && !json_is_string(comment) && !json_is_null(comment))
        complain(split, source, "_comment", item, "expected a string");
    if (split->file->is_before_3 && strcmp(entity->name, "routes") == 0) {
        json_t *paths = json_deep_copy(json_object_get(item->input, "paths"));
        if (paths)
            json_object_set_new(item->input, "paths", paths);
        mark_regexes(item->input);
    }
    if (strcmp(entity->name, "plugins") == 0)
        use_plugin_config(split, item, item->input);
    add_select_tags(split->file, entity, item->input);
    split_children(split, source, self, entity);
}

/* A certificate's SNIs may be their names alone, as the Admin API has them. */
static json_t *as_object(const struct entity *entity, json_t *list, size_t at)
{
    json_t *value = json_array_get(list, at);
    if (json_is_string(value) && strcmp(entity->name, "snis") == 0) {
        json_array_set_new(list, at, json_pack("{s:O}", "name", value));
        value = json_array_get(list, at);
    }
    return json_is_object(value) ? value : NULL;
}

static void split_list(struct split *split, const json_t *container, const char *key, json_t *list,
                       const struct entity *entity, size_t parent, const char *foreign,
                       const json_t *path)
{
    const struct declarative_item *owner = parent ? &split->file->items[parent - 1] : NULL;
    if (json_is_null(list) || (json_is_object(list) && json_object_size(list) == 0))
        return; /* Lua knows one kind of empty table */
    if (!json_is_array(list)) {
        complain(split, container, key, owner, "expected an array");
        return;
    }
    for (size_t i = 0; i < json_array_size(list) && split->rc == 0; i++) {
        json_t *source = as_object(entity, list, i);
        if (source)
            split_item(split, entity, source, parent, foreign, path, i + 1);
        else
            complain(split, container, key, owner, "expected records");
    }
}

/* ---- the file's own keys ---- */

static void check_version(struct split *split, const json_t *version)
{
    static const char *const known[] = {"1.1", "2.1", "3.0"};
    char text[16] = "";
    if (json_is_string(version))
        snprintf(text, sizeof(text), "%s", json_string_value(version));
    else if (json_is_real(version)) /* written without quotes */
        snprintf(text, sizeof(text), "%.1f", json_real_value(version));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(text, known[i]) == 0) {
            split->file->is_before_3 = i < 2;
            return;
        }
    complain(split, split->file->root, "_format_version", NULL,
             !version || json_is_null(version) ? "required field missing"
             : text[0]                         ? "expected one of: 1.1, 2.1, 3.0"
                                               : "expected a string");
}

static void check_info(struct split *split, const char *key, const json_t *info)
{
    const char *name;
    json_t *value;
    if (!json_is_object(info))
        complain(split, split->file->root, key, NULL, "expected a record");
    json_object_foreach((json_t *)(uintptr_t)info, name, value)
    {
        bool is_known = strcmp(name, "select_tags") == 0 && json_is_array(value);
        if (!is_known && !(strcmp(name, "defaults") == 0 && json_object_size(value) == 0))
            complain(split, info, name, NULL,
                     "is for decK to carry out: run the file through `deck file render`");
    }
}

/* A key that begins with "_". */
static void take_option(struct split *split, const char *key, const json_t *value)
{
    json_t *root = split->file->root;
    if (strcmp(key, "_transform") == 0) {
        if (!json_is_boolean(value))
            complain(split, root, key, NULL, "expected a boolean");
        split->file->transforms = !json_is_false(value);
    } else if (strcmp(key, "_comment") == 0) {
        if (!json_is_string(value) && !json_is_null(value))
            complain(split, root, key, NULL, "expected a string");
    } else if (strcmp(key, "_ignore") == 0) {
        if (!json_is_array(value) && !json_is_null(value))
            complain(split, root, key, NULL, "expected an array");
    } else if (strcmp(key, "_info") == 0) {
        check_info(split, key, value);
    } else if (strcmp(key, "_workspace") == 0) {
        if (!json_is_string(value) || strcmp(json_string_value(value), "default") != 0)
            complain(split, root, key, NULL, "there is one workspace, called default");
    } else if (strcmp(key, "_plugin_configs") == 0) {
        if (!json_is_object(value))
            complain(split, root, key, NULL, "expected a map");
    } else if (strcmp(key, "_format_version") != 0 && strcmp(key, OURS) != 0) {
        complain(split, root, key, NULL, "unknown field");
    }
}

static void take_ours(struct split *split, json_t *ours)
{
    const char *key;
    json_t *value, *path = json_pack("[s, i]", OURS, 1);
    if (!json_is_object(ours))
        complain(split, split->file->root, OURS, NULL, "expected a record");
    json_object_foreach(ours, key, value)
    {
        const struct entity *entity = entity_find(str_of(key));
        if (entity && entity->is_internal && !entity->is_unexported)
            split_list(split, ours, key, value, entity, 0, NULL, path);
        else
            complain(split, ours, key, NULL, "unknown field");
    }
    json_decref(path);
}

int declarative_split(struct declarative *declarative, struct declarative_problems *problems)
{
    struct split split = {.file = declarative, .problems = problems};
    size_t before = problems->count;
    const char *key;
    json_t *value, *root = declarative->root, *path = json_array();
    check_version(&split, json_object_get(root, "_format_version"));
    json_object_foreach(root, key, value)
    {
        const struct entity *entity = entity_find(str_of(key));
        if (key[0] == '_')
            take_option(&split, key, value);
        else if (entity && !entity->is_internal)
            split_list(&split, root, key, value, entity, 0, NULL, path);
        else
            complain(&split, root, key, NULL, "unknown field");
    }
    if (json_object_get(root, OURS))
        take_ours(&split, json_object_get(root, OURS));
    json_decref(path);
    if (split.rc == 0 && problems->count > before)
        split.rc = UV_EINVAL;
    return split.rc;
}

/* ---- reading ---- */

void declarative_destroy(struct declarative *declarative)
{
    if (!declarative)
        return;
    for (size_t i = 0; i < declarative->count; i++) {
        json_decref(declarative->items[i].input);
        json_decref(declarative->items[i].path);
    }
    free(declarative->items);
    json_decref(declarative->root);
    yaml_places_deinit(&declarative->places);
    free(declarative);
}

static int finish(struct declarative *declarative, int rc, struct declarative **ret,
                  struct declarative_problems *problems)
{
    if (rc == 0 && json_is_null(declarative->root)) { /* as Kong takes an empty file */
        json_decref(declarative->root);
        declarative->root = json_object();
    }
    if (rc == 0 && !json_is_object(declarative->root)) {
        declarative_add_problem(problems, 1, NULL,
                                json_pack("{s:s}", "error", "expected an object"),
                                "is not an object with lists of entities");
        rc = UV_EINVAL;
    }
    if (rc == 0)
        rc = declarative_split(declarative, problems);
    if (rc) {
        declarative_destroy(declarative);
        return rc;
    }
    *ret = declarative;
    return 0;
}

int declarative_read(const char *text, size_t len, struct declarative **ret,
                     struct declarative_problems *problems)
{
    struct declarative *declarative = calloc(1, sizeof(*declarative));
    if (!declarative)
        return UV_ENOMEM;
    declarative->transforms = true;
    unsigned line;
    struct error err = {.sentence = ""};
    int rc = yaml_read(text, len, &declarative->root, &declarative->places, &line, &err);
    if (rc == UV_EINVAL) {
        struct error whole;
        error_set(&whole, "", "can't be read: %s", err.sentence);
        json_t *fields = json_object();
        json_object_set_new(fields, "error", violation_text("%s", err.sentence));
        declarative_add_problem(problems, line, NULL, fields, whole.sentence);
    }
    return finish(declarative, rc, ret, problems);
}

int declarative_read_json(const json_t *root, struct declarative **ret,
                          struct declarative_problems *problems)
{
    struct declarative *declarative = calloc(1, sizeof(*declarative));
    if (!declarative)
        return UV_ENOMEM;
    declarative->transforms = true;
    declarative->root = json_deep_copy(root); /* SNIs given as names become objects in it */
    return finish(declarative, declarative->root ? 0 : UV_ENOMEM, ret, problems);
}
