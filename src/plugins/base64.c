#include "plugins/base64.h"

#include <string.h>

static int value_of(char c, bool is_url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (is_url ? '-' : '+'))
        return 62;
    return c == (is_url ? '_' : '/') ? 63 : -1;
}

static bool decode(struct str text, bool is_url, struct arena *arena, struct str *ret)
{
    size_t padding = 0;
    while (padding < 2 && text.len > 0 && text.ptr[text.len - 1] == '=') {
        text.len--;
        padding++;
    }
    size_t rest = text.len % 4;
    if (rest == 1 || (padding > 0 && rest + padding != 4) || (!is_url && padding != (4 - rest) % 4))
        return false;
    char *out = arena_alloc(arena, text.len / 4 * 3 + 3);
    uint32_t bits = 0;
    unsigned have = 0;
    size_t len = 0;
    for (size_t i = 0; out && i < text.len; i++) {
        int value = value_of(text.ptr[i], is_url);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        out[len++] = (char)(bits >> have & 0xff);
    }
    if (!out || (bits & ((1u << have) - 1)) != 0) /* bits beyond the last byte are zero */
        return false;
    out[len] = '\0';
    *ret = str_make(out, len);
    return true;
}

bool base64_decode(struct str text, struct arena *arena, struct str *ret)
{
    return decode(text, false, arena, ret);
}

bool base64_url_decode(struct str text, struct arena *arena, struct str *ret)
{
    return decode(text, true, arena, ret);
}
