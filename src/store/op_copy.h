/* op_copy.h - a commit's ops as a copy of the engine's own, while it waits for its turn.
 *
 * Thread: any. Memory: the arena's. */
#ifndef STORE_OP_COPY_H
#define STORE_OP_COPY_H

#include "base/arena.h"
#include "store/store.h"

#define OP_COPY_BLOCK_BYTES 4096
#define OP_COPY_MAX_BYTES ((size_t)1 << 30) /* of one transaction's texts */

/* Copies the ops with all their texts; NULL when memory is short or the maximum reached. */
struct store_op *op_copy(struct arena *arena, const struct store_op *ops, size_t count);

#endif
