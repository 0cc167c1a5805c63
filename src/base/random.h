/* random.h - random bytes, UUIDs and a fast generator for what needs no secrecy. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#define UUID_TEXT_BYTES 37 /* 8-4-4-4-12 and the terminator */

/* Fills from the kernel's generator; aborts where that fails. Thread: any. */
void random_fill(void *bytes, size_t count);
/* A version 4 UUID (RFC 9562, section 5.4) in lower case, terminated. Thread: any. */
void random_uuid(char text[UUID_TEXT_BYTES]);

/* xoshiro256**: fast and well spread, not for secrets. One owner. */
struct random_state {
    uint64_t s[4];
};
void random_init(struct random_state *state);
uint64_t random_next(struct random_state *state);

#endif
