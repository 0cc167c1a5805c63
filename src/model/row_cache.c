#include "model/row_cache.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#define FIRST_CAPACITY 64

static struct str id_of(const struct packed_row *row)
{
    return str_make(packed_row_id(row), row->id_len);
}

static int compare_ids(struct str a, struct str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static struct row_cache_entry *push(struct row_cache *cache)
{
    if (cache->count == cache->capacity) {
        size_t capacity = cache->capacity ? cache->capacity * 2 : FIRST_CAPACITY;
        struct row_cache_entry *more = realloc(cache->entries, capacity * sizeof(*more));
        if (!more)
            return NULL;
        cache->entries = more;
        cache->capacity = capacity;
    }
    return &cache->entries[cache->count++];
}

static void *move(struct row_cache_entry *from, struct row_cache *now)
{
    struct row_cache_entry *to = push(now);
    if (!to)
        return NULL;
    *to = *from;
    *from = (struct row_cache_entry){0};
    return to->made;
}

void *row_cache_move(struct row_cache_cursor *cursor, const struct packed_row *row,
                     struct row_cache *now)
{
    struct row_cache *before = cursor->before;
    while (cursor->at < before->count) {
        struct row_cache_entry *here = &before->entries[cursor->at];
        if (here->row == row) {
            cursor->at++;
            return move(here, now);
        }
        if (compare_ids(id_of(here->row), id_of(row)) > 0)
            return NULL; /* the row is new */
        cursor->at++;    /* that one has gone, or is another one by now */
    }
    return NULL;
}

int row_cache_add(struct row_cache *now, const struct packed_row *row, void *made)
{
    struct row_cache_entry *entry = push(now);
    if (!entry) {
        now->unref(made);
        return UV_ENOMEM;
    }
    *entry = (struct row_cache_entry){packed_row_ref(row), made};
    return 0;
}

void row_cache_replace(struct row_cache *now, void *made)
{
    struct row_cache_entry *last = &now->entries[now->count - 1];
    now->unref(last->made);
    last->made = made;
}

size_t row_cache_find(const struct row_cache *cache, struct str id)
{
    size_t low = 0, high = cache->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_ids(id_of(cache->entries[middle].row), id);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return cache->count;
}

void row_cache_clear(struct row_cache *cache)
{
    for (size_t i = 0; i < cache->count; i++) {
        if (!cache->entries[i].row)
            continue; /* it was moved */
        packed_row_unref(cache->entries[i].row);
        cache->unref(cache->entries[i].made);
    }
    free(cache->entries);
    *cache = (struct row_cache){.unref = cache->unref};
}
