#include "discovery/dns_partial.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#define UNSEEN_MIN_MS 30000
/* With so many times the answers that would show the whole pool, had each target its turn, one that
 * is still there has been left out by chance once in e^12 = 160,000 times. */
#define CHANCES 12

void dns_partial_deinit(struct dns_partial *partial)
{
    free(partial->seen_ms);
    *partial = (struct dns_partial){0};
}

void dns_partial_reset(struct dns_partial *partial)
{
    dns_partial_deinit(partial);
}

static uint64_t patience_ms(const struct dns_partial *partial, uint32_t pool, uint32_t shown,
                            uint64_t now_ms)
{
    uint64_t interval_ms = partial->merged_ms ? now_ms - partial->merged_ms : 0;
    uint64_t ms = shown ? CHANCES * interval_ms * pool / shown : UINT64_MAX;
    return ms > UNSEEN_MIN_MS ? ms : UNSEEN_MIN_MS;
}

struct merger {
    struct discovered_list *list;
    uint64_t *seen_ms;
    uint32_t count;
};

static int take(struct merger *merger, const struct discovered *item, uint64_t seen_ms)
{
    merger->seen_ms[merger->count++] = seen_ms;
    return discovered_list_add(merger->list, item);
}

int dns_partial_merge(struct dns_partial *partial, const struct discovered_list *last,
                      const struct discovered_list *now, uint64_t now_ms,
                      struct discovered_list **ret)
{
    uint32_t last_count = last ? last->count : 0;
    bool has_times = partial->count == last_count;
    uint64_t limit_ms = patience_ms(partial, last_count, now->count, now_ms);
    struct merger merger = {0};
    int rc = discovered_list_create(&merger.list);
    if (rc)
        return rc;
    rc = UV_ENOMEM;
    merger.seen_ms = calloc((size_t)last_count + now->count + 1, sizeof(*merger.seen_ms));
    if (!merger.seen_ms)
        goto fail;
    for (uint32_t i = 0, j = 0; i < last_count || j < now->count;) {
        const struct discovered *was = i < last_count ? &last->items[i] : NULL;
        const struct discovered *is = j < now->count ? &now->items[j] : NULL;
        int order = !was ? 1 : !is ? -1 : discovered_compare(was, is);
        uint64_t seen_ms = was && has_times ? partial->seen_ms[i] : now_ms;
        rc = 0;
        if (order >= 0)
            rc = take(&merger, is, now_ms);
        else if (now_ms - seen_ms < limit_ms)
            rc = take(&merger, was, seen_ms);
        if (rc)
            goto fail;
        i += order <= 0;
        j += order >= 0;
    }
    discovered_list_seal(merger.list); /* sorted already, so that the times stay beside */
    free(partial->seen_ms);
    *partial = (struct dns_partial){merger.seen_ms, merger.count, now_ms};
    *ret = merger.list;
    return 0;
fail:
    free(merger.seen_ms);
    discovered_list_destroy(merger.list);
    return rc;
}
