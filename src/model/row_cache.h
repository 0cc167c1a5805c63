/* row_cache.h - what was made of rows, kept from one compilation to the next for as long as a row
 * stays: most changes leave nearly all rows alone.
 *
 * A row that changes is a new one, so that the same address means: nothing has changed.
 *
 * Thread: control. Memory: holds a reference to each row and to what was made of it. */
#ifndef MODEL_ROW_CACHE_H
#define MODEL_ROW_CACHE_H

#include <stddef.h>

#include "base/str.h"
#include "model/packed_row.h"

struct row_cache_entry {
    struct packed_row *row; /* a reference: while it is held, no other row can have this address */
    void *made;             /* a reference */
};

struct row_cache {
    void (*unref)(void *made);
    struct row_cache_entry *entries; /* owned; in order of ids */
    size_t count, capacity;
};

/* Walks through `before` in step with rows in order of ids, and takes out of it what stays. What is
 * left then is to be cleared: so nothing is counted up and down for the many that stay. */
struct row_cache_cursor {
    struct row_cache *before;
    size_t at;
};

/* Moves the very row, with what was made of it, from `before` into `now`. What was made, borrowed;
 * NULL: the row is new or another one by now (or memory is short), and is to be added. */
void *row_cache_move(struct row_cache_cursor *cursor, const struct packed_row *row,
                     struct row_cache *now);
/* Takes the reference to `made` over, also when it fails. Rows come in order of ids. 0 or
 * UV_ENOMEM. */
int row_cache_add(struct row_cache *now, const struct packed_row *row, void *made);
/* Another `made` for the row that came last; takes the reference over. */
void row_cache_replace(struct row_cache *now, void *made);
/* The place of the row with that id, or `count`. */
size_t row_cache_find(const struct row_cache *cache, struct str id);
/* Empty again; it may be used further. */
void row_cache_clear(struct row_cache *cache);

#endif
