/* store.h - rows, not meaning: what configuration is made of, kept by an engine.
 *
 * A row is an entity's JSON text under (kind, id), with the values that must be unique in its kind
 * and the rows that it refers to. The engine enforces both, and writes each commit as one
 * transaction together with its rows of changes, so that other nodes can follow.
 *
 * There are three engines: SQLite, a file that one node owns; PostgreSQL, a database that many
 * nodes share; and one that keeps nothing, for nodes that are told their configuration by a file.
 *
 * Thread: all calls and callbacks on the control loop, which no call blocks but those that say so.
 * Memory: the store copies what it is given, but for what is said to be borrowed. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/error.h"

struct store;

struct store_key {
    const char *field;
    const char *value;
};

struct store_ref {
    const char *field;
    const char *kind; /* of the row referred to */
    const char *id;
};

enum store_op_kind { STORE_PUT, STORE_REMOVE };

struct store_op {
    enum store_op_kind op;
    const char *kind; /* "services" */
    const char *id;   /* a UUID */
    const char *body; /* JSON; NULL for STORE_REMOVE */
    const struct store_key *keys;
    size_t key_count;
    const struct store_ref *refs;
    size_t ref_count;
};

enum store_engine_kind { STORE_SQLITE, STORE_POSTGRES, STORE_MEMORY };

/* How to reach PostgreSQL. Texts are copied; NULL: not set. */
struct store_pg_settings {
    const char *hosts; /* "db1,db2:5433,/run/postgresql": the first that takes writes is used */
    const char *user;
    const char *password;
    const char *database;
    const char *schema;    /* lower-case letters, digits and underscores */
    const char *ca_file;   /* to verify the server with; NULL: the system's */
    const char *cert_file; /* of a client certificate */
    const char *key_file;
    uint32_t timeout_ms; /* of an attempt to connect, and of a statement */
    uint16_t port;       /* of hosts without one */
    bool has_tls;
    bool verifies_tls; /* the server's certificate and name */
};

struct store_settings {
    enum store_engine_kind engine;
    const char *data_dir; /* SQLite's */
    struct store_pg_settings pg;
    bool migrates;    /* brings the schema up to date when opened, and makes it where it has gone
                       * since; SQLite always does the first */
    bool may_be_away; /* opens even while no database answers: the store tries on, then `reload` */
};

/* Opens the engine's data. Blocks: for start-up. 0, or a negative UV_E… with *err telling the human
 * what is wrong and what to do:
 *   UV_ENOTCONN  no server answers, or none that takes writes (with may_be_away this is 0)
 *   UV_ENOENT    the schema is missing or behind: `weir migrations bootstrap` or `up`
 *   UV_ENOTSUP   the schema is ahead of this weir, or the server too old
 *   UV_EACCES    the server refuses us: password, database, rights, certificate
 *   others       the engine's own; a file that is not ours or is corrupt stays untouched */
int store_open(uv_loop_t *loop, const struct store_settings *settings, struct store **ret,
               struct error *err);
int store_open_sqlite(uv_loop_t *loop, const char *data_dir, struct store **ret, struct error *err);

/* Runs row(arg, kind, id, body) for every row, a kind's rows in order of id. Blocks: for start-up,
 * before the first commit and store_watch. 0, or a negative UV_E… with *err (UV_ENOTCONN: away);
 * stops early with what `row` returns when that is not 0. */
int store_load_all(struct store *store,
                   int (*row)(void *arg, const char *kind, const char *id, const char *body),
                   void *arg, struct error *err);

