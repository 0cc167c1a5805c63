#include "admin/audit.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "admin/endpoints.h"
#include "admin/guard.h"
#include "admin/request.h"
#include "admin/server.h"
#include "base/buf.h"
#include "base/log.h"
#include "model/mask.h"

#define MAX_LINES 100      /* of a write; a cascade may be longer */
#define MAX_ROW_BYTES 1200 /* of a line, which has two and ends at 4 KiB */
#define MAX_PATH_BYTES 300
#define MAX_HEAD_BYTES ((size_t)64 << 10) /* more than any path has */

/* ---- a row ---- */

static bool is_shown(const struct field *field)
{
    return !field->internal && strcmp(field->name, "updated_at") != 0 &&
           strcmp(field->name, "created_at") != 0 && strcmp(field->name, "id") != 0;
}

static bool is_unset(const json_t *value)
{
    return !value || json_is_null(value);
}

int audit_compare(const struct entity *entity, const json_t *before, const json_t *after,
                  json_t **ret_before, json_t **ret_after)
{
    const struct entity *variant = entity_variant(entity, after ? after : before, NULL);
    const struct field *fields = variant ? variant->fields : entity->fields;
    *ret_before = before ? json_object() : NULL;
    *ret_after = after ? json_object() : NULL;
    if ((before && !*ret_before) || (after && !*ret_after)) {
        json_decref(*ret_before);
        json_decref(*ret_after);
        return UV_ENOMEM;
    }
    for (const struct field *field = fields; field->name; field++) {
        const json_t *old = json_object_get(before, field->name);
        const json_t *new = json_object_get(after, field->name);
        bool is_same = (is_unset(old) && is_unset(new)) || json_equal(old, new);
        if (!is_shown(field) || is_same)
            continue;
        if (before && !(is_unset(old) && !after))
            json_object_set_new(*ret_before, field->name,
                                old ? mask_value(field, old) : json_null());
        if (after && !(is_unset(new) && !before))
            json_object_set_new(*ret_after, field->name,
                                new ? mask_value(field, new) : json_null());
    }
    return 0;
}

static struct str cut_text(struct str text, size_t size)
{
    if (text.len <= size)
        return text;
    while (size > 0 && ((unsigned char)text.ptr[size] & 0xc0) == 0x80) /* not within a character */
        size--;
    return str_make(text.ptr, size);
}

/* ---- a request ---- */

static const char *method_name(const struct admin_request *request)
{
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    return request->method < ADMIN_METHOD_COUNT ? names[request->method] : "";
}

/* The path, but for a key by which a credential is known, which is one to be known by. */
static void path_of(const struct admin_request *request, struct buf *out)
{
    for (unsigned i = 0; i < request->segment_count; i++) {
        struct str segment = request->segments[i];
        bool is_key = i > 0 && !entity_is_uuid(segment) &&
                      (str_equal(request->segments[i - 1], STR("key-auths")) ||
                       str_equal(request->segments[i - 1], STR("key-auth")) ||
                       str_equal(request->segments[i - 1], STR("jwts")) ||
                       str_equal(request->segments[i - 1], STR("jwt")));
        if (buf_printf(out, "/%.*s", STR_ARG(is_key ? STR(MASK_TEXT) : segment)))
            return;
    }
}

static bool writes(const struct admin_request *request)
{
    bool may = request->method == ADMIN_POST || request->method == ADMIN_PUT ||
               request->method == ADMIN_PATCH || request->method == ADMIN_DELETE;
    return may && !admin_request_only_reads(request);
}

void audit_note_before(struct admin_request *request, const struct config *config)
{
    const struct config_change *change = &request->write.change;
    if (!request->is_audited)
        return;
    json_decref(request->before);
    request->before = json_array();
    for (size_t i = 0; i < change->count && i < MAX_LINES; i++) {
        const struct config_op *op = &change->ops[i];
        const json_t *row = config_get(config, op->entity,
                                       str_of(json_string_value(json_object_get(op->row, "id"))));
        json_array_append_new(request->before, row ? json_incref((json_t *)row) : json_null());
    }
}

static void tell_row(const struct admin_request *request, struct str path,
                     const struct config_op *op, const json_t *before)
{
    json_t *old, *new;
    if (audit_compare(op->entity, json_is_object(before) ? before : NULL,
                      op->kind == CONFIG_PUT ? op->row : NULL, &old, &new))
        return;
    char *old_text = old ? json_dumps(old, ENTITY_DUMP_FLAGS) : NULL;
    char *new_text = new ? json_dumps(new, ENTITY_DUMP_FLAGS) : NULL;
    log_notice("Admin API write", LOG_INT("status", request->status),
               LOG_CSTR("by", request->caller), LOG_CSTR("address", request->client),
               LOG_CSTR("method", method_name(request)), LOG_STR("path", path),
               LOG_CSTR("kind", op->entity->name),
               LOG_CSTR("id", json_string_value(json_object_get(op->row, "id"))),
               LOG_STR("before", cut_text(str_of(old_text), MAX_ROW_BYTES)),
               LOG_STR("after", cut_text(str_of(new_text), MAX_ROW_BYTES)));
    free(old_text);
    free(new_text);
    json_decref(old);
    json_decref(new);
}

void audit_tell(const struct admin_request *request)
{
    if (!request->is_audited || !writes(request))
        return;
    struct buf path;
    buf_init(&path, MAX_HEAD_BYTES);
    path_of(request, &path);
    struct str text = cut_text(buf_str(&path), MAX_PATH_BYTES);
    const struct config_change *change = &request->write.change;
    bool is_done = request->status < 300;
    size_t told = 0;
    for (; is_done && told < change->count && told < json_array_size(request->before); told++)
        tell_row(request, text, &change->ops[told], json_array_get(request->before, told));
    if (told == 0 || told < change->count)
        log_notice("Admin API write", LOG_INT("status", request->status),
                   LOG_CSTR("by", request->caller), LOG_CSTR("address", request->client),
                   LOG_CSTR("method", method_name(request)), LOG_STR("path", text),
                   LOG_INT("other_rows", is_done ? change->count - told : 0));
    buf_deinit(&path);
}
