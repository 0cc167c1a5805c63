#include "net/tls_tickets.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/random.h"

enum { NEXT, CURRENT }; /* places in keys[] */

uint64_t tls_ticket_period(uint32_t lifetime_s, uint64_t now_s)
{
    uint64_t length_s = lifetime_s / 2;
    return now_s / (length_s ? length_s : 1);
}

/* `count` bytes that tell nothing of the secret. */
static void derive(const uint8_t secret[TLS_TICKET_SECRET_BYTES], const char *what, void *out,
                   size_t count)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = sizeof(digest);
    assert(count <= 32);
    HMAC(EVP_sha256(), secret, TLS_TICKET_SECRET_BYTES, (const uint8_t *)what, strlen(what), digest,
         &len);
    memcpy(out, digest, count);
    OPENSSL_cleanse(digest, sizeof(digest));
}

static void make_key(const uint8_t secret[TLS_TICKET_SECRET_BYTES], struct tls_ticket_key *key)
{
    derive(secret, "weir ticket name", key->name, sizeof(key->name));
    derive(secret, "weir ticket cipher", key->cipher, sizeof(key->cipher));
    derive(secret, "weir ticket mac", key->mac, sizeof(key->mac));
}

/* --- the ring --- */

#define MAX_GAP 1000 /* periods without a secret; more are taken for none */

void tls_ticket_ring_destroy(struct tls_ticket_ring *ring)
{
    if (!ring)
        return;
    OPENSSL_cleanse(ring, sizeof(*ring));
    free(ring);
}

/* The newest secret up to the period. */
static const struct tls_ring_secret *find_secret(const struct tls_ticket_ring *ring,
                                                 uint64_t period)
{
    const struct tls_ring_secret *found = NULL;
    for (unsigned i = 0; i < ring->count; i++)
        if (ring->secrets[i].period <= period)
            found = &ring->secrets[i];
    return found && period - found->period <= MAX_GAP ? found : NULL;
}

static void make_ring_key(const struct tls_ticket_ring *ring, uint64_t period,
                          struct tls_ticket_key *key)
{
    const struct tls_ring_secret *from = find_secret(ring, period);
    uint8_t secret[TLS_TICKET_SECRET_BYTES];
    if (!from) { /* never asked for by name */
        random_fill(key, sizeof(*key));
        return;
    }
    memcpy(secret, from->secret, sizeof(secret));
    for (uint64_t i = from->period; i < period; i++) {
        uint8_t next[TLS_TICKET_SECRET_BYTES];
        derive(secret, "weir ticket secret", next, sizeof(next));
        memcpy(secret, next, sizeof(secret));
        OPENSSL_cleanse(next, sizeof(next));
    }
    make_key(secret, key);
    OPENSSL_cleanse(secret, sizeof(secret));
}

/* keys[NEXT] is of the period after tickets->period. */
static void make_ring_keys(struct tls_tickets *tickets)
{
    for (unsigned i = 0; i < TLS_TICKET_PERIODS; i++) {
        if (tickets->period + 1 < i)
            continue;
        make_ring_key(&tickets->ring, tickets->period + 1 - i, &tickets->keys[i]);
    }
}

static bool has_ring(const struct tls_tickets *tickets)
{
    return tickets->ring.stamp != 0;
}

/* --- time --- */

/* Takes the key of the next period in, and the oldest leaves. */
static void step(struct tls_tickets *tickets, uint64_t period)
{
    struct tls_ticket_key *next = &tickets->keys[NEXT];
    uint8_t secret[TLS_TICKET_SECRET_BYTES];
    memmove(&tickets->keys[NEXT + 1], next, sizeof(tickets->keys) - sizeof(*next));
    memcpy(secret, tickets->secret, sizeof(secret));
    if (tickets->is_shared) {
        char what[48];
        snprintf(what, sizeof(what), "weir ticket period %" PRIu64, period);
        derive(tickets->secret, what, secret, sizeof(secret));
    } else {
        derive(secret, "weir ticket secret", tickets->secret, sizeof(tickets->secret));
    }
    make_key(secret, next);
    OPENSSL_cleanse(secret, sizeof(secret));
}

