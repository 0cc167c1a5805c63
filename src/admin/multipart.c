#include "admin/multipart.h"

#define MAX_BOUNDARY_BYTES 70 /* RFC 2046, section 5.1.1 */

/* The value of `; name=value` or `; name="value"` after a field's main value. */
static bool parameter(struct str field, struct str name, struct str *ret)
{
    str_cut(&field, ';');
    while (field.len > 0) {
        struct str value = str_cut(&field, ';');
        struct str key = str_trim(str_cut(&value, '='));
        if (!str_equal_nocase(key, name))
            continue;
        value = str_trim(value);
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = str_make(value.ptr + 1, value.len - 2);
        *ret = value;
        return true;
    }
    return false;
}

/* Where `--boundary` begins a line in `text`, or NULL. */
static const char *find_delimiter(struct str text, struct str boundary)
{
    const char *at = text.ptr;
    const char *end = text.ptr + text.len;
    while (at < end && (at = memmem(at, (size_t)(end - at), "--", 2))) {
        bool at_line_start = at == text.ptr || (at - text.ptr >= 2 && at[-1] == '\n');
        struct str here = str_make(at + 2, (size_t)(end - at) - 2);
        if (at_line_start && str_starts_with(here, boundary))
            return at;
        at++;
    }
    return NULL;
}

bool multipart_begin(struct multipart *multipart, struct str content_type, struct str body)
{
    struct str boundary;
    if (!parameter(content_type, STR("boundary"), &boundary) || boundary.len == 0 ||
        boundary.len > MAX_BOUNDARY_BYTES)
        return false;
    const char *first = find_delimiter(body, boundary);
    if (!first)
        return false;
    size_t skip = (size_t)(first - body.ptr) + 2 + boundary.len;
    *multipart = (struct multipart){boundary, str_make(body.ptr + skip, body.len - skip)};
    return true;
}

/* A part's head, up to its empty line. */
static bool read_part_head(struct str *rest, struct multipart_part *part)
{
    while (rest->len > 0) {
        struct str line = str_cut(rest, '\n');
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            return true;
        struct str value = line;
        struct str name = str_trim(str_cut(&value, ':'));
        if (str_equal_nocase(name, STR("content-disposition")))
            parameter(value, STR("name"), &part->name);
        else if (str_equal_nocase(name, STR("content-type")))
            part->content_type = str_trim(value);
    }
    return false;
}

enum multipart_result multipart_next(struct multipart *multipart, struct multipart_part *part)
{
    struct str rest = multipart->rest;
    if (str_starts_with(rest, STR("--")))
        return MULTIPART_END;
    *part = (struct multipart_part){.name = STR_EMPTY};
    str_cut(&rest, '\n'); /* the end of the boundary's line */
    if (!read_part_head(&rest, part) || rest.len == 0)
        return MULTIPART_BROKEN;
    const char *end = find_delimiter(rest, multipart->boundary);
    if (!end)
        return MULTIPART_BROKEN;
    size_t len = (size_t)(end - rest.ptr);
    size_t skip = len + 2 + multipart->boundary.len;
    /* The line break before a boundary belongs to the boundary. */
    if (len > 0 && rest.ptr[len - 1] == '\n')
        len--;
    if (len > 0 && rest.ptr[len - 1] == '\r')
        len--;
    part->content = str_make(rest.ptr, len);
    multipart->rest = str_make(rest.ptr + skip, rest.len - skip);
    return MULTIPART_PART;
}
