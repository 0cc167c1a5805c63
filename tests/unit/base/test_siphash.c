#include "unit/test.h"

#include "base/siphash.h"

/* The key of the paper and of the reference implementation: 00 01 02 … 0f. */
static const struct siphash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

TEST(it_agrees_with_the_reference)
{
    char bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (char)i;
    assert_true(siphash(&key, STR_EMPTY) == 0x726fdb47dd0e0e31);
    assert_true(siphash(&key, str_make(bytes, 1)) == 0x74f839c593dc67fd);
    assert_true(siphash(&key, str_make(bytes, 8)) == 0x93f5f5799a932462);
    assert_true(siphash(&key, str_make(bytes, 15)) == 0xa129ca6149be45e5);
}

TEST(keys_differ)
{
    struct siphash_key a = siphash_random_key(), b = siphash_random_key();
    assert_true(siphash(&a, STR("x")) != siphash(&b, STR("x")));
}

RUN(T(it_agrees_with_the_reference), T(keys_differ))
