#include "admin/urlencoded.h"

#include <stdint.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower_char(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What two digits stand for, or -1. */
static int hex_byte(const char *digits)
{
    int high = hex_digit(digits[0]);
    int low = hex_digit(digits[1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

size_t urlencoded_decode(char *text, size_t len, bool plus_is_space)
{
    size_t out = 0;
    for (size_t in = 0; in < len; in++) {
        char c = text[in];
        int byte = c == '%' && len - in > 2 ? hex_byte(text + in + 1) : -1;
        if (byte >= 0) {
            c = (char)byte;
            in += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        text[out++] = c;
    }
    return out;
}

size_t urlencoded_count(struct str text)
{
    size_t count = text.len > 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '&';
    return count;
}

size_t urlencoded_split(char *text, size_t len, struct urlencoded_arg *args, size_t max)
{
    size_t count = 0;
    size_t at = 0;
    while (at < len && count < max) {
        char *piece = text + at;
        char *end = memchr(piece, '&', len - at);
        size_t piece_len = end ? (size_t)(end - piece) : len - at;
        at += piece_len + 1;
        if (piece_len == 0)
            continue;
        char *equals = memchr(piece, '=', piece_len);
        size_t name_len = equals ? (size_t)(equals - piece) : piece_len;
        struct urlencoded_arg *arg = &args[count++];
        arg->name = str_make(piece, urlencoded_decode(piece, name_len, true));
        arg->value = STR_EMPTY;
        if (equals)
            arg->value =
                str_make(equals + 1, urlencoded_decode(equals + 1, piece_len - name_len - 1, true));
    }
    return count;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void urlencoded_escape(struct str text, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_unreserved(c)) {
            *out++ = c;
        } else {
            *out++ = '%';
            *out++ = digits[(uint8_t)c >> 4];
            *out++ = digits[(uint8_t)c & 15];
        }
    }
    *out = '\0';
}
