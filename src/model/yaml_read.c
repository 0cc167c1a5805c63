#include "model/yaml_read.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */
#include <yaml.h>

#include "base/buf.h"
#include "model/yaml_scalar.h"

#define MAX_ANCHORS 10000
#define MAX_KEY_BYTES 4096

struct anchor {
    char *name;    /* owned */
    json_t *value; /* referenced; NULL while it is being read */
};

struct reading {
    yaml_parser_t parser;
    struct yaml_places *places;
    struct anchor *anchors;
    size_t anchor_count;
    size_t values;
    size_t copied;
    unsigned line; /* of what is being read */
    int rc;        /* what ended it */
    struct error *err;
};

/* ---- lines ---- */

static struct str place_key(const json_t *container, const char *key,
                            char room[sizeof(uintptr_t) + MAX_KEY_BYTES])
{
    uintptr_t address = (uintptr_t)container;
    size_t len = key ? strlen(key) : 0;
    if (len > MAX_KEY_BYTES - 1)
        len = MAX_KEY_BYTES - 1;
    memcpy(room, &address, sizeof(address));
    room[sizeof(address)] = key ? '.' : ' '; /* the container itself is no key "" */
    if (key)
        memcpy(room + sizeof(address) + 1, key, len);
    return str_make(room, sizeof(address) + 1 + len);
}

unsigned yaml_line(const struct yaml_places *places, const json_t *container, const char *key)
{
    char room[sizeof(uintptr_t) + MAX_KEY_BYTES];
    return (unsigned)(uintptr_t)map_get(&places->lines, place_key(container, key, room));
}

static int note_line(struct reading *reading, const json_t *container, const char *key,
                     unsigned line)
{
    char room[sizeof(uintptr_t) + MAX_KEY_BYTES];
    return map_put(&reading->places->lines, place_key(container, key, room),
                   (void *)(uintptr_t)line, NULL);
}

void yaml_places_deinit(struct yaml_places *places)
{
    map_deinit(&places->lines);
}

/* ---- failing ---- */

static json_t *fail(struct reading *reading, int rc, const char *sentence)
{
    if (reading->rc == 0) {
        reading->rc = rc;
        error_set(reading->err, "", "%s", sentence);
    }
    return NULL;
}

static unsigned line_of(const yaml_mark_t *mark)
{
    return mark->line < UINT32_MAX - 1 ? (unsigned)mark->line + 1 : UINT32_MAX;
}

static bool next_event(struct reading *reading, yaml_event_t *event)
{
    if (!yaml_parser_parse(&reading->parser, event)) {
        const yaml_parser_t *parser = &reading->parser;
        reading->line = line_of(&parser->problem_mark);
        if (parser->error == YAML_READER_ERROR)
            reading->line = line_of(&parser->mark);
        if (reading->rc == 0 && parser->context)
            error_set(reading->err, "", "%s, %s", parser->context,
                      parser->problem ? parser->problem : "which can't be read");
        else if (reading->rc == 0)
            error_set(reading->err, "", "%s", parser->problem ? parser->problem : "can't be read");
        if (reading->rc == 0)
            reading->rc = parser->error == YAML_MEMORY_ERROR ? UV_ENOMEM : UV_EINVAL;
        return false;
    }
    reading->line = line_of(&event->start_mark);
    return true;
}

/* ---- anchors ---- */

static struct anchor *find_anchor(struct reading *reading, const char *name)
{
    for (size_t i = reading->anchor_count; i-- > 0;)
        if (strcmp(reading->anchors[i].name, name) == 0)
            return &reading->anchors[i];
    return NULL;
}

