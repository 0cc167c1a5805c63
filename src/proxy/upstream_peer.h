/* upstream_peer.h - whom a TLS connection to a target is with: the target, the way we speak TLS to
 * it (net/tls_client.h) and the name we ask for. Connections of one peer are alike, and share the
 * last session that it gave, which is kept for a while after the last of them is closed.
 *
 * Thread: its worker's. Memory: at most UPSTREAM_PEERS_KEPT that no connection uses; those used
 * last stay. */
#ifndef PROXY_UPSTREAM_PEER_H
#define PROXY_UPSTREAM_PEER_H

#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

#define UPSTREAM_PEERS_KEPT 512

struct ssl_session_st;
struct target_state;
struct tls_client;
struct worker;

struct upstream_peer {
    struct upstream_peer *next; /* in its bucket */
    struct list age;            /* the one asked for last is last */
    struct worker *worker;
    struct target_state *target;    /* referenced */
    struct tls_client *tls;         /* referenced */
    struct ssl_session_st *session; /* owned; NULL: none */
    uint32_t conn_count;
    uint32_t hash;
    uint8_t name_len;
    char name[];
};

/* The peer, made if need be; NULL when memory is short. It stays while its conn_count is over 0,
 * and till the next call otherwise. A name of more than 255 bytes is cut: no certificate has it. */
struct upstream_peer *upstream_peer_find(struct worker *worker, struct target_state *target,
                                         struct tls_client *tls, struct str name);

/* The worker ends, and its connections are closed. */
void upstream_peer_free_all(struct worker *worker);

#endif
