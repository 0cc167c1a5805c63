#include "admin/crud.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "admin/audit.h"
#include "admin/endpoints.h"
#include "admin/paging.h"
#include "admin/problem.h"
#include "admin/server.h"
#include "base/buf.h"
#include "base/random.h"
#include "model/body_print.h"
#include "model/mask.h"
#include "model/packed_row.h"

#define MAX_PAGE_BYTES ((size_t)1 << 30)
#define MAX_LINK_BYTES ((size_t)64 << 10) /* a query is shorter, even escaped */

/* A write's way: submit() → plan_…() → the store and the workers → on_…_done() → answer. */

static struct admin_request *request_of(struct config_write *write)
{
    return LIST_ENTRY(write, struct admin_request, write);
}

static const char *row_id(const json_t *row)
{
    return json_string_value(json_object_get(row, "id"));
}

/* What the row's foreign field points to, borrowed; NULL when unset. */
static const char *foreign_id(const json_t *row, const char *field)
{
    return json_string_value(json_object_get(json_object_get(row, field), "id"));
}

/* The key of the row that the request is about: it comes last. */
static struct str own_key(const struct admin_request *request)
{
    return str_of(request->params[request->endpoint->parent ? 1 : 0]);
}

/* The parent's id, NULL where the path has no parent. 0, UV_ENOENT or UV_EINVAL (violation). */
static int find_parent(struct admin_request *request, const struct config *config,
                       const char **ret_id)
{
    const struct admin_endpoint *endpoint = request->endpoint;
    *ret_id = NULL;
    if (!endpoint->parent)
        return 0;
    const json_t *parent = config_find(config, endpoint->parent, str_of(request->params[0]), NULL,
                                       &request->violation);
    if (!parent)
        return request->violation.code ? UV_EINVAL : UV_ENOENT;
    *ret_id = row_id(parent);
    return 0;
}

/* The row that the request is about, which must belong to the parent if there is one. */
static int find_own(struct admin_request *request, const struct config *config,
                    const char *parent_id, const json_t **ret)
{
    *ret = config_find(config, request->endpoint->entity, own_key(request), parent_id,
                       &request->violation);
    if (*ret)
        return 0;
    return request->violation.code ? UV_EINVAL : UV_ENOENT;
}

const json_t *admin_crud_current(struct admin_request *request)
{
    const struct admin_endpoint *endpoint = request->endpoint;
    bool is_single = endpoint->entity && endpoint->handlers[ADMIN_PATCH] == admin_crud_update;
    struct violation ignored = {0};
    const json_t *row = NULL;
    if (is_single)
        row =
            config_find(request->node->config, endpoint->entity, own_key(request), NULL, &ignored);
    violation_deinit(&ignored);
    return row;
}

/* The row as bodies show it, with the keys that it lists in order. Owned. */
static json_t *body_of(const struct admin_request *request, const struct entity *entity,
                       const json_t *row)
{
    json_t *masked = request->hides_secrets ? mask_row(entity, row) : NULL;
    json_t *body = entity_to_body(entity, masked ? masked : row);
    json_decref(masked);
    if (entity->listed && request->connection)
        json_object_set_new(body, entity->listed,
                            config_listed_keys(request->node->config, entity, row_id(row)));
    return body;
}

static void answer_failure(struct admin_request *request, int rc)
{
    const struct entity *entity = request->endpoint->entity;
    bool has_key = entity && request->endpoint->handlers[ADMIN_PATCH] == admin_crud_update;
    if (request->violation.code)
        admin_request_answer_violation(request, &request->violation);
    else if (rc == UV_ENOENT && has_key && entity->missing && !entity_is_uuid(own_key(request)))
        admin_request_answer_message(request, 404, entity->missing);
    else if (rc == UV_ENOENT)
        admin_request_answer_not_found(request);
    else
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
}

/* ---- reads ---- */

/* "/routes?offset=…&tags=…&size=…"; nested lists carry the offset alone, like Kong's. */
static json_t *next_link(const struct admin_request *request, const char *parent_id,
                         const char *offset)
{
    const struct admin_endpoint *endpoint = request->endpoint;
    struct buf link;
    buf_init(&link, MAX_LINK_BYTES);
    if (parent_id)
        buf_printf(&link, "/%s/%s", endpoint->parent->path, parent_id);
    buf_printf(&link, "/%s?offset=%s",
               parent_id ? entity_nested_path(endpoint->entity) : endpoint->entity->path, offset);
    static const char *const kept[] = {"tags", "size"};
    for (size_t i = 0; !parent_id && i < 2; i++) {
        struct str value;
        char *room;
        if (!admin_request_query(request, kept[i], &value))
            continue;
        buf_printf(&link, "&%s=", kept[i]);
        if ((room = buf_reserve(&link, value.len * 3 + 1))) {
            urlencoded_escape(value, room);
            buf_commit(&link, strlen(room));
        }
    }
    json_t *text = json_stringn(link.data + link.start, buf_len(&link));
    buf_deinit(&link);
    return text;
}