/* Returns its place, or -1 when there is none to be noted or reading has failed. */
static long add_anchor(struct reading *reading, const yaml_char_t *name)
{
    if (!name)
        return -1;
    if (reading->anchor_count == MAX_ANCHORS) {
        fail(reading, UV_EINVAL, "there are too many anchors");
        return -1;
    }
    size_t count = reading->anchor_count;
    if ((count & (count - 1)) == 0) {
        struct anchor *anchors =
            realloc(reading->anchors, (count ? count * 2 : 1) * sizeof(*anchors));
        if (!anchors) {
            fail(reading, UV_ENOMEM, "out of memory");
            return -1;
        }
        reading->anchors = anchors;
    }
    char *copy = strdup((const char *)name);
    if (!copy) {
        fail(reading, UV_ENOMEM, "out of memory");
        return -1;
    }
    reading->anchors[count] = (struct anchor){copy, NULL};
    reading->anchor_count++;
    return (long)count;
}

static void end_anchor(struct reading *reading, long at, json_t *value)
{
    if (at >= 0 && value)
        reading->anchors[at].value = json_incref(value);
}

/* Counts what a copy holds; false when it is too much or too deep. */
static bool count_copy(struct reading *reading, const json_t *value, unsigned depth)
{
    if (depth > YAML_MAX_DEPTH || ++reading->copied > YAML_MAX_COPIED)
        return false;
    const char *key;
    json_t *part;
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, part)
        {
            if (!count_copy(reading, part, depth + 1))
                return false;
        }
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, part)
    {
        if (!count_copy(reading, part, depth + 1))
            return false;
    }
    return true;
}

static json_t *read_alias(struct reading *reading, const yaml_event_t *event, unsigned depth)
{
    const struct anchor *anchor = find_anchor(reading, (const char *)event->data.alias.anchor);
    if (!anchor)
        return fail(reading, UV_EINVAL, "an alias names no anchor before it");
    if (!anchor->value)
        return fail(reading, UV_EINVAL, "an alias is within what it stands for");
    if (!count_copy(reading, anchor->value, depth))
        return fail(reading, UV_EINVAL, "aliases make too much, or nest too deeply");
    json_t *copy = json_deep_copy(anchor->value);
    if (!copy)
        return fail(reading, UV_ENOMEM, "out of memory");
    if ((json_is_object(copy) || json_is_array(copy)) &&
        note_line(reading, copy, NULL, reading->line)) {
        json_decref(copy);
        return fail(reading, UV_ENOMEM, "out of memory");
    }
    return copy;
}

/* ---- values ---- */

static json_t *read_value(struct reading *reading, yaml_event_t *event, unsigned depth);

static json_t *read_scalar(struct reading *reading, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    const char *tag = (const char *)event->data.scalar.tag;
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool is_text = tag ? strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0 : !is_plain;
    json_t *value = is_text && strlen(text) == len ? json_stringn(text, len) : NULL;
    if (!is_text)
        value = yaml_scalar(text, len);
    return value ? value : fail(reading, UV_EINVAL, "a text is no UTF-8 or holds a NUL");
}

static json_t *read_sequence(struct reading *reading, unsigned depth)
{
    json_t *list = json_array();
    unsigned begun = reading->line;
    yaml_event_t event;
    if (!list || note_line(reading, list, NULL, begun)) {
        json_decref(list);
        return fail(reading, UV_ENOMEM, "out of memory");
    }
    while (reading->rc == 0 && next_event(reading, &event)) {
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        json_t *value = is_end ? NULL : read_value(reading, &event, depth + 1);
        yaml_event_delete(&event);
        if (is_end)
            return list;
        if (value && json_array_append_new(list, value))
            fail(reading, UV_ENOMEM, "out of memory");
    }
    json_decref(list);
    return NULL;
}

/* "<<": what is not there is taken over from one mapping, or several of which the first wins. */
static void merge(struct reading *reading, json_t *object, const json_t *from)
{
    size_t i;
    json_t *one;
    if (json_is_object(from)) {
        json_object_update_missing(object, (json_t *)(uintptr_t)from);
    } else if (json_is_array(from)) {
        json_array_foreach((json_t *)(uintptr_t)from, i, one)
        {
            if (json_is_object(one))
                json_object_update_missing(object, one);
            else
                fail(reading, UV_EINVAL, "<< takes mappings");
        }
    } else {
        fail(reading, UV_EINVAL, "<< takes a mapping, or a list of them");
    }
}

