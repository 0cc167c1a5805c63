/* yaml_write.c - JSON values as YAML text: declarative_to_yaml. */
#include "model/declarative.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "model/yaml_scalar.h"

#define LINE_WIDTH (-1) /* a text is never broken */

struct text {
    char *bytes; /* owned */
    size_t len;
    size_t capacity;
};

static int on_bytes(void *arg, unsigned char *bytes, size_t count)
{
    struct text *text = arg;
    if (text->len + count + 1 > text->capacity) {
        size_t capacity = text->capacity ? text->capacity : 4096;
        while (capacity < text->len + count + 1)
            capacity *= 2;
        char *more = realloc(text->bytes, capacity);
        if (!more)
            return 0;
        text->bytes = more;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->len, bytes, count);
    text->len += count;
    text->bytes[text->len] = '\0';
    return 1;
}

static bool emit_text(yaml_emitter_t *emitter, const char *text, size_t len,
                      yaml_scalar_style_t style)
{
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len, 1,
                                        1, style) &&
           yaml_emitter_emit(emitter, &event);
}

/* What a reader would take for a number or the like is quoted; PEM and its like stay readable. */
static bool emit_string(yaml_emitter_t *emitter, const char *text, size_t len)
{
    yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;
    if (yaml_scalar_is_special(text, len) || strcmp(text, "<<") == 0 || strcmp(text, "=") == 0 ||
        text[strspn(text, "0123456789:._+-")] == '\0')
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    else if (strchr(text, '\n') && !strchr(text, '\r') && !strchr(text, '\t') && text[0] != ' ' &&
             text[0] != '\n')
        style = YAML_LITERAL_SCALAR_STYLE;
    return emit_text(emitter, text, len, style);
}

static bool emit_number(yaml_emitter_t *emitter, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    bool is_fine = text && emit_text(emitter, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
    free(text);
    return is_fine;
}

static bool emit(yaml_emitter_t *emitter, const json_t *value);

static bool emit_list(yaml_emitter_t *emitter, const json_t *list)
{
    yaml_event_t event;
    yaml_sequence_style_t style =
        json_array_size(list) ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE;
    bool is_fine = yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style) &&
                   yaml_emitter_emit(emitter, &event);
    for (size_t i = 0; is_fine && i < json_array_size(list); i++)
        is_fine = emit(emitter, json_array_get(list, i));
    return is_fine && yaml_sequence_end_event_initialize(&event) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_object(yaml_emitter_t *emitter, const json_t *object)
{
    yaml_event_t event;
    yaml_mapping_style_t style =
        json_object_size(object) ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE;
    bool is_fine = yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style) &&
                   yaml_emitter_emit(emitter, &event);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        is_fine = is_fine && emit_string(emitter, key, strlen(key)) && emit(emitter, value);
    }
    return is_fine && yaml_mapping_end_event_initialize(&event) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit(yaml_emitter_t *emitter, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return emit_object(emitter, value);
    case JSON_ARRAY:
        return emit_list(emitter, value);
    case JSON_STRING:
        return emit_string(emitter, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
    case JSON_REAL:
        return emit_number(emitter, value);
    case JSON_TRUE:
        return emit_text(emitter, "true", 4, YAML_PLAIN_SCALAR_STYLE);
    case JSON_FALSE:
        return emit_text(emitter, "false", 5, YAML_PLAIN_SCALAR_STYLE);
    default:
        return emit_text(emitter, "null", 4, YAML_PLAIN_SCALAR_STYLE);
    }
}

static bool emit_document(yaml_emitter_t *emitter, const json_t *file)
{
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(emitter, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(emitter, &event) && emit(emitter, file) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

char *declarative_to_yaml(const json_t *file)
{
    struct text text = {0};
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        return NULL;
    yaml_emitter_set_output(&emitter, on_bytes, &text);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, LINE_WIDTH);
    bool is_fine = emit_document(&emitter, file);
    yaml_emitter_delete(&emitter);
    if (is_fine)
        return text.bytes;
    free(text.bytes);
    return NULL;
}
