#include "admin/body.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "admin/form.h"
#include "admin/multipart.h"
#include "admin/urlencoded.h"

#define CANNOT_PARSE_JSON "Cannot parse JSON body" /* Kong's words: clients compare them */

static bool starts_with_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_equal_nocase(str_make(s.ptr, prefix.len), prefix);
}

enum admin_body_type admin_body_type_of(struct str content_type)
{
    if (starts_with_nocase(content_type, STR("application/json")))
        return ADMIN_BODY_JSON;
    if (starts_with_nocase(content_type, STR("application/x-www-form-urlencoded")))
        return ADMIN_BODY_FORM;
    if (starts_with_nocase(content_type, STR("multipart/form-data")))
        return ADMIN_BODY_MULTIPART;
    static const struct str yaml[] = {STR_INIT("application/yaml"), STR_INIT("application/x-yaml"),
                                      STR_INIT("text/yaml"), STR_INIT("text/x-yaml"),
                                      STR_INIT("text/vnd.yaml")};
    for (size_t i = 0; i < sizeof(yaml) / sizeof(yaml[0]); i++)
        if (starts_with_nocase(content_type, yaml[i]))
            return ADMIN_BODY_YAML;
    return ADMIN_BODY_UNKNOWN;
}

static const char *json_problem(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return CANNOT_PARSE_JSON ": a string holds a NUL character";
    return CANNOT_PARSE_JSON;
}

static int decode_json(const char *bytes, size_t len, json_t **ret, const char **ret_problem)
{
    json_error_t error;
    json_t *root = json_loadb(bytes, len, 0, &error);
    if (!root) {
        *ret_problem = json_problem(&error);
        return json_error_code(&error) == json_error_out_of_memory ? UV_ENOMEM : UV_EINVAL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        *ret_problem = CANNOT_PARSE_JSON;
        return UV_EINVAL;
    }
    *ret = root;
    return 0;
}

/* As a form's field "config". */
static int decode_text(const char *bytes, size_t len, json_t **ret, const char **ret_problem)
{
    json_t *text = memchr(bytes ? bytes : "", '\0', len) ? NULL : json_stringn(bytes, len);
    if (!text) {
        *ret_problem = "Cannot parse YAML body: it must be UTF-8 without NUL";
        return UV_EINVAL;
    }
    *ret = json_pack("{s:o}", "config", text);
    return *ret ? 0 : UV_ENOMEM;
}

static int form_problem(int rc, const char **ret_problem)
{
    if (rc == UV_E2BIG)
        *ret_problem = "Too many arguments";
    else if (rc == UV_EINVAL)
        *ret_problem = "Cannot parse form body: names and values must be UTF-8 without NUL";
    return rc == UV_ENOMEM ? rc : UV_EINVAL;
}

static int fill_from_urlencoded(struct form *form, char *bytes, size_t len)
{
    size_t max = urlencoded_count(str_make(bytes, len));
    if (max == 0)
        return 0;
    if (max > URLENCODED_MAX_ARGS)
        return UV_E2BIG;
    struct urlencoded_arg *args = calloc(max, sizeof(*args));
    if (!args)
        return UV_ENOMEM;
    size_t count = urlencoded_split(bytes, len, args, max);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = form_add_text(form, args[i].name, args[i].value);
    free(args);
    return rc;
}

/* A part that says it is JSON counts as what it holds; where it doesn't parse, as text, like
 * Kong. */
static int add_part(struct form *form, const struct multipart_part *part)
{
    if (starts_with_nocase(part->content_type, STR("application/json"))) {
        json_t *value = json_loadb(part->content.ptr, part->content.len, JSON_DECODE_ANY, NULL);
        if (value)
            return form_add(form, part->name, value);
    }
    return form_add_text(form, part->name, part->content);
}

static int fill_from_multipart(struct form *form, struct str content_type, struct str body)
{
    struct multipart multipart;
    if (!multipart_begin(&multipart, content_type, body))
        return UV_EPROTO;
    for (unsigned count = 0; count <= URLENCODED_MAX_ARGS; count++) {
        struct multipart_part part;
        enum multipart_result result = multipart_next(&multipart, &part);
        if (result == MULTIPART_END)
            return 0;
        if (result == MULTIPART_BROKEN)
            return UV_EPROTO;
        int rc = part.name.len > 0 ? add_part(form, &part) : 0;
        if (rc != 0)
            return rc;
    }
    return UV_E2BIG;
}

static int decode_form(enum admin_body_type type, struct str content_type, char *bytes, size_t len,
                       json_t **ret, const char **ret_problem)
{
    struct form form;
    int rc = form_init(&form);
    if (rc == 0)
        rc = type == ADMIN_BODY_FORM
                 ? fill_from_urlencoded(&form, bytes, len)
                 : fill_from_multipart(&form, content_type, str_make(bytes, len));
    if (rc == 0) {
        *ret = form.root;
        return 0;
    }
    form_deinit(&form);
    if (rc == UV_EPROTO) {
        *ret_problem = "Cannot parse multipart body";
        return UV_EINVAL;
    }
    return form_problem(rc, ret_problem);
}

int admin_body_decode(enum admin_body_type type, struct str content_type, char *bytes, size_t len,
                      json_t **ret, const char **ret_problem)
{
    if (type == ADMIN_BODY_JSON)
        return decode_json(bytes, len, ret, ret_problem);
    if (type == ADMIN_BODY_YAML)
        return decode_text(bytes, len, ret, ret_problem);
    return decode_form(type, content_type, bytes, len, ret, ret_problem);
}