static int print_json(const struct admin_request *request, const json_t *row, struct buf *out)
{
    const struct entity *entity = request->endpoint->entity;
    if (!request->hides_secrets && body_is_printable(entity, row))
        return body_print(entity, row, out);
    json_t *body = body_of(request, entity, row);
    char *text = body ? json_dumps(body, ENTITY_DUMP_FLAGS) : NULL;
    int rc = text ? buf_append(out, text, strlen(text)) : UV_ENOMEM;
    free(text);
    json_decref(body);
    return rc;
}

/* No two rows are there as objects at once: the next one finds the last one's memory in the cache.
 */
static int print_row(const struct admin_request *request, const struct packed_row *packed,
                     struct buf *out)
{
    json_t *row = packed_row_unpack(packed);
    int rc = row ? print_json(request, row, out) : UV_ENOMEM;
    json_decref(row);
    return rc;
}

/* "next":…, and the offset in it. */
static int print_end(struct admin_request *request, const char *parent_id,
                     const struct packed_row *last, struct buf *out)
{
    const char *offset = last ? page_offset(&request->arena, packed_row_id(last)) : NULL;
    json_t *end = offset ? json_pack("{s:o, s:s}", "next", next_link(request, parent_id, offset),
                                     "offset", offset)
                         : json_pack("{s:n}", "next");
    char *text = end ? json_dumps(end, ENTITY_DUMP_FLAGS) : NULL;
    int rc = text ? buf_append(out, text + 1, strlen(text) - 1) : UV_ENOMEM; /* without its "{" */
    free(text);
    json_decref(end);
    return rc;
}

static int print_page(struct admin_request *request, const char *parent_id,
                      const struct packed_row *const *rows, size_t count, bool has_more,
                      struct buf *out)
{
    int rc = buf_append(out, STR("{\"data\":[").ptr, STR("{\"data\":[").len);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0)
            rc = buf_append(out, ",", 1);
        if (rc == 0)
            rc = print_row(request, rows[i], out);
    }
    if (rc == 0)
        rc = buf_append(out, "],", 2);
    return rc ? rc
              : print_end(request, parent_id, has_more && count > 0 ? rows[count - 1] : NULL, out);
}

/* As text: a thousand rows as objects would hold up control for what else it has to do. */
static void answer_page(struct admin_request *request, const char *parent_id,
                        const struct packed_row *const *rows, size_t count, bool has_more)
{
    struct buf page;
    buf_init(&page, MAX_PAGE_BYTES);
    int rc = print_page(request, parent_id, rows, count, has_more, &page);
    if (rc) {
        buf_deinit(&page);
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
        return;
    }
    /* The request takes the bytes over: they begin where they were allocated. */
    admin_request_answer_text(request, NULL, page.data, buf_len(&page));
}

/* GET /consumers?custom_id=x: a list of one row or none. */
static void answer_search(struct admin_request *request, struct str value)
{
    const struct entity *entity = request->endpoint->entity;
    if (value.len == 0) {
        json_t *message = json_sprintf("%s must be an unempty string", entity->searched_by);
        admin_request_answer(request, 400, json_pack("{s:o}", "message", message));
        return;
    }
    const json_t *row =
        config_find_value(request->node->config, entity, entity->searched_by, value);
    json_t *data = json_array();
    if (row)
        json_array_append_new(data, body_of(request, entity, row));
    admin_request_answer(request, 200, json_pack("{s:o, s:n}", "data", data, "next"));
}

void admin_crud_list(struct admin_request *request)
{
    const struct admin_endpoint *endpoint = request->endpoint;
    const struct config *config = request->node->config;
    const char *parent_id;
    struct str searched;
    if (!endpoint->parent && endpoint->entity->searched_by &&
        admin_request_query(request, endpoint->entity->searched_by, &searched)) {
        answer_search(request, searched);
        return;
    }
    int rc = find_parent(request, config, &parent_id);
    struct page page;
    if (rc != 0 || !page_parse(request, !parent_id, &page)) {
        answer_failure(request, rc);
        return;
    }
    const struct packed_row **rows =
        arena_alloc(&request->arena, page.size * sizeof(struct packed_row *));
    if (!rows) {
        answer_failure(request, UV_ENOMEM);
        return;
    }
    const char *const *tags = page.tags[0] ? page.tags : NULL;
    bool has_more = false;
    size_t count = config_list_packed(
        config, endpoint->entity, page.after, parent_id ? endpoint->foreign : NULL, parent_id,
        page.any_tag ? NULL : tags, page.any_tag ? tags : NULL, rows, page.size, &has_more);
    answer_page(request, parent_id, rows, count, has_more);
}

