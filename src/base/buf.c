#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#define FIRST_CAPACITY_BYTES 512

void buf_init(struct buf *buf, size_t max_bytes)
{
    *buf = (struct buf){.max_bytes = max_bytes};
}

void buf_deinit(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.max_bytes = buf->max_bytes};
}

static int grow(struct buf *buf, size_t more)
{
    size_t len = buf_len(buf);
    if (more > buf->max_bytes || len > buf->max_bytes - more)
        return UV_ENOBUFS;
    if (buf->start > 0) { /* a queue moves down before it grows */
        memmove(buf->data, buf->data + buf->start, len);
        buf->start = 0;
        buf->end = len;
        if (buf->capacity - len >= more)
            return 0;
    }
    size_t capacity = buf->capacity ? buf->capacity : FIRST_CAPACITY_BYTES;
    while (capacity < len + more)
        capacity = capacity > buf->max_bytes / 2 ? len + more : capacity * 2;
    char *data = realloc(buf->data, capacity);
    if (!data)
        return UV_ENOMEM;
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

static int make_room(struct buf *buf, size_t more)
{
    if (buf->data && buf->capacity - buf->end >= more && buf_len(buf) + more <= buf->max_bytes)
        return 0;
    return grow(buf, more);
}

char *buf_reserve(struct buf *buf, size_t more)
{
    return make_room(buf, more) == 0 ? buf->data + buf->end : NULL;
}

void buf_commit(struct buf *buf, size_t count)
{
    assert(count <= buf->capacity - buf->end);
    buf->end += count;
}

int buf_append(struct buf *buf, const void *bytes, size_t count)
{
    if (count == 0)
        return 0;
    int rc = make_room(buf, count);
    if (rc)
        return rc;
    memcpy(buf->data + buf->end, bytes, count);
    buf->end += count;
    return 0;
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return UV_EINVAL;
    int rc = make_room(buf, (size_t)len + 1); /* vsnprintf's own terminator */
    if (rc)
        return rc;
    va_start(args, format);
    vsnprintf(buf->data + buf->end, (size_t)len + 1, format, args);
    va_end(args);
    buf->end += (size_t)len;
    return 0;
}

void buf_consume(struct buf *buf, size_t count)
{
    assert(count <= buf_len(buf));
    buf->start += count;
    if (buf->start == buf->end)
        buf->start = buf->end = 0;
}

void buf_clear(struct buf *buf)
{
    buf->start = buf->end = 0;
}
