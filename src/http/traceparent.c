#include "http/traceparent.h"

#define LEN 55 /* "00-<trace-id>-<parent-id>-<flags>" */

/* `count` lower-case hexadecimal digits, not all of them 0. */
static bool is_id(const char *text, size_t count)
{
    bool is_zero = true;
    for (size_t i = 0; i < count; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        is_zero = is_zero && c == '0';
    }
    return !is_zero;
}

static bool are_digits(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static bool is_valid(struct str value)
{
    const char *text = value.ptr;
    if (value.len < LEN || !are_digits(text, 2) || str_starts_with(value, STR("ff")))
        return false;
    bool is_first = str_starts_with(value, STR("00"));
    if (is_first ? value.len != LEN : value.len > LEN && text[LEN] != '-')
        return false;
    return text[2] == '-' && is_id(text + 3, TRACEPARENT_TRACE_DIGITS) && text[35] == '-' &&
           is_id(text + 36, TRACEPARENT_PARENT_DIGITS) && text[52] == '-' &&
           are_digits(text + 53, 2);
}

bool traceparent_is_there(const struct http_head *request)
{
    const struct http_field *found = http_head_find(request, HEADER_TRACEPARENT);
    if (!found || !is_valid(http_field_value(request, found)))
        return false;
    for (unsigned i = request->first[HEADER_TRACEPARENT]; i < request->field_count; i++)
        if (request->fields[i].id == HEADER_TRACEPARENT)
            return false; /* two */
    return true;
}
