#include "discovery/endpoint_set.h"

#include <assert.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "net/ip.h"

#define ARENA_BLOCK_BYTES 4096

static int compare_str(struct str a, struct str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

struct ranked {
    const struct candidate *candidate;
};

/* By address; among the same the one to keep comes first, by a rule that doesn't depend on the
 * order of the answer. */
static int by_address(const void *left, const void *right)
{
    const struct candidate *a = ((const struct ranked *)left)->candidate;
    const struct candidate *b = ((const struct ranked *)right)->candidate;
    int order = ip_compare(&a->address, &b->address);
    if (!order)
        order = (int)a->status - (int)b->status;
    if (!order)
        order = (int)a->priority - (int)b->priority;
    if (!order)
        order = (int)a->kind - (int)b->kind;
    if (!order)
        order = compare_str(a->datacenter, b->datacenter);
    if (!order)
        order = compare_str(a->node, b->node);
    if (!order)
        order = compare_str(a->instance, b->instance);
    if (!order)
        order = compare_str(a->host, b->host);
    return order;
}

static bool is_same(const struct endpoint_entry *entry, const struct candidate *candidate)
{
    const struct target_state *target = entry->target;
    return entry->kind == candidate->kind && str_equal(entry->datacenter, candidate->datacenter) &&
           str_equal(str_of(target->node), candidate->node) &&
           str_equal(str_of(target->instance), candidate->instance) &&
           str_equal(str_of(target->host), candidate->host);
}

/* What the one before says too is one text for both. */
static bool copy_str(struct arena *arena, struct str text, struct str before, struct str *ret)
{
    *ret = text.len == 0 ? STR_EMPTY : str_equal(text, before) ? before : arena_copy(arena, text);
    return text.len == 0 || ret->ptr;
}

static int fill_entry(struct endpoint_set *set, const struct candidate *candidate, uint32_t weight,
                      const struct endpoint_entry *old, uint32_t worker_count)
{
    struct endpoint_entry *entry = &set->entries[set->count];
    *entry = (struct endpoint_entry){.kind = candidate->kind,
                                     .status = candidate->status,
                                     .weight = weight,
                                     .out = candidate->out,
                                     .priority = candidate->priority};
    const struct endpoint_entry *before = set->count ? entry - 1 : &(struct endpoint_entry){0};
    if (!copy_str(&set->arena, candidate->datacenter, before->datacenter, &entry->datacenter) ||
        !copy_str(&set->arena, candidate->why, before->why, &entry->why))
        return UV_ENOMEM;
    if (old && is_same(old, candidate)) {
        entry->target = target_state_ref(old->target);
    } else {
        const struct target_identity identity = {
            .host = candidate->host,
            .instance = candidate->instance,
            .node = candidate->node,
            .address = &candidate->address.any,
        };
        if (target_state_create(&identity, worker_count, &entry->target))
            return UV_ENOMEM;
    }
    set->count++;
    return 0;
}

/* The entry of `set` with that address, from *at on, where the search for the next goes on. */
static const struct endpoint_entry *find_from(const struct endpoint_set *set, uint32_t *at,
                                              const union ip_address *address)
{
    while (set && *at < set->count) {
        const struct endpoint_entry *entry = &set->entries[*at];
        int order = ip_compare(&entry->target->address, address);
        if (order >= 0)
            return order == 0 ? entry : NULL;
        ++*at;
    }
    return NULL;
}

static int fill(struct endpoint_set *set, const struct ranked *ranked, size_t count,
                const struct endpoint_set *old, uint32_t worker_count)
{
    uint32_t at = 0;
    for (size_t i = 0, next; i < count; i = next) {
        const struct candidate *best = ranked[i].candidate;
        uint32_t weight = best->weight;
        for (next = i + 1; next < count; next++) {
            const struct candidate *twin = ranked[next].candidate;
            if (ip_compare(&best->address, &twin->address) != 0)
                break;
            if (twin->status == best->status && twin->weight > weight)
                weight = twin->weight;
        }
        const struct endpoint_entry *before = find_from(old, &at, &best->address);
        int rc = fill_entry(set, best, weight, before, worker_count);
        if (rc)
            return rc;
    }
    return 0;
}

int endpoint_set_build(const struct candidate *candidates, size_t count,
                       const struct endpoint_set *old, uint32_t worker_count,
                       struct endpoint_set **ret)
{
    int rc = UV_ENOMEM;
    struct ranked *ranked = NULL;
    struct endpoint_set *set = calloc(1, sizeof(*set));
    if (!set)
        return rc;
    arena_init(&set->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    if (count > 0) {
        set->entries = calloc(count, sizeof(*set->entries));
        ranked = calloc(count, sizeof(*ranked));
        if (!set->entries || !ranked)
            goto fail;
        for (size_t i = 0; i < count; i++)
            ranked[i].candidate = &candidates[i];
        qsort(ranked, count, sizeof(*ranked), by_address);
        if ((rc = fill(set, ranked, count, old, worker_count)))
            goto fail;
    }
    free(ranked);
    *ret = set;
    return 0;
fail:
    free(ranked);
    endpoint_set_destroy(set);
    return rc;
}

void endpoint_set_destroy(struct endpoint_set *set)
{
    if (!set)
        return;
    assert(set->entries || set->count == 0);
    for (uint32_t i = 0; i < set->count; i++)
        target_state_unref(set->entries[i].target);
    arena_deinit(&set->arena);
    free(set->entries);
    free(set);
}

static enum endpoint_change compare_entries(const struct endpoint_entry *before,
                                            const struct endpoint_entry *after)
{
    bool same = before->weight == after->weight && before->out == after->out &&
                before->status == after->status && before->priority == after->priority;
    return same ? ENDPOINT_STAYS : ENDPOINT_CHANGED;
}

/* Which of two comes first; NULL is behind the end. */
static int order_of(const struct endpoint_entry *was, const struct endpoint_entry *is)
{
    if (!was || !is)
        return was ? -1 : 1;
    return ip_compare(&was->target->address, &is->target->address);
}

void endpoint_set_diff(const struct endpoint_set *before, const struct endpoint_set *after,
                       endpoint_change_cb on_change, void *arg)
{
    uint32_t old_count = before ? before->count : 0, new_count = after ? after->count : 0;
    for (uint32_t i = 0, j = 0; i < old_count || j < new_count;) {
        const struct endpoint_entry *was = i < old_count ? &before->entries[i] : NULL;
        const struct endpoint_entry *is = j < new_count ? &after->entries[j] : NULL;
        int order = order_of(was, is);
        if (was && is && order == 0 && was->target == is->target) {
            on_change(arg, compare_entries(was, is), was, is);
        } else {
            if (order <= 0)
                on_change(arg, ENDPOINT_LEFT, was, NULL);
            if (order >= 0)
                on_change(arg, ENDPOINT_JOINED, NULL, is);
        }
        i += order <= 0;
        j += order >= 0;
    }
}
