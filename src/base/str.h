/* str.h - slices: bytes that somebody else owns, with their length. Never terminated, never owned.
 *
 * Thread: any. Memory: none of its own, but for str_dup. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

/* A slice of a string literal. */
#define STR(literal) ((struct str){("" literal), sizeof(literal) - 1})
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        ("" literal), sizeof(literal) - 1                                                          \
    } /* in a static table */
#define STR_EMPTY ((struct str){NULL, 0})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_of(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

static inline struct str str_make(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline char str_lower_char(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* ASCII case is ignored; nothing else is folded. */
bool str_equal_nocase(struct str a, struct str b);
bool str_ends_with(struct str s, struct str suffix);
/* Without the spaces and tabs at both ends. */
struct str str_trim(struct str s);
/* Cuts the part before the first `separator` off *rest and returns it; all of it when there is
 * none. *rest becomes empty with a NULL pointer when nothing is left to cut. */
struct str str_cut(struct str *rest, char separator);
/* Decimal digits only, no sign, no space. False, and *ret untouched, for anything else or overflow.
 */
bool str_to_u64(struct str s, uint64_t *ret);
/* Like str_to_u64, for hexadecimal digits. */
bool str_hex_to_u64(struct str s, uint64_t *ret);
/* The length of the UTF-8 sequence at the start of s, which is not empty; 0 when there is none
 * (RFC 3629, section 4). */
size_t str_utf8_len(struct str s);
/* A terminated copy that the caller owns (free); NULL when memory is short. */
char *str_dup(struct str s);
/* FNV-1a, for tables of trusted keys. */
uint64_t str_hash(struct str s);

#endif
