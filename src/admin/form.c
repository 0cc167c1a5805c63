#include "admin/form.h"

#include <stdbool.h>

#include <uv.h> /* error codes only */

#define MAX_INDEX 1000 /* no form has more arguments */

enum step_kind {
    STEP_NAME,  /* a member of an object */
    STEP_NEXT,  /* [] */
    STEP_INDEX, /* [1] */
};

struct step {
    enum step_kind kind;
    struct str name;
    size_t index; /* from 0 */
};

struct key_path {
    struct step steps[FORM_MAX_DEPTH];
    unsigned count;
};

int form_init(struct form *form)
{
    *form = (struct form){.root = json_object()};
    return form->root ? 0 : UV_ENOMEM;
}

void form_deinit(struct form *form)
{
    json_decref(form->root);
    form->root = NULL;
}

static int add_step(struct key_path *path, enum step_kind kind, struct str name, size_t index)
{
    if (path->count == FORM_MAX_DEPTH)
        return UV_E2BIG;
    path->steps[path->count++] = (struct step){kind, name, index};
    return 0;
}

/* "[]", "[2]" or "[word]" at the front of *rest. */
static int cut_bracket(struct str *rest, struct key_path *path)
{
    const char *close = memchr(rest->ptr, ']', rest->len);
    if (!close)
        return UV_EINVAL;
    struct str inner = str_make(rest->ptr + 1, (size_t)(close - rest->ptr) - 1);
    *rest = str_make(close + 1, rest->len - inner.len - 2);
    uint64_t index;
    if (inner.len == 0)
        return add_step(path, STEP_NEXT, inner, 0);
    if (!str_to_u64(inner, &index))
        return add_step(path, STEP_NAME, inner, 0);
    if (index > MAX_INDEX)
        return UV_E2BIG;
    return index == 0 ? UV_EINVAL : add_step(path, STEP_INDEX, inner, index - 1);
}

/* A name up to the next dot or bracket, at the front of *rest. */
static int cut_name(struct str *rest, struct key_path *path)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != '.' && rest->ptr[len] != '[')
        len++;
    if (len == 0)
        return UV_EINVAL;
    struct str name = str_make(rest->ptr, len);
    *rest = str_make(rest->ptr + len, rest->len - len);
    return add_step(path, STEP_NAME, name, 0);
}

/* name ( '.' name | '[' … ']' )*. UV_EINVAL: the key isn't of that form. */
static int split_key(struct str key, struct key_path *path)
{
    struct str rest = key;
    path->count = 0;
    int rc = cut_name(&rest, path);
    while (rc == 0 && rest.len > 0) {
        if (rest.ptr[0] == '[') {
            rc = cut_bracket(&rest, path);
        } else if (rest.ptr[0] == '.') {
            rest = str_make(rest.ptr + 1, rest.len - 1);
            rc = cut_name(&rest, path);
        } else {
            rc = UV_EINVAL; /* "a[1]b" */
        }
    }
    return rc;
}

/* The steps that a key stands for; what is not of the grammar is a name as a whole. */
static int parse_key(struct str key, struct key_path *path)
{
    int rc = split_key(key, path);
    if (rc == UV_EINVAL) {
        path->count = 0;
        rc = add_step(path, STEP_NAME, key, 0);
    }
    /* In the middle [] is the first element: a[].b=1 and a[].c=2 speak of the same one. */
    for (unsigned i = 0; rc == 0 && i + 1 < path->count; i++)
        if (path->steps[i].kind == STEP_NEXT)
            path->steps[i].kind = STEP_INDEX;
    return rc;
}

/* Room for `more` elements within the form's limit. */
static int take_cells(struct form *form, size_t more)
{
    if (more > FORM_MAX_CELLS - form->cells)
        return UV_E2BIG;
    form->cells += more;
    return 0;
}

