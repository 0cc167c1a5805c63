/* consul_bell.h - the doorbell: two blocking queries that cover all services of a datacenter, for
 * watches that have no connection of their own to wait on (plain HTTP, and more services than
 * connections). One follows all checks, the other all services and their tags. Whose entries change
 * is rung, and reads once.
 *
 * What neither list shows (weights, meta data, addresses, instances without a check) still moves
 * the index of the list of services: then all members are rung one after the other, those without
 * any check first, 32 a second; and each at least every five minutes.
 *
 * Thread: the control loop. Memory: a bell lives as long as it has members. */
#ifndef DISCOVERY_CONSUL_BELL_H
#define DISCOVERY_CONSUL_BELL_H

#include "base/str.h"
#include "discovery/consul.h"

struct consul_bell;

/* Embed it; zeroed but for its callbacks it is ready to join. */
struct bell_member {
    struct list node;         /* among those of its key */
    struct list rota;         /* while it listens: by when it was last rung */
    struct consul_bell *bell; /* NULL: it is not a member */
    uint64_t key;
    uint64_t listened_ms; /* since when it is on the rota */
    bool has_check;
    /* The bell is in tune; what the member knows may be old. Must not leave the bell. */
    void (*ring)(struct bell_member *member);
    /* The bell is out of tune: the member has to see to itself. */
    void (*on_lost)(struct bell_member *member);
    /* Whether it has an instance on the node with this key (consul_bell_key). */
    bool (*is_on)(struct bell_member *member, uint64_t node_key);
};

/* `scope`: path of the list of services there (consul_path_of_all), copied; `service`: its name.
 * 0, UV_ENOMEM, or UV_EMFILE where there is none to be had: for services
 * of a peer, or where there are too many bells already. Harmless for a member. */
int consul_bell_join(struct consul *consul, struct bell_member *member, const char *scope,
                     struct str service);
void consul_bell_leave(struct bell_member *member); /* NULL bell is fine */
/* Whether it will ring; false for who is no member. */
bool consul_bell_is_tuned(const struct bell_member *member);
/* The member relies on the bell from now on, or no longer. */
void consul_bell_listen(struct bell_member *member);
void consul_bell_unlisten(struct bell_member *member);
uint64_t consul_bell_key(const struct bell_member *member, struct str name);

#endif
