/* buf.h - a byte queue with a maximum: bytes go in at the end and out at the front.
 *
 * Thread: one owner. Memory: one block, doubled as needed up to the maximum, freed by buf_deinit
 * or buf_release. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include "base/str.h"

struct buf {
    char *data;
    size_t start; /* bytes at [start, end) are in the queue */
    size_t end;
    size_t capacity;
    size_t max_bytes;
};

/* Allocates nothing. max_bytes bounds what is queued at one time. */
void buf_init(struct buf *buf, size_t max_bytes);
void buf_deinit(struct buf *buf);
/* Room for `more` bytes at the end, contiguous; returns where to put them, or NULL when that passes
 * the maximum or memory is short. Then buf_commit says how many were put there. */
char *buf_reserve(struct buf *buf, size_t more);
void buf_commit(struct buf *buf, size_t count);
/* 0, UV_ENOBUFS when the maximum would be passed (nothing is added), or UV_ENOMEM. */
int buf_append(struct buf *buf, const void *bytes, size_t count);
/* Adds text made as printf does. Same errors. For configuration and admin work, not the hot path.
 */
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes `count` bytes off the front. */
void buf_consume(struct buf *buf, size_t count);
/* Empties the queue; the block stays. */
void buf_clear(struct buf *buf);

static inline struct str buf_str(const struct buf *buf)
{
    if (!buf->data) /* before its first byte: C has no NULL + 0 */
        return STR_EMPTY;
    return str_make(buf->data + buf->start, buf->end - buf->start);
}

static inline size_t buf_len(const struct buf *buf)
{
    return buf->end - buf->start;
}

#endif