void admin_crud_read(struct admin_request *request)
{
    const struct config *config = request->node->config;
    const char *parent_id;
    const json_t *row;
    int rc = find_parent(request, config, &parent_id);
    if (rc == 0)
        rc = find_own(request, config, parent_id, &row);
    if (rc == 0)
        admin_request_answer(request, 200, body_of(request, request->endpoint->entity, row));
    else
        answer_failure(request, rc);
}

/* ---- writes ---- */

/* What a write that didn't come about is answered with. */
static void answer_refused(struct admin_request *request, int rc)
{
    if (!request->is_planned && rc != UV_ECANCELED) {
        answer_failure(request, rc);
        return;
    }
    int status;
    json_t *body = admin_problem_of_store(rc, &status);
    request->is_temporary = status == 503;
    admin_request_answer(request, status, body);
}

static void answer_row(struct admin_request *request, int rc, int status)
{
    if (rc != 0)
        answer_refused(request, rc);
    else
        admin_request_answer_write(request, status,
                                   body_of(request, request->endpoint->entity, request->row));
}

/* A plan may be made again, when another node has changed what it was based on. */
static struct admin_request *begin_plan(struct config_write *write)
{
    struct admin_request *request = request_of(write);
    config_change_deinit(&write->change);
    json_decref(request->row);
    request->row = NULL;
    request->is_planned = false;
    violation_deinit(&request->violation);
    return request;
}

/* Whether other rows than those that this node knows may lead to another answer. */
static bool hangs_on_rows(const struct admin_request *request, int rc)
{
    if (rc == 0)
        return request->write.change.count == 0;
    if (rc != UV_EINVAL)
        return rc == UV_ENOENT;
    switch (request->violation.code) {
    case VIOLATION_PRIMARY_KEY:
    case VIOLATION_FOREIGN_KEY:
    case VIOLATION_UNIQUE:
    case VIOLATION_NOT_FOUND:
    case VIOLATION_UNRESOLVED:
    case VIOLATION_REFERENCED:
        return true;
    default:
        return false;
    }
}

/* Keeps the planned row until the answer: what it borrows from goes with the change. */
static int planned(struct admin_request *request, const struct config *config, int rc,
                   const json_t *row)
{
    request->write.hangs_on_rows = hangs_on_rows(request, rc);
    if (rc != 0)
        return rc;
    audit_note_before(request, config);
    request->is_planned = true;
    request->row = row ? json_incref((json_t *)row) : NULL;
    return 0;
}

static void submit(struct admin_request *request,
                   int (*plan)(struct config_write *, const struct config *),
                   void (*done)(struct config_write *, int))
{
    const struct admin_node *node = request->node;
    request->write.plan = plan;
    request->write.done = done;
    node->submit(node->control, &request->write);
}

static int plan_create(struct config_write *write, const struct config *config)
{
    struct admin_request *request = begin_plan(write);
    const struct admin_endpoint *endpoint = request->endpoint;
    const char *parent_id;
    const json_t *row = NULL;
    int rc = find_parent(request, config, &parent_id);
    if (rc == 0)
        rc = config_plan_insert(config, endpoint->entity, request->input,
                                parent_id ? endpoint->foreign : NULL, parent_id, &write->change,
                                &row, &request->violation);
    return planned(request, config, rc, row);
}

static void on_create_done(struct config_write *write, int rc)
{
    answer_row(request_of(write), rc, 201);
}

void admin_crud_create(struct admin_request *request)
{
    submit(request, plan_create, on_create_done);
}

/* config_plan_replace or config_plan_update. */
typedef int (*plan_row_cb)(const struct config *config, const struct entity *entity, struct str key,
                           const json_t *input, const char *parent_field, const char *parent_id,
                           struct config_change *change, const json_t **ret_row,
                           struct violation *violation);

static int plan_row(struct config_write *write, const struct config *config, plan_row_cb plan)
{
    struct admin_request *request = begin_plan(write);
    const struct admin_endpoint *endpoint = request->endpoint;
    const char *parent_id;
    const json_t *row = NULL;
    int rc = find_parent(request, config, &parent_id);
    if (rc == 0)
        rc = plan(config, endpoint->entity, own_key(request), request->input,
                  parent_id ? endpoint->foreign : NULL, parent_id, &write->change, &row,
                  &request->violation);
    return planned(request, config, rc, row);
}

static int plan_replace(struct config_write *write, const struct config *config)
{
    return plan_row(write, config, config_plan_replace);
}

