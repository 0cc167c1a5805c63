#include "base/random.h"

#include <stdlib.h>
#include <sys/random.h>

void random_fill(void *bytes, size_t count)
{
    char *at = bytes;
    while (count > 0) {
        ssize_t got = getrandom(at, count, 0);
        if (got <= 0)
            abort(); /* only a kernel without getrandom, or a broken sandbox */
        at += got;
        count -= (size_t)got;
    }
}

void random_uuid(char text[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];
    random_fill(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *out = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

void random_init(struct random_state *state)
{
    do {
        random_fill(state->s, sizeof(state->s));
    } while ((state->s[0] | state->s[1] | state->s[2] | state->s[3]) == 0);
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t random_next(struct random_state *state)
{
    uint64_t *s = state->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}