/* What a key says as text. */
static char *read_key(struct reading *reading, const yaml_event_t *event)
{
    if (event->type == YAML_ALIAS_EVENT) {
        const struct anchor *anchor = find_anchor(reading, (const char *)event->data.alias.anchor);
        const char *text = anchor ? json_string_value(anchor->value) : NULL;
        return text ? strdup(text) : (void *)fail(reading, UV_EINVAL, "a key must be text");
    }
    if (event->type != YAML_SCALAR_EVENT)
        return (void *)fail(reading, UV_EINVAL, "a key must be text");
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (strlen(text) != len || len >= MAX_KEY_BYTES)
        return (void *)fail(reading, UV_EINVAL, "a key is too long or holds a NUL");
    char *copy = strdup(text);
    return copy ? copy : (void *)fail(reading, UV_ENOMEM, "out of memory");
}

static bool is_merge(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT &&
           event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           strcmp((const char *)event->data.scalar.value, "<<") == 0;
}

/* The value of a key, into the object. */
static void read_pair(struct reading *reading, json_t *object, const char *key, bool merges,
                      json_t **merged, unsigned depth)
{
    unsigned line = reading->line;
    yaml_event_t event;
    if (!next_event(reading, &event))
        return;
    json_t *value = read_value(reading, &event, depth + 1);
    yaml_event_delete(&event);
    if (!value)
        return;
    if (merges) {
        json_decref(*merged);
        *merged = value;
        return;
    }
    if (json_object_get(object, key)) {
        json_decref(value);
        reading->line = line;
        if (reading->rc == 0) {
            reading->rc = UV_EINVAL;
            error_set(reading->err, "", "\"%s\" is there twice", key);
        }
        return;
    }
    if (json_object_set_new(object, key, value)) /* which checks that the key is UTF-8 */
        fail(reading, UV_EINVAL, "a key is no UTF-8");
    else if (note_line(reading, object, key, line))
        fail(reading, UV_ENOMEM, "out of memory");
}

