/* map.h - names to pointers: open addressing, values borrowed, keys copied unless they are borrowed
 * too: in the value, mostly, which then outlives its entry.
 *
 * For the control thread's tables. Its hash is not keyed: not for keys that an attacker chooses in
 * bulk (such as header names of requests).
 *
 * Thread: one owner. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct map_slot {
    char *key; /* owned or borrowed; NULL: free */
    size_t key_len;
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    bool borrows_keys; /* set before the first one is put */
};

/* A zeroed map is empty and ready; but for borrows_keys so it is again afterwards. */
void map_deinit(struct map *map);
void *map_get(const struct map *map, struct str key); /* NULL when absent */
/* Sets key to value (not NULL); *ret_old (may be NULL) gets what was there. 0 or UV_ENOMEM. */
int map_put(struct map *map, struct str key, void *value, void **ret_old);
/* Returns what was there, or NULL. */
void *map_remove(struct map *map, struct str key);
/* Walks in no order: start with *at = 0; false at the end. The map must not change meanwhile.
 * *ret_key (may be NULL) is borrowed until the entry goes. */
bool map_each(const struct map *map, size_t *at, struct str *ret_key, void **ret_value);

#endif
