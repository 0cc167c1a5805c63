#include "base/map.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#define FIRST_CAPACITY 16

void map_deinit(struct map *map)
{
    for (size_t i = 0; !map->borrows_keys && i < map->capacity; i++)
        free(map->slots[i].key);
    free(map->slots);
    *map = (struct map){0};
}

/* The slot that holds key, or the free one where it would go. There is always a free one. */
static struct map_slot *find(struct map_slot *slots, size_t capacity, struct str key)
{
    size_t at = (size_t)str_hash(key) & (capacity - 1);
    while (slots[at].key && !str_equal(str_make(slots[at].key, slots[at].key_len), key))
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

void *map_get(const struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    return find(map->slots, map->capacity, key)->value;
}

static int grow(struct map *map)
{
    size_t capacity = map->capacity ? map->capacity * 2 : FIRST_CAPACITY;
    struct map_slot *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return UV_ENOMEM;
    for (size_t i = 0; i < map->capacity; i++) {
        struct map_slot *old = &map->slots[i];
        if (old->key)
            *find(slots, capacity, str_make(old->key, old->key_len)) = *old;
    }
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return 0;
}

int map_put(struct map *map, struct str key, void *value, void **ret_old)
{
    if (map->count * 4 >= map->capacity * 3) {
        int rc = grow(map);
        if (rc)
            return rc;
    }
    struct map_slot *slot = find(map->slots, map->capacity, key);
    void *old = slot->value;
    bool is_new = !slot->key;
    if (is_new && !map->borrows_keys && !(slot->key = str_dup(key)))
        return UV_ENOMEM;
    if (map->borrows_keys) /* of the new value, as the old one may go */
        slot->key = (char *)(uintptr_t)key.ptr;
    slot->key_len = key.len;
    map->count += is_new;
    slot->value = value;
    if (ret_old)
        *ret_old = old;
    return 0;
}

void *map_remove(struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    struct map_slot *slot = find(map->slots, map->capacity, key);
    if (!slot->key)
        return NULL;
    void *value = slot->value;
    if (!map->borrows_keys)
        free(slot->key);
    *slot = (struct map_slot){0};
    map->count--;

    /* Entries that had stepped over this slot move up, so that no search stops too early. */
    size_t mask = map->capacity - 1;
    for (size_t at = ((size_t)(slot - map->slots) + 1) & mask; map->slots[at].key;
         at = (at + 1) & mask) {
        struct map_slot entry = map->slots[at];
        map->slots[at] = (struct map_slot){0};
        *find(map->slots, map->capacity, str_make(entry.key, entry.key_len)) = entry;
    }
    return value;
}

bool map_each(const struct map *map, size_t *at, struct str *ret_key, void **ret_value)
{
    while (*at < map->capacity) {
        struct map_slot *slot = &map->slots[(*at)++];
        if (!slot->key)
            continue;
        if (ret_key)
            *ret_key = str_make(slot->key, slot->key_len);
        *ret_value = slot->value;
        return true;
    }
    return false;
}
