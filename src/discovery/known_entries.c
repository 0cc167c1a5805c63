#include "discovery/known_entries.h"

#include <stdlib.h>

#define SLOTS_MIN 16

void known_entries_init(struct known_entries *known, struct discovered_list *const *list)
{
    *known = (struct known_entries){.key = siphash_random_key(), .list = list};
}

void known_entries_deinit(struct known_entries *known)
{
    free(known->slots);
    known->slots = NULL;
}

uint64_t known_entries_fingerprint(const struct known_entries *known, struct str bytes)
{
    uint64_t fingerprint = siphash(&known->key, bytes);
    return fingerprint ? fingerprint : 1;
}

/* Without memory nothing is found, and all is parsed. */
static void build_index(struct known_entries *known, const struct discovered_list *list)
{
    uint32_t size = SLOTS_MIN;
    while (size < list->count * 2)
        size *= 2;
    known_entries_deinit(known);
    known->indexed = list;
    known->mask = size - 1;
    known->slots = calloc(size, sizeof(*known->slots));
    for (uint32_t i = 0; known->slots && i < list->count; i++) {
        uint32_t at = (uint32_t)list->items[i].fingerprint & known->mask;
        if (list->items[i].fingerprint == 0)
            continue;
        while (known->slots[at])
            at = (at + 1) & known->mask;
        known->slots[at] = i + 1;
    }
}

const struct discovered *known_entries_find(struct known_entries *known, uint64_t fingerprint)
{
    const struct discovered_list *list = *known->list;
    if (!list)
        return NULL;
    if (known->indexed != list)
        build_index(known, list);
    if (!known->slots)
        return NULL;
    for (uint32_t at = (uint32_t)fingerprint & known->mask; known->slots[at];
         at = (at + 1) & known->mask) {
        uint32_t number = known->slots[at] - 1;
        /* Another list may have taken the old one's place in memory: only the item itself counts.
         */
        if (number < list->count && list->items[number].fingerprint == fingerprint)
            return &list->items[number];
    }
    return NULL;
}