static void follow(struct tls_tickets *tickets, uint64_t now_s)
{
    uint64_t now = tls_ticket_period(tickets->lifetime_s, now_s);
    if (has_ring(tickets) && tickets->period < now) {
        tickets->period = now;
        make_ring_keys(tickets);
    }
    for (; tickets->period < now; tickets->period++) /* a clock set back changes nothing */
        step(tickets, tickets->period + 2);
}

void tls_ticket_seed_random(uint32_t lifetime_s, uint64_t now_s, struct tls_ticket_seed *seed)
{
    random_fill(seed->secret, sizeof(seed->secret));
    seed->period = tls_ticket_period(lifetime_s, now_s);
    seed->is_shared = false;
}

void tls_ticket_seed_shared(struct str secret, uint32_t lifetime_s, uint64_t now_s,
                            struct tls_ticket_seed *seed)
{
    /* The two periods before are another node's to have sealed with. */
    uint64_t period = tls_ticket_period(lifetime_s, now_s);
    unsigned len = sizeof(seed->secret);
    seed->period = period > 2 ? period - 2 : 0;
    seed->is_shared = true;
    EVP_Digest(secret.ptr, secret.len, seed->secret, &len, EVP_sha256(), NULL);
}

void tls_tickets_init(struct tls_tickets *tickets, const struct tls_ticket_seed *seed,
                      uint32_t lifetime_s, uint64_t now_s)
{
    memset(tickets, 0, sizeof(*tickets));
    /* Keys of periods before the first are never asked for by name: better random than zero. */
    random_fill(tickets->keys, sizeof(tickets->keys));
    tickets->lifetime_s = lifetime_s;
    tickets->is_shared = seed->is_shared;
    memcpy(tickets->secret, seed->secret, sizeof(tickets->secret));
    step(tickets, seed->period);
    step(tickets, seed->period + 1);
    tickets->period = seed->period;
    follow(tickets, now_s);
}

void tls_tickets_deinit(struct tls_tickets *tickets)
{
    OPENSSL_cleanse(tickets, sizeof(*tickets));
}

void tls_tickets_use_ring(struct tls_tickets *tickets, const struct tls_ticket_ring *ring,
                          uint64_t now_s)
{
    if (!ring || ring->count == 0 || ring->stamp == tickets->ring.stamp)
        return;
    follow(tickets, now_s);
    struct tls_ticket_key old = tickets->keys[CURRENT];
    tickets->ring = *ring;
    make_ring_keys(tickets);
    if (CRYPTO_memcmp(old.name, tickets->keys[CURRENT].name, sizeof(old.name)) != 0) {
        tickets->before = old;
        tickets->before_period = tickets->period;
        tickets->has_before = true;
    }
    OPENSSL_cleanse(&old, sizeof(old));
}

const struct tls_ticket_key *tls_tickets_current(struct tls_tickets *tickets, uint64_t now_s)
{
    follow(tickets, now_s);
    return &tickets->keys[CURRENT];
}

const struct tls_ticket_key *tls_tickets_find(struct tls_tickets *tickets,
                                              const uint8_t name[TLS_TICKET_NAME_BYTES],
                                              uint64_t now_s, bool *ret_is_current)
{
    follow(tickets, now_s);
    for (int i = 0; i < TLS_TICKET_PERIODS; i++) {
        if (CRYPTO_memcmp(tickets->keys[i].name, name, TLS_TICKET_NAME_BYTES) != 0)
            continue;
        *ret_is_current = i <= CURRENT;
        return &tickets->keys[i];
    }
    if (tickets->has_before && tickets->period - tickets->before_period > 2) {
        OPENSSL_cleanse(&tickets->before, sizeof(tickets->before));
        tickets->has_before = false;
    }
    *ret_is_current = false;
    return tickets->has_before &&
                   CRYPTO_memcmp(tickets->before.name, name, TLS_TICKET_NAME_BYTES) == 0
               ? &tickets->before
               : NULL;
}
