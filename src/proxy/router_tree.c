#include "proxy/router_parts.h"

/* How many bytes the first and the last of a sorted range share, and so all of it. */
static uint32_t shared_length(const struct router_placement *placements,
                              const struct router_range *range)
{
    struct str first = placements[range->from].prefix;
    struct str last = placements[range->to - 1].prefix;
    uint32_t at = range->depth;
    while (at < first.len && at < last.len && first.ptr[at] == last.ptr[at])
        at++;
    return at;
}

/* Fills in a node for a range; the parts of the range that go on become its children. */
static void split_range(struct router *router, const struct router_placement *placements,
                        uint32_t index, struct router_range *ranges, uint32_t base)
{
    struct router_range range = ranges[index - base];
    uint32_t depth = shared_length(placements, &range);
    struct router_node *node = &router->nodes[index];
    struct str prefix = placements[range.from].prefix;

    *node = (struct router_node){
        .label = prefix.len ? prefix.ptr + range.depth : "",
        .label_len = depth - range.depth,
        .first_child = router->node_count,
        .first_entry = range.from,
        .filter = ROUTER_NO_FILTER,
    };
    if (node->label_len) /* but for a root, always */
        router->first_bytes[index] = node->label[0];

    uint32_t at = range.from;
    while (at < range.to && placements[at].prefix.len == depth)
        node->entry_count += !placements[at++].is_filtered;

    while (at < range.to) {
        uint32_t from = at;
        char first = placements[from].prefix.ptr[depth];
        while (at < range.to && placements[at].prefix.ptr[depth] == first)
            at++;
        ranges[router->node_count - base] = (struct router_range){from, at, depth};
        router->node_count++;
        node->child_count++;
    }
}

uint32_t router_tree_build(struct router *router, const struct router_placement *placements,
                           uint32_t from, uint32_t to, struct router_range *scratch)
{
    /* Level by level, so that children stand side by side and nothing is deep but the tree. */
    uint32_t root = router->node_count++;
    scratch[0] = (struct router_range){from, to, 0};
    for (uint32_t index = root; index < router->node_count; index++)
        split_range(router, placements, index, scratch, root);
    return root;
}

const struct router_node *router_tree_next(const struct router *router, struct str path,
                                           uint32_t *node, size_t *at)
{
    while (*node != ROUTER_NO_TREE) {
        const struct router_node *here = &router->nodes[*node];
        if (path.len - *at < here->label_len ||
            memcmp(path.ptr + *at, here->label, here->label_len) != 0) {
            *node = ROUTER_NO_TREE;
            return NULL;
        }
        *at += here->label_len;

        const char *child = NULL;
        if (here->child_count && *at < path.len)
            child =
                memchr(router->first_bytes + here->first_child, path.ptr[*at], here->child_count);
        *node = child ? (uint32_t)(child - router->first_bytes) : ROUTER_NO_TREE;
        if (here->entry_count)
            return here;
    }
    return NULL;
}
