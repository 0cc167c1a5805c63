#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena, size_t block_bytes, size_t max_bytes)
{
    *arena = (struct arena){.block_bytes = block_bytes, .max_bytes = max_bytes};
}

static void free_chain(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_deinit(struct arena *arena)
{
    free_chain(arena->first);
    arena->first = arena->current = NULL;
    arena->total_bytes = 0;
}

void arena_reset(struct arena *arena)
{
    arena->ran_out = false;
    if (!arena->first)
        return;
    if (arena->first->next) {
        free_chain(arena->first->next);
        arena->first->next = NULL;
        arena->total_bytes = arena->first->size;
    }
    arena->first->used = 0;
    arena->current = arena->first;
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    size_t bytes = size > arena->block_bytes ? size : arena->block_bytes;
    if (bytes > arena->max_bytes - arena->total_bytes) {
        bytes = size;
        if (bytes > arena->max_bytes - arena->total_bytes)
            return NULL;
    }
    struct arena_block *block = malloc(sizeof(*block) + bytes);
    if (!block)
        return NULL;
    *block = (struct arena_block){.size = bytes};
    if (arena->current)
        arena->current->next = block;
    else
        arena->first = block;
    arena->current = block;
    arena->total_bytes += bytes;
    return block;
}

static void *run_out(struct arena *arena)
{
    arena->ran_out = true;
    return NULL;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return run_out(arena);
    size = (size + align - 1) & ~(align - 1);
    struct arena_block *block = arena->current;
    if (!block || block->size - block->used < size)
        if (!(block = add_block(arena, size)))
            return run_out(arena);
    void *piece = block->bytes + block->used;
    block->used += size;
    return piece;
}

struct str arena_copy(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    if (!copy)
        return STR_EMPTY;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return str_make(copy, s.len);
}
