#include "unit/test.h"

#include "net/tls_tickets.h"

#include <string.h>

#define LIFETIME_S 100 /* so a period has 50 */
#define START_S 100000u

static struct tls_ticket_seed seed;
static struct tls_tickets tickets;

static void begin(void)
{
    tls_ticket_seed_random(LIFETIME_S, START_S, &seed);
    tls_tickets_init(&tickets, &seed, LIFETIME_S, START_S);
}

TEST(two_that_start_from_one_seed_agree_at_any_time)
{
    begin();
    struct tls_tickets late;
    tls_tickets_init(&late, &seed, LIFETIME_S, START_S + 7 * 50);
    const struct tls_ticket_key *a = tls_tickets_current(&tickets, START_S + 7 * 50 + 49);
    const struct tls_ticket_key *b = tls_tickets_current(&late, START_S + 7 * 50);
    assert_memory_equal(a, b, sizeof(*a));
}

TEST(a_key_changes_with_the_period_and_is_found_until_its_tickets_end)
{
    begin();
    struct tls_ticket_key first = *tls_tickets_current(&tickets, START_S);
    bool is_current = false;
    assert_non_null(tls_tickets_find(&tickets, first.name, START_S + 49, &is_current));
    assert_true(is_current);

    const struct tls_ticket_key *found =
        tls_tickets_find(&tickets, first.name, START_S + 50, &is_current);
    assert_non_null(found);
    assert_memory_equal(found, &first, sizeof(first));
    assert_false(is_current); /* a new ticket is to be sent */
    assert_memory_not_equal(tls_tickets_current(&tickets, START_S + 50)->name, first.name,
                            sizeof(first.name));

    assert_non_null(tls_tickets_find(&tickets, first.name, START_S + 149, &is_current));
    assert_null(tls_tickets_find(&tickets, first.name, START_S + 150, &is_current));
}

TEST(what_a_node_whose_clock_is_ahead_sealed_can_be_opened)
{
    begin();
    struct tls_tickets ahead;
    tls_tickets_init(&ahead, &seed, LIFETIME_S, START_S);
    struct tls_ticket_key next = *tls_tickets_current(&ahead, START_S + 50);
    bool is_current;
    assert_non_null(tls_tickets_find(&tickets, next.name, START_S, &is_current));
}

TEST(keys_of_a_seed_follow_each_other_in_one_direction)
{
    begin();
    struct tls_ticket_key first = *tls_tickets_current(&tickets, START_S);
    tls_tickets_current(&tickets, START_S + 500);
    /* Nothing of what is left leads back: what is kept is neither the key nor its secret. */
    assert_null(memmem(&tickets, sizeof(tickets), first.cipher, sizeof(first.cipher)));
    assert_null(memmem(&tickets, sizeof(tickets), seed.secret, sizeof(seed.secret)));
}

TEST(a_shared_secret_gives_the_same_keys_whenever_a_node_starts)
{
    struct tls_ticket_seed early, late, other;
    struct tls_tickets a, b, c;
    tls_ticket_seed_shared(STR("a secret"), LIFETIME_S, START_S, &early);
    tls_ticket_seed_shared(STR("a secret"), LIFETIME_S, START_S + 1000, &late);
    tls_ticket_seed_shared(STR("a secreT"), LIFETIME_S, START_S + 1000, &other);
    tls_tickets_init(&a, &early, LIFETIME_S, START_S);
    tls_tickets_init(&b, &late, LIFETIME_S, START_S + 1000);
    tls_tickets_init(&c, &other, LIFETIME_S, START_S + 1000);
    const struct tls_ticket_key *key = tls_tickets_current(&a, START_S + 1000);
    assert_memory_equal(key, tls_tickets_current(&b, START_S + 1000), sizeof(*key));
    assert_memory_not_equal(key, tls_tickets_current(&c, START_S + 1000), sizeof(*key));

    /* One that starts later opens what the other sealed before. */
    bool is_current;
    struct tls_tickets again;
    tls_tickets_init(&again, &early, LIFETIME_S, START_S);
    struct tls_ticket_key before = *tls_tickets_current(&again, START_S + 950);
    assert_non_null(tls_tickets_find(&b, before.name, START_S + 1000, &is_current));
}

TEST(a_clock_that_is_set_back_changes_nothing)
{
    begin();
    struct tls_ticket_key now = *tls_tickets_current(&tickets, START_S + 50);
    assert_memory_equal(tls_tickets_current(&tickets, START_S), &now, sizeof(now));
}

#define PERIOD (START_S / 50)

static struct tls_ticket_ring ring_of(uint64_t first, unsigned count)
{
    struct tls_ticket_ring ring = {.stamp = first + 1000 * count, .count = count};
    for (unsigned i = 0; i < count; i++) {
        ring.secrets[i].period = first + i;
        memset(ring.secrets[i].secret, (int)(first + i), TLS_TICKET_SECRET_BYTES);
    }
    return ring;
}

