#include "model/mask.h"

#include <string.h>
#include <strings.h>

#define MAX_DEPTH 16

/* ---- what is secret ---- */

/* Whether a name is one that secrets have: a header's, a map's key, a field's that the schema says
 * nothing of. */
static bool sounds_secret(const char *name, size_t len)
{
    static const char *const words[] = {"password", "secret",     "token",   "authorization",
                                        "cookie",   "credential", "api_key", "apikey",
                                        "api-key",  "private"};
    char text[128];
    if (len >= sizeof(text))
        len = sizeof(text) - 1;
    memcpy(text, name, len);
    text[len] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasestr(text, words[i]))
            return true;
    return false;
}

static bool is_secret(const struct field *field)
{
    return field->encrypted || field->referenceable ||
           (field->type == FIELD_STRING &&
            sounds_secret(field->name ? field->name : "", field->name ? strlen(field->name) : 0));
}

/* "Authorization: Basic …", as plugins take headers in lists. */
static bool is_secret_pair(const json_t *value)
{
    const char *text = json_string_value(value);
    const char *colon = text ? strchr(text, ':') : NULL;
    return colon && sounds_secret(text, (size_t)(colon - text));
}

static json_t *masked(const struct field *field, const json_t *value, unsigned depth);

static json_t *masked_record(const struct field *fields, const json_t *value, unsigned depth)
{
    json_t *out = json_object();
    for (const struct field *field = fields; out && field->name; field++) {
        const json_t *member = json_object_get(value, field->name);
        if (member && !field->internal)
            json_object_set_new(out, field->name, masked(field, member, depth + 1));
    }
    return out;
}

static json_t *masked_map(const struct field *field, json_t *value, unsigned depth)
{
    json_t *out = json_object(), *member;
    const char *key;
    json_object_foreach(value, key, member)
    {
        bool hides = sounds_secret(key, strlen(key)) || !field->values;
        json_object_set_new(
            out, key, hides ? json_string(MASK_TEXT) : masked(field->values, member, depth + 1));
    }
    return out;
}

static json_t *masked_list(const struct field *field, const json_t *value, unsigned depth)
{
    json_t *out = json_array(), *element;
    size_t i;
    json_array_foreach(value, i, element)
    {
        json_array_append_new(out, field->elements ? masked(field->elements, element, depth + 1)
                                                   : json_string(MASK_TEXT));
    }
    return out;
}

/* Owned; what does not have its field's type is masked, too. */
static json_t *masked(const struct field *field, const json_t *value, unsigned depth)
{
    if (json_is_null(value))
        return json_null();
    if (is_secret(field) || depth > MAX_DEPTH)
        return json_string(MASK_TEXT);
    if (json_is_object(value) && field->type == FIELD_RECORD && field->fields)
        return masked_record(field->fields, value, depth);
    if (json_is_object(value) && field->type == FIELD_MAP)
        return masked_map(field, (json_t *)value, depth);
    if (json_is_array(value))
        return masked_list(field, value, depth);
    if (json_is_object(value) && field->type == FIELD_FOREIGN)
        return json_deep_copy(value);
    if (json_is_object(value) || is_secret_pair(value))
        return json_string(MASK_TEXT);
    return json_deep_copy(value);
}

json_t *mask_value(const struct field *field, const json_t *value)
{
    return masked(field, value, 0);
}

json_t *mask_row(const struct entity *entity, const json_t *row)
{
    const struct entity *variant = entity_variant(entity, row, NULL);
    json_t *out = json_object();
    for (const struct field *field = (variant ? variant : entity)->fields; out && field->name;
         field++) {
        json_t *value = json_object_get(row, field->name);
        if (value) /* what is internal is never shown, but may decide how others are */
            json_object_set_new_nocheck(
                out, field->name, field->internal ? json_incref(value) : masked(field, value, 0));
    }
    return out;
}