/* Writes all ops in one transaction, then calls back on the loop with
 *   0                written, and on the disk
 *   UV_EEXIST        a unique value is taken
 *   UV_ENOENT        a row referred to doesn't exist
 *   UV_EBUSY         a removed row is still referred to
 *   UV_EAGAIN        others have changed or removed rows that the ops name since store_sequence()
 *                    was what it was when this was called: nothing was written, those changes have
 *                    been delivered, and a commit that is given in done() has the next turn
 *   UV_ENOTCONN      the database is away; nothing was written
 *   UV_ECONNABORTED  it went away in the middle, and for so long that nobody knows whether the ops
 *                    are written: if they are, they come as changes
 *   others           the engine failed (logged); nothing was written
 * Calls are carried out in order. Before done(0), and before the first four refusals, all changes
 * that others wrote before this commit have been delivered. Returns 0, or UV_ENOMEM, or UV_ENOTCONN
 * when the database is known to be away: then `done` is not called. */
typedef void (*store_commit_cb)(void *arg, int rc);
int store_commit(struct store *store, const struct store_op *ops, size_t count,
                 store_commit_cb done, void *arg);

/* A row as another node committed it, in the order of the engine's change log. */
struct store_change {
    uint64_t sequence;
    enum store_op_kind op;
    const char *kind;
    const char *id;
    const char *body; /* as the row is now, which may be newer; NULL for STORE_REMOVE */
};

struct store_events {
    /* Rows that others (other nodes, or a human with psql) changed, in order, none missed, also
     * after a lost connection. What is delivered together is the database's state at one moment: a
     * row that changed several times comes once, and what a row refers to is here, maybe further
     * back, or was before. */
    void (*changed)(void *arg, const struct store_change *changes, size_t count);
    /* The change log no longer reaches back to what this node knows: load everything anew. */
    void (*reload)(void *arg);
    /* The engine went away (with a sentence why), or came back. */
    void (*reachable)(void *arg, int is_reachable, const char *why);
};

/* Follows what other nodes write, from what store_load_all has seen on. An engine with one node
 * only calls nothing. The events are borrowed. */
void store_watch(struct store *store, const struct store_events *events, void *arg);
/* The last sequence number that this node has applied. */
uint64_t store_sequence(const struct store *store);

/* During a commit's done(0): the sequence number of its last change; 0: the engine counts none. */
uint64_t store_committed_sequence(const struct store *store);

/* Reads every row without blocking, after `reload` or when store_load_all had no database: then all
 * rows come in one call of `loaded` (borrowed during it; their sequences are all store_sequence()'s
 * of then), and `changed` goes on from there. rc 0, or a negative UV_E… and no rows: `reload` comes
 * again when there is a new chance. One at a time. */
typedef void (*store_loaded_cb)(void *arg, int rc, const struct store_change *rows, size_t count);
void store_load(struct store *store, store_loaded_cb loaded, void *arg);

/* A node as the database knows it. */
struct store_node {
    const char *id;
    const char *host;
    const char *version;
    const char *state;     /* "ready", "degraded", "draining" */
    uint64_t sequence;     /* the last change that is in force there */
    int64_t started_at_ms; /* since 1970 */
    uint64_t age_ms;       /* since its last heartbeat, by the database's clock; not written */
};

/* Writes this node's row and reads those of all nodes, this one too, ordered by started_at_ms and
 * id; the engine drops rows that nobody has written for a day. state NULL: the node leaves and its
 * row goes. done (NULL: not wanted) gets 0; UV_ENOTCONN where the database is away; UV_ENOTSUP at
 * once where the engine has one node only. The nodes are borrowed during the call. */
typedef void (*store_nodes_cb)(void *arg, int rc, const struct store_node *nodes, size_t count);
void store_heartbeat(struct store *store, const struct store_node *self, store_nodes_cb done,
                     void *arg);

/* Whether the database is new: no row has ever been written to it. Of the moment when rows were
 * last loaded by store_load. */
int store_is_new(const struct store *store);

/* 1, or 0 while the engine fails to write what is committed; for /status. */
int store_is_reachable(const struct store *store);

/* Ends after commits under way; then calls back. */
void store_close(struct store *store, void (*closed)(void *arg), void *arg);

#endif
