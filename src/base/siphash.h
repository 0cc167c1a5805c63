/* siphash.h - SipHash-2-4: a keyed hash of 64 bits. Who doesn't know the key can't find two inputs
 * with the same hash, so it may stand for what a peer has sent.
 *
 * Thread: any. Memory: none. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

#include "base/str.h"

struct siphash_key {
    uint64_t words[2];
};

/* A key for the life of the process, from the kernel's random numbers. */
struct siphash_key siphash_random_key(void);
uint64_t siphash(const struct siphash_key *key, struct str bytes);

#endif