static json_t *read_mapping(struct reading *reading, unsigned depth)
{
    json_t *object = json_object(), *merged = NULL;
    unsigned merged_line = 0;
    yaml_event_t event;
    if (!object || note_line(reading, object, NULL, reading->line)) {
        json_decref(object);
        return fail(reading, UV_ENOMEM, "out of memory");
    }
    while (reading->rc == 0 && next_event(reading, &event)) {
        bool is_end = event.type == YAML_MAPPING_END_EVENT;
        bool merges = is_merge(&event);
        merged_line = merges ? reading->line : merged_line;
        char *key = is_end ? NULL : read_key(reading, &event);
        yaml_event_delete(&event);
        if (key)
            read_pair(reading, object, key, merges, &merged, depth);
        free(key);
        if (is_end) {
            reading->line = merged ? merged_line : reading->line;
            if (merged)
                merge(reading, object, merged);
            break;
        }
    }
    json_decref(merged);
    if (reading->rc == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* The event is the caller's to delete. */
static json_t *read_value(struct reading *reading, yaml_event_t *event, unsigned depth)
{
    long anchor = -1;
    json_t *value = NULL;
    if (depth > YAML_MAX_DEPTH)
        return fail(reading, UV_EINVAL, "the nesting is too deep");
    if (++reading->values > YAML_MAX_VALUES)
        return fail(reading, UV_EINVAL, "there are too many values");
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return read_alias(reading, event, depth);
    case YAML_SCALAR_EVENT:
        anchor = add_anchor(reading, event->data.scalar.anchor);
        value = reading->rc ? NULL : read_scalar(reading, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = add_anchor(reading, event->data.sequence_start.anchor);
        value = reading->rc ? NULL : read_sequence(reading, depth);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = add_anchor(reading, event->data.mapping_start.anchor);
        value = reading->rc ? NULL : read_mapping(reading, depth);
        break;
    default:
        return fail(reading, UV_EINVAL, "a value is missing");
    }
    end_anchor(reading, anchor, value);
    return value;
}

/* ---- documents ---- */

static json_t *read_document(struct reading *reading)
{
    json_t *value = NULL;
    yaml_event_t event;
    bool is_over = false;
    unsigned documents = 0;
    while (!is_over && reading->rc == 0 && next_event(reading, &event)) {
        switch (event.type) {
        case YAML_DOCUMENT_START_EVENT:
            if (++documents > 1)
                fail(reading, UV_EINVAL, "there must be one document only");
            break;
        case YAML_STREAM_END_EVENT:
            is_over = true;
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        default:
            value = read_value(reading, &event, 1);
        }
        yaml_event_delete(&event);
    }
    if (reading->rc) {
        json_decref(value);
        return NULL;
    }
    return value ? value : json_null();
}

static int read_yaml(const char *text, size_t len, json_t **ret, struct yaml_places *places,
                     unsigned *ret_line, struct error *err)
{
    struct reading reading = {.places = places, .err = err};
    if (!yaml_parser_initialize(&reading.parser)) {
        error_set(err, "", "out of memory");
        return UV_ENOMEM;
    }
    yaml_parser_set_input_string(&reading.parser, (const unsigned char *)text, len);
    *ret = read_document(&reading);
    *ret_line = reading.line;
    yaml_parser_delete(&reading.parser);
    for (size_t i = 0; i < reading.anchor_count; i++) {
        free(reading.anchors[i].name);
        json_decref(reading.anchors[i].value);
    }
    free(reading.anchors);
    return reading.rc;
}

/* ---- JSON ---- */

static bool is_json(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    return at < len && text[at] == '{';
}

static int read_json(const char *text, size_t len, json_t **ret, unsigned *ret_line,
                     struct error *err)
{
    json_error_t error;
    *ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (*ret)
        return 0;
    *ret_line = error.line > 0 ? (unsigned)error.line : 0;
    error_set(err, "", "%s", error.text);
    return json_error_code(&error) == json_error_out_of_memory ? UV_ENOMEM : UV_EINVAL;
}

static bool is_deeper(const json_t *value, unsigned allowed)
{
    const char *key;
    json_t *part;
    size_t i;
    if (!json_is_object(value) && !json_is_array(value))
        return false;
    if (allowed == 0)
        return true;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, part)
        {
            if (is_deeper(part, allowed - 1))
                return true;
        }
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, part)
    {
        if (is_deeper(part, allowed - 1))
            return true;
    }
    return false;
}

/* A mapping in YAML's flow style begins as JSON does, so that what is no JSON is tried as YAML; and
 * what is JSON for its lines, which it may turn out to have none of. */
int yaml_read(const char *text, size_t len, json_t **ret, struct yaml_places *places,
              unsigned *ret_line, struct error *err)
{
    *ret = NULL;
    *ret_line = 0;
    if (len > YAML_MAX_BYTES) {
        error_set(err, "", "is longer than %zu MiB", YAML_MAX_BYTES >> 20);
        return UV_EINVAL;
    }
    json_t *as_json = NULL;
    unsigned json_line = 0;
    struct error json_err = {.sentence = ""};
    bool may_be_json = is_json(text, len);
    if (may_be_json && read_json(text, len, &as_json, &json_line, &json_err) == UV_ENOMEM) {
        *err = json_err;
        return UV_ENOMEM;
    }
    int rc = read_yaml(text, len, ret, places, ret_line, err);
    if (!may_be_json || (rc == 0 && !as_json))
        return rc;
    if (as_json && rc == 0 && json_equal(as_json, *ret)) {
        json_decref(as_json);
        return 0;
    }
    json_decref(*ret);
    *ret = as_json;
    if (as_json && is_deeper(as_json, YAML_MAX_DEPTH)) {
        json_decref(as_json);
        *ret = NULL;
        error_set(err, "", "the nesting is too deep");
        return UV_EINVAL;
    }
    if (as_json) {
        yaml_places_deinit(places);
        *places = (struct yaml_places){{0}};
        return 0;
    }
    *err = json_err;
    *ret_line = json_line;
    return UV_EINVAL;
}