/* The key that a node which starts then seals with. */
static struct tls_ticket_key key_of_new_node(const struct tls_ticket_ring *ring, uint64_t now_s)
{
    struct tls_ticket_seed own;
    struct tls_tickets node;
    tls_ticket_seed_random(LIFETIME_S, now_s, &own);
    tls_tickets_init(&node, &own, LIFETIME_S, now_s);
    tls_tickets_use_ring(&node, ring, now_s);
    return *tls_tickets_current(&node, now_s);
}

TEST(nodes_with_one_ring_agree_whenever_they_start)
{
    struct tls_ticket_ring ring = ring_of(PERIOD, 3);
    begin();
    tls_tickets_use_ring(&tickets, &ring, START_S);
    for (uint64_t now_s = START_S; now_s < START_S + 150; now_s += 50) {
        struct tls_ticket_key other = key_of_new_node(&ring, now_s);
        assert_memory_equal(tls_tickets_current(&tickets, now_s), &other, sizeof(other));
    }
}

TEST(a_period_without_a_secret_follows_from_the_one_before)
{
    struct tls_ticket_ring ring = ring_of(PERIOD, 1);
    struct tls_ticket_key then = key_of_new_node(&ring, START_S + 100);
    begin();
    tls_tickets_use_ring(&tickets, &ring, START_S);
    struct tls_ticket_key first = *tls_tickets_current(&tickets, START_S);
    bool is_current;
    assert_memory_equal(tls_tickets_current(&tickets, START_S + 100), &then, sizeof(then));
    assert_memory_not_equal(first.cipher, then.cipher, sizeof(then.cipher));
    assert_non_null(tls_tickets_find(&tickets, first.name, START_S + 100, &is_current));
    assert_false(is_current);
    assert_null(tls_tickets_find(&tickets, first.name, START_S + 150, &is_current));
}

TEST(what_was_sealed_before_a_ring_came_is_taken_until_its_end)
{
    begin();
    struct tls_ticket_key own = *tls_tickets_current(&tickets, START_S);
    struct tls_ticket_ring ring = ring_of(PERIOD, 2);
    tls_tickets_use_ring(&tickets, &ring, START_S);
    bool is_current = true;
    assert_memory_not_equal(tls_tickets_current(&tickets, START_S)->name, own.name,
                            sizeof(own.name));
    const struct tls_ticket_key *found =
        tls_tickets_find(&tickets, own.name, START_S + 100, &is_current);
    assert_non_null(found);
    assert_memory_equal(found, &own, sizeof(own));
    assert_false(is_current);
    assert_null(tls_tickets_find(&tickets, own.name, START_S + 150, &is_current));
    assert_null(tls_tickets_find(&tickets, own.name, START_S + 1000, &is_current));
}

TEST(a_new_secret_for_a_coming_period_changes_nothing_before_it)
{
    struct tls_ticket_ring ring = ring_of(PERIOD, 1), longer = ring_of(PERIOD, 2);
    begin();
    tls_tickets_use_ring(&tickets, &ring, START_S);
    struct tls_ticket_key now = *tls_tickets_current(&tickets, START_S);
    tls_tickets_use_ring(&tickets, &longer, START_S + 10);
    assert_memory_equal(tls_tickets_current(&tickets, START_S + 10), &now, sizeof(now));
    struct tls_ticket_key then = key_of_new_node(&longer, START_S + 50);
    assert_memory_equal(tls_tickets_current(&tickets, START_S + 50), &then, sizeof(then));
    tls_tickets_use_ring(&tickets, NULL, START_S + 50); /* the last one counts on */
    assert_memory_equal(tls_tickets_current(&tickets, START_S + 50), &then, sizeof(then));
}

TEST(secrets_of_periods_to_come_alone_or_long_gone_open_nothing)
{
    struct tls_ticket_ring future = ring_of(PERIOD + 5, 1), past = ring_of(PERIOD - 1500, 1);
    struct tls_ticket_key one = key_of_new_node(&future, START_S);
    struct tls_ticket_key two = key_of_new_node(&future, START_S);
    assert_memory_not_equal(one.name, two.name, sizeof(one.name));
    one = key_of_new_node(&past, START_S);
    two = key_of_new_node(&past, START_S);
    assert_memory_not_equal(one.name, two.name, sizeof(one.name));
}

RUN(T(two_that_start_from_one_seed_agree_at_any_time),
    T(a_key_changes_with_the_period_and_is_found_until_its_tickets_end),
    T(what_a_node_whose_clock_is_ahead_sealed_can_be_opened),
    T(keys_of_a_seed_follow_each_other_in_one_direction),
    T(a_shared_secret_gives_the_same_keys_whenever_a_node_starts),
    T(a_clock_that_is_set_back_changes_nothing), T(nodes_with_one_ring_agree_whenever_they_start),
    T(a_period_without_a_secret_follows_from_the_one_before),
    T(what_was_sealed_before_a_ring_came_is_taken_until_its_end),
    T(a_new_secret_for_a_coming_period_changes_nothing_before_it),
    T(secrets_of_periods_to_come_alone_or_long_gone_open_nothing))
