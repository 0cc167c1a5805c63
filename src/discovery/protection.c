#include "discovery/protection.h"

#include <uv.h> /* error codes only */

static bool is_usable(const struct discovered *item)
{
    return item->status <= DISCOVERED_WARNING;
}

/* The item of `list` that is the same target, from *at on, where the search for the next goes on.
 */
static const struct discovered *find_from(const struct discovered_list *list, uint32_t *at,
                                          const struct discovered *item)
{
    for (; *at < list->count; ++*at) {
        int order = discovered_compare(&list->items[*at], item);
        if (order >= 0)
            return order == 0 ? &list->items[*at] : NULL;
    }
    return NULL;
}

bool protection_is_mass_removal(const struct discovered_list *last,
                                const struct discovered_list *now)
{
    uint32_t pool = 0, lost = 0, at = 0;
    for (uint32_t i = 0; last && i < last->count; i++) {
        bool is_lost = !find_from(now, &at, &last->items[i]);
        pool += is_usable(&last->items[i]);
        lost += is_usable(&last->items[i]) && is_lost;
    }
    if (lost == 0)
        return false;
    return (pool >= 3 && lost * 2 >= pool) || discovered_list_count_usable(now) == 0;
}

uint32_t protection_count_missing(const struct discovered_list *last,
                                  const struct discovered_list *now)
{
    uint32_t missing = 0, at = 0;
    for (uint32_t i = 0; last && i < last->count; i++)
        missing += !find_from(now, &at, &last->items[i]);
    return missing;
}

bool protection_takes_away(const struct discovered_list *last, const struct discovered_list *now)
{
    uint32_t at = 0;
    for (uint32_t i = 0; last && i < last->count; i++) {
        const struct discovered *found = find_from(now, &at, &last->items[i]);
        if (is_usable(&last->items[i]) && (!found || found->status > last->items[i].status))
            return true;
    }
    return false;
}

bool protection_agrees(const struct discovered_list *last, const struct discovered_list *earlier,
                       const struct discovered_list *now)
{
    uint32_t at_now = 0, at_earlier = 0;
    for (uint32_t i = 0; last && i < last->count; i++) {
        const struct discovered *item = &last->items[i];
        bool was_there = find_from(earlier, &at_earlier, item) != NULL;
        bool is_there = find_from(now, &at_now, item) != NULL;
        if (is_usable(item) && !is_there && was_there)
            return false;
    }
    return true;
}

static int add_better(struct discovered_list *list, const struct discovered *last,
                      const struct discovered *now)
{
    return discovered_list_add(list, last && last->status < now->status ? last : now);
}

int protection_merge(const struct discovered_list *last, const struct discovered_list *now,
                     struct discovered_list **ret)
{
    struct discovered_list *list;
    int rc = discovered_list_create(&list);
    if (rc)
        return rc;
    for (uint32_t i = 0, j = 0; !rc && (i < last->count || j < now->count);) {
        const struct discovered *was = i < last->count ? &last->items[i] : NULL;
        const struct discovered *is = j < now->count ? &now->items[j] : NULL;
        int order = !was ? 1 : !is ? -1 : discovered_compare(was, is);
        rc = order < 0   ? discovered_list_add(list, was)
             : order > 0 ? discovered_list_add(list, is)
                         : add_better(list, was, is);
        i += order <= 0;
        j += order >= 0;
    }
    if (rc) {
        discovered_list_destroy(list);
        return rc;
    }
    discovered_list_seal(list);
    *ret = list;
    return 0;
}