static void on_row_done(struct config_write *write, int rc)
{
    answer_row(request_of(write), rc, 200);
}

void admin_crud_replace(struct admin_request *request)
{
    submit(request, plan_replace, on_row_done);
}

static int plan_update(struct config_write *write, const struct config *config)
{
    return plan_row(write, config, config_plan_update);
}

void admin_crud_update(struct admin_request *request)
{
    submit(request, plan_update, on_row_done);
}

static int plan_remove(struct config_write *write, const struct config *config)
{
    struct admin_request *request = begin_plan(write);
    const struct admin_endpoint *endpoint = request->endpoint;
    const char *parent_id;
    int rc = find_parent(request, config, &parent_id);
    if (rc == 0)
        rc = config_plan_remove(config, endpoint->entity, own_key(request),
                                parent_id ? endpoint->foreign : NULL, parent_id, &write->change,
                                &request->violation);
    return planned(request, config, rc, NULL);
}

static void on_remove_done(struct config_write *write, int rc)
{
    struct admin_request *request = request_of(write);
    if (rc != 0)
        answer_refused(request, rc);
    else
        admin_request_answer_write(request, 204, NULL);
}

void admin_crud_remove(struct admin_request *request)
{
    submit(request, plan_remove, on_remove_done);
}

/* ---- the entity that a row refers to ---- */

/* The id in the holder's foreign field; *ret_id is NULL when it is unset. */
static int find_foreign(struct admin_request *request, const struct config *config,
                        const char **ret_id)
{
    const struct admin_endpoint *endpoint = request->endpoint;
    const json_t *holder = config_find(config, endpoint->parent, str_of(request->params[0]), NULL,
                                       &request->violation);
    if (!holder)
        return request->violation.code ? UV_EINVAL : UV_ENOENT;
    *ret_id = foreign_id(holder, endpoint->foreign);
    return 0;
}

void admin_crud_read_foreign(struct admin_request *request)
{
    const struct admin_endpoint *endpoint = request->endpoint;
    const struct config *config = request->node->config;
    const char *id = NULL;
    int rc = find_foreign(request, config, &id);
    const json_t *row = id ? config_get(config, endpoint->entity, str_of(id)) : NULL;
    if (row)
        admin_request_answer(request, 200, body_of(request, endpoint->entity, row));
    else
        answer_failure(request, rc ? rc : UV_ENOENT);
}

static int plan_update_foreign(struct config_write *write, const struct config *config)
{
    struct admin_request *request = begin_plan(write);
    const char *id = NULL;
    const json_t *row = NULL;
    int rc = find_foreign(request, config, &id);
    if (rc == 0 && !id)
        rc = UV_ENOENT;
    if (rc == 0)
        rc = config_plan_update(config, request->endpoint->entity, str_of(id), request->input, NULL,
                                NULL, &write->change, &row, &request->violation);
    return planned(request, config, rc, row);
}

void admin_crud_update_foreign(struct admin_request *request)
{
    submit(request, plan_update_foreign, on_row_done);
}

/* Points the row that comes first in the path to the new entity. */
static int plan_link(struct admin_request *request, const struct config *config, const char *id)
{
    const struct admin_endpoint *endpoint = request->endpoint;
    json_t *input = json_pack("{s:{s:s}}", endpoint->foreign, "id", id);
    int rc = input
                 ? config_plan_update(config, endpoint->parent, str_of(request->params[0]), input,
                                      NULL, NULL, &request->write.change, NULL, &request->violation)
                 : UV_ENOMEM;
    json_decref(input);
    return rc;
}

static int plan_replace_foreign(struct config_write *write, const struct config *config)
{
    struct admin_request *request = begin_plan(write);
    const char *id = NULL;
    const json_t *row = NULL;
    int rc = find_foreign(request, config, &id);
    if (rc != 0)
        return planned(request, config, rc, NULL);
    bool is_new = !id;
    char uuid[UUID_TEXT_BYTES];
    if (is_new) {
        random_uuid(uuid);
        id = uuid;
    }
    rc = config_plan_replace(config, request->endpoint->entity, str_of(id), request->input, NULL,
                             NULL, &write->change, &row, &request->violation);
    if (rc == 0 && is_new)
        rc = plan_link(request, config, id);
    return planned(request, config, rc, row);
}

void admin_crud_replace_foreign(struct admin_request *request)
{
    submit(request, plan_replace_foreign, on_row_done);
}

void admin_crud_remove_foreign(struct admin_request *request)
{
    const char *id = NULL;
    int rc = find_foreign(request, request->node->config, &id);
    if (rc == 0 && id)
        admin_request_answer_message(request, 405, admin_problem_of_status(405));
    else
        answer_failure(request, rc ? rc : UV_ENOENT);
}
