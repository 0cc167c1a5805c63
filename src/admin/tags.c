#include "admin/tags.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/paging.h"
#include "admin/problem.h"
#include "admin/server.h"
#include "base/buf.h"
#include "model/packed_row.h"

#define MAX_LINK_BYTES ((size_t)64 << 10)

/* Where a page goes on: tags are listed by entity, in order of their rows, in the order they have
 * in a row. The token holds the number of tags before it, so that a page that was written
 * meanwhile may repeat one or miss one, as Kong's does. */
struct walk {
    const char *wanted; /* NULL: all */
    size_t skip;
    size_t size;
    size_t seen;
    json_t *data;
    bool has_more;
};

static int add_tags(struct walk *walk, const char *kind, const char *id, const json_t *tags)
{
    size_t i;
    json_t *tag;
    json_array_foreach(tags, i, tag)
    {
        if (walk->wanted && strcmp(walk->wanted, json_string_value(tag)) != 0)
            continue;
        if (walk->seen++ < walk->skip)
            continue;
        if (json_array_size(walk->data) == walk->size) {
            walk->has_more = true;
            return 1;
        }
        json_array_append_new(walk->data, json_pack("{s:s, s:s, s:O}", "entity_name", kind,
                                                    "entity_id", id, "tag", tag));
    }
    return 0;
}

static int each_row(void *arg, const char *kind, const struct packed_row *row)
{
    if (packed_row_is_over(row))
        return 0;
    json_t *tags = packed_row_get(row, "tags");
    int rc = add_tags(arg, kind, packed_row_id(row), tags);
    json_decref(tags);
    return rc;
}

static json_t *link_of(const struct walk *walk, const char *offset)
{
    struct buf link;
    buf_init(&link, MAX_LINK_BYTES);
    buf_printf(&link, "/tags");
    size_t len = walk->wanted ? strlen(walk->wanted) : 0;
    char *room = walk->wanted ? buf_reserve(&link, len * 3 + 2) : NULL;
    if (room) {
        room[0] = '/';
        urlencoded_escape(str_of(walk->wanted), room + 1);
        buf_commit(&link, strlen(room));
    }
    buf_printf(&link, "?offset=%s&size=%zu", offset, walk->size);
    json_t *text = json_stringn(link.data + link.start, buf_len(&link));
    buf_deinit(&link);
    return text;
}

void admin_tags_list(struct admin_request *request)
{
    struct page page;
    if (!page_parse(request, false, &page)) {
        admin_request_answer_violation(request, &request->violation);
        return;
    }
    const char *wanted = request->segment_count > 1 ? request->params[0] : NULL;
    struct walk walk = {.wanted = wanted, .size = page.size, .data = json_array()};
    uint64_t skip;
    if (page.after && str_to_u64(str_of(page.after), &skip))
        walk.skip = (size_t)skip;
    config_each(request->node->config, each_row, &walk);

    char count[24];
    snprintf(count, sizeof(count), "%zu", walk.skip + json_array_size(walk.data));
    const char *offset = walk.has_more ? page_offset(&request->arena, count) : NULL;
    json_t *body = json_pack("{s:o, s:n}", "data", walk.data, "next");
    if (offset) {
        json_object_set_new(body, "offset", json_string(offset));
        json_object_set_new(body, "next", link_of(&walk, offset));
    }
    admin_request_answer(request, 200, body);
}
