/* arena.h - memory of one request: taken piece by piece, given back all at once.
 *
 * arena_reset keeps the first block, so that a request of usual size costs no malloc once the arena
 * is warm.
 *
 * Thread: one owner. Memory: blocks from malloc; at most max_bytes in all. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *first; /* owned; NULL until the first allocation */
    struct arena_block *current;
    size_t block_bytes;
    size_t total_bytes;
    size_t max_bytes;
    bool ran_out; /* some piece was asked for in vain, since the last reset */
};

/* Blocks of block_bytes, larger ones for larger pieces, max_bytes in all. Allocates nothing yet. */
void arena_init(struct arena *arena, size_t block_bytes, size_t max_bytes);
void arena_deinit(struct arena *arena);
/* Forgets all pieces, and that it ran out; keeps the first block. */
void arena_reset(struct arena *arena);
/* `size` bytes aligned for any type, not cleared; NULL when memory is short or the maximum reached:
 * ran_out is set then, for those who ask once, in the end. */
void *arena_alloc(struct arena *arena, size_t size);
/* A terminated copy; ptr is NULL when there is no memory. */
struct str arena_copy(struct arena *arena, struct str s);

#endif
