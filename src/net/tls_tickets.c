#include "net/tls_tickets.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/random.h"

enum { NEXT, CURRENT }; /* places in keys[] */

static uint64_t period_of(uint32_t lifetime_s, uint64_t now_s)
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
    derive(secret, "weir ticket name", next->name, sizeof(next->name));
    derive(secret, "weir ticket cipher", next->cipher, sizeof(next->cipher));
    derive(secret, "weir ticket mac", next->mac, sizeof(next->mac));
    OPENSSL_cleanse(secret, sizeof(secret));
}

static void follow(struct tls_tickets *tickets, uint64_t now_s)
{
    uint64_t now = period_of(tickets->lifetime_s, now_s);
    for (; tickets->period < now; tickets->period++) /* a clock set back changes nothing */
        step(tickets, tickets->period + 2);
}

void tls_ticket_seed_random(uint32_t lifetime_s, uint64_t now_s, struct tls_ticket_seed *seed)
{
    random_fill(seed->secret, sizeof(seed->secret));
    seed->period = period_of(lifetime_s, now_s);
    seed->is_shared = false;
}

void tls_ticket_seed_shared(struct str secret, uint32_t lifetime_s, uint64_t now_s,
                            struct tls_ticket_seed *seed)
{
    /* The two periods before are another node's to have sealed with. */
    uint64_t period = period_of(lifetime_s, now_s);
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
    return NULL;
}
