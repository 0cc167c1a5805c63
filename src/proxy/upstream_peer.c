#include "proxy/upstream_peer.h"

#include <stdlib.h>

#include "model/target_state.h"
#include "net/tls_client.h"
#include "proxy/worker_core.h"

static bool is_it(const struct upstream_peer *peer, const struct target_state *target,
                  const struct tls_client *tls, struct str name)
{
    return peer->target == target && peer->tls == tls &&
           str_equal(str_make(peer->name, peer->name_len), name);
}

static uint32_t hash_of(const struct target_state *target, const struct tls_client *tls,
                        struct str name)
{
    uint64_t hash = str_hash(name) ^ ((uintptr_t)target >> 6) ^ ((uintptr_t)tls >> 4);
    hash *= 0x9e3779b97f4a7c15u; /* Fibonacci's: the high bits depend on all */
    return (uint32_t)(hash >> 32);
}

static struct upstream_peer **bucket_of(struct worker *worker, uint32_t hash)
{
    return &worker->peers.buckets[hash % UPSTREAM_PEER_BUCKETS];
}

static void drop(struct upstream_peer *peer)
{
    struct upstream_peer **at = bucket_of(peer->worker, peer->hash);
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    list_remove(&peer->age);
    peer->worker->peers.count--;
    tls_session_free(peer->session);
    tls_client_unref(peer->tls);
    target_state_unref(peer->target);
    free(peer);
}

/* One goes for one that comes: the one asked for longest ago that no connection uses. */
static void make_room(struct worker *worker)
{
    if (worker->peers.count < UPSTREAM_PEERS_KEPT)
        return;
    LIST_EACH(link, &worker->peers.by_age)
    {
        struct upstream_peer *peer = LIST_ENTRY(link, struct upstream_peer, age);
        if (peer->conn_count > 0)
            continue;
        drop(peer);
        return;
    }
}

struct upstream_peer *upstream_peer_find(struct worker *worker, struct target_state *target,
                                         struct tls_client *tls, struct str name)
{
    if (name.len > UINT8_MAX)
        name.len = UINT8_MAX;
    uint32_t hash = hash_of(target, tls, name);
    struct upstream_peer **bucket = bucket_of(worker, hash);
    struct upstream_peer *peer = *bucket;
    while (peer && !is_it(peer, target, tls, name))
        peer = peer->next;
    if (peer) {
        list_remove(&peer->age);
        list_push_back(&worker->peers.by_age, &peer->age);
        return peer;
    }
    make_room(worker);
    peer = calloc(1, sizeof(*peer) + name.len);
    if (!peer)
        return NULL;
    peer->worker = worker;
    peer->target = target_state_ref(target);
    peer->tls = tls_client_ref(tls);
    peer->hash = hash;
    peer->name_len = (uint8_t)name.len;
    if (name.len > 0)
        memcpy(peer->name, name.ptr, name.len);
    peer->next = *bucket;
    *bucket = peer;
    list_push_back(&worker->peers.by_age, &peer->age);
    worker->peers.count++;
    return peer;
}

void upstream_peer_free_all(struct worker *worker)
{
    while (!list_is_empty(&worker->peers.by_age))
        drop(LIST_ENTRY(worker->peers.by_age.next, struct upstream_peer, age));
}
