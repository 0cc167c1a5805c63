#include "base/siphash.h"

#include <string.h>

#include "base/random.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static void turn(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void absorb(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    turn(s);
    turn(s);
    s->v0 ^= word;
}

/* Up to eight bytes as a little-endian number. */
static uint64_t read_word(const char *bytes, size_t count)
{
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return word;
}

struct siphash_key siphash_random_key(void)
{
    struct random_state random;
    random_init(&random);
    return (struct siphash_key){{random_next(&random), random_next(&random)}};
}

uint64_t siphash(const struct siphash_key *key, struct str bytes)
{
    uint64_t k0 = key->words[0], k1 = key->words[1];
    struct sip s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                    k1 ^ 0x7465646279746573};
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8)
        absorb(&s, read_word(bytes.ptr + at, 8));
    absorb(&s, (uint64_t)bytes.len << 56 | read_word(bytes.ptr + at, bytes.len - at));
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        turn(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
