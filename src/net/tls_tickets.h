/* tls_tickets.h - the keys that session tickets are sealed with: they follow from one secret and
 * the time, so that threads, and nodes that know the secret, agree on them without a word.
 *
 * Time is cut into periods of half a session's lifetime. Each has a secret of its own, which keys
 * are derived from. Where the process made the first, each is a one-way function of the one before,
 * and what is older than a ticket may be is forgotten: who takes the process later can't open what
 * was recorded before. Where nodes share a secret, those of the periods follow from it and their
 * numbers, so that a node that starts later has the same. And where they share a database, each
 * period has a secret of its own in it, which is gone when its tickets are: a ring. A period that
 * has none (the database was away) follows from the one before.
 *
 * Thread: one owner, a worker. Memory: embedded; wiped at the end. */
#ifndef NET_TLS_TICKETS_H
#define NET_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define TLS_TICKET_SECRET_BYTES 32
#define TLS_TICKET_NAME_BYTES 16
#define TLS_TICKET_KEY_BYTES 32
/* Of the next period (of nodes whose clock is ahead), this one, and the two that a ticket may live
 * through. */
#define TLS_TICKET_PERIODS 4

struct tls_ticket_key {
    uint8_t name[TLS_TICKET_NAME_BYTES];
    uint8_t cipher[TLS_TICKET_KEY_BYTES];
    uint8_t mac[TLS_TICKET_KEY_BYTES];
};

/* Where the line of secrets starts. */
struct tls_ticket_seed {
    uint8_t secret[TLS_TICKET_SECRET_BYTES];
    uint64_t period; /* that it is of */
    bool is_shared;  /* it is of all periods */
};

#define TLS_TICKET_RING_MAX 8

/* Secrets of periods, the oldest first. Made by control, read by workers. */
struct tls_ticket_ring {
    uint64_t stamp; /* another one for other secrets; not 0 */
    unsigned count;
    struct tls_ring_secret {
        uint64_t period;
        uint8_t secret[TLS_TICKET_SECRET_BYTES];
    } secrets[TLS_TICKET_RING_MAX];
};
void tls_ticket_ring_destroy(struct tls_ticket_ring *ring); /* wipes; NULL is fine */

struct tls_tickets {
    uint32_t lifetime_s;
    bool is_shared;
    struct tls_ticket_ring ring; /* a copy; its stamp is 0 before the first */
    /* What was sealed with before the ring came, or another. */
    struct tls_ticket_key before;
    uint64_t before_period; /* in which that ended */
    bool has_before;
    uint64_t period;                         /* of keys[1] */
    uint8_t secret[TLS_TICKET_SECRET_BYTES]; /* of the period after the next, or of all */
    struct tls_ticket_key keys[TLS_TICKET_PERIODS];
};

/* Which period `now_s` is in. */
uint64_t tls_ticket_period(uint32_t lifetime_s, uint64_t now_s);

/* A secret of our own for the period of now_s. */
void tls_ticket_seed_random(uint32_t lifetime_s, uint64_t now_s, struct tls_ticket_seed *seed);

/* The one that all who know `secret` come to. */
void tls_ticket_seed_shared(struct str secret, uint32_t lifetime_s, uint64_t now_s,
                            struct tls_ticket_seed *seed);

void tls_tickets_init(struct tls_tickets *tickets, const struct tls_ticket_seed *seed,
                      uint32_t lifetime_s, uint64_t now_s);
void tls_tickets_deinit(struct tls_tickets *tickets);

/* From now on keys follow from this ring; harmless when it is the one already. Tickets under the
 * key before are taken as long as those of a period before. NULL: there is none. */
void tls_tickets_use_ring(struct tls_tickets *tickets, const struct tls_ticket_ring *ring,
                          uint64_t now_s);

/* The key to seal with now. */
const struct tls_ticket_key *tls_tickets_current(struct tls_tickets *tickets, uint64_t now_s);
/* The key of that name, or NULL; *ret_is_current: tickets under it need not be renewed. */
const struct tls_ticket_key *tls_tickets_find(struct tls_tickets *tickets,
                                              const uint8_t name[TLS_TICKET_NAME_BYTES],
                                              uint64_t now_s, bool *ret_is_current);

#endif