static int append(struct form *form, json_t *array, json_t *value)
{
    int rc = take_cells(form, 1);
    if (rc != 0) {
        json_decref(value);
        return rc;
    }
    return json_array_append_new(array, value) == 0 ? 0 : UV_ENOMEM;
}

/* What stands at the step, borrowed; NULL when nothing does (null, for a hole in an array). */
static json_t *value_at(json_t *container, const struct step *step)
{
    json_t *value = NULL;
    if (step->kind == STEP_NAME)
        value = json_object_getn(container, step->name.ptr, step->name.len);
    else if (step->kind == STEP_INDEX)
        value = json_array_get(container, step->index);
    return json_is_null(value) ? NULL : value;
}

static int set_at(struct form *form, json_t *container, const struct step *step, json_t *value)
{
    if (step->kind == STEP_NAME)
        return json_object_setn_new(container, step->name.ptr, step->name.len, value) == 0
                   ? 0
                   : UV_ENOMEM;
    if (step->kind == STEP_NEXT)
        return append(form, container, value);
    while (json_array_size(container) <= step->index) {
        int rc = append(form, container, json_null());
        if (rc != 0) {
            json_decref(value);
            return rc;
        }
    }
    return json_array_set_new(container, step->index, value) == 0 ? 0 : UV_ENOMEM;
}

/* The object or array that the step after this one needs, made when it isn't there. A lone value
 * becomes an array's first element; anything else that is in the way gives way. */
static int descend(struct form *form, json_t *container, const struct step *step,
                   const struct step *next, json_t **ret)
{
    bool wants_object = next->kind == STEP_NAME;
    json_t *there = value_at(container, step);
    if (there && (wants_object ? json_is_object(there) : json_is_array(there))) {
        *ret = there;
        return 0;
    }
    json_t *made = wants_object ? json_object() : json_array();
    if (!made)
        return UV_ENOMEM;
    if (!wants_object && json_is_string(there)) {
        int rc = append(form, made, json_incref(there));
        if (rc != 0) {
            json_decref(made);
            return rc;
        }
    }
    *ret = made;
    return set_at(form, container, step, made);
}

/* The same key again makes an array of its values. */
static int put_leaf(struct form *form, json_t *container, const struct step *step, json_t *value)
{
    json_t *there = value_at(container, step);
    if (json_is_array(there) && !json_is_array(value))
        return append(form, there, value);
    if (!json_is_string(there))
        return set_at(form, container, step, value);
    json_t *both = json_array();
    if (!both) {
        json_decref(value);
        return UV_ENOMEM;
    }
    int rc = append(form, both, json_incref(there));
    if (rc == 0)
        rc = append(form, both, value);
    else
        json_decref(value);
    if (rc == 0)
        return set_at(form, container, step, both);
    json_decref(both);
    return rc;
}

/* Jansson takes member names as they come: what it would refuse in a text is refused here. */
static bool is_text(struct str text)
{
    if (memchr(text.ptr ? text.ptr : "", '\0', text.len))
        return false;
    json_t *probe = json_stringn(text.ptr ? text.ptr : "", text.len);
    json_decref(probe);
    return probe != NULL;
}

int form_add(struct form *form, struct str key, json_t *value)
{
    struct key_path path;
    int rc = is_text(key) ? parse_key(key, &path) : UV_EINVAL;
    json_t *container = form->root;
    for (unsigned i = 0; rc == 0 && i + 1 < path.count; i++)
        rc = descend(form, container, &path.steps[i], &path.steps[i + 1], &container);
    if (rc == 0)
        return put_leaf(form, container, &path.steps[path.count - 1], value);
    json_decref(value);
    return rc;
}

int form_add_text(struct form *form, struct str key, struct str value)
{
    if (!is_text(value))
        return UV_EINVAL;
    json_t *text = json_stringn_nocheck(value.ptr ? value.ptr : "", value.len);
    return text ? form_add(form, key, text) : UV_ENOMEM;
}
