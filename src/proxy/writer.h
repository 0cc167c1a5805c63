/* writer.h - text put piece by piece into space of a known size, without printf.
 *
 * What does not fit is left out and remembered: one question at the end instead of one a piece.
 *
 * Thread: any. Memory: the caller's. */
#ifndef PROXY_WRITER_H
#define PROXY_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct writer {
    char *at;
    char *end;
    bool has_overflowed;
};

static inline struct writer writer_on(char *out, size_t size)
{
    return (struct writer){.at = out, .end = out + size};
}

static inline void writer_put(struct writer *writer, const char *bytes, size_t len)
{
    if (__builtin_expect((size_t)(writer->end - writer->at) < len, 0)) {
        writer->has_overflowed = true;
        return;
    }
    memcpy(writer->at, bytes, len);
    writer->at += len;
}

/* For string literals. */
#define WRITER_LITERAL(writer, literal) writer_put(writer, ("" literal), sizeof(literal) - 1)

static inline void writer_str(struct writer *writer, struct str s)
{
    if (s.len)
        writer_put(writer, s.ptr, s.len);
}

static inline void writer_char(struct writer *writer, char c)
{
    if (writer->at < writer->end)
        *writer->at++ = c;
    else
        writer->has_overflowed = true;
}

static inline void writer_number(struct writer *writer, uint64_t number)
{
    char digits[20];
    char *first = digits + sizeof(digits);
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    writer_put(writer, first, (size_t)(digits + sizeof(digits) - first));
}

/* Milliseconds as seconds with three places, as nginx writes them. */
static inline void writer_seconds(struct writer *writer, uint64_t ms)
{
    writer_number(writer, ms / 1000);
    writer_char(writer, '.');
    writer_char(writer, (char)('0' + ms / 100 % 10));
    writer_char(writer, (char)('0' + ms / 10 % 10));
    writer_char(writer, (char)('0' + ms % 10));
}

static inline void writer_hex(struct writer *writer, uint64_t number)
{
    char digits[16];
    char *first = digits + sizeof(digits);
    do {
        *--first = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number);
    writer_put(writer, first, (size_t)(digits + sizeof(digits) - first));
}

#endif
