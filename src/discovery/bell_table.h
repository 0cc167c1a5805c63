/* bell_table.h - what two lists of Consul's said the last time, entry by entry, so that a new
 * answer tells which services it is about: all checks (/v1/health/state/any), and all services with
 * their tags (/v1/catalog/services). Bytes in, no sockets.
 *
 * Of an entry only hashes are kept: of its bytes, and of whom it is about.
 *
 * Thread: one owner. Memory: 24 bytes and an index of 8 for each entry. */
#ifndef DISCOVERY_BELL_TABLE_H
#define DISCOVERY_BELL_TABLE_H

#include <stdbool.h>

#include "base/siphash.h"
#include "discovery/json_pieces.h"

#define BELL_ENTRIES_MAX 1000000

enum bell_subject { BELL_SERVICE = 0, BELL_NODE };

/* Something about this service, or all services on this node, may have changed. Names are told by
 * their hash (bell_table_key). */
typedef void (*bell_cb)(void *arg, enum bell_subject subject, uint64_t key);

struct bell_row {
    uint64_t fingerprint; /* of the entry's bytes */
    uint64_t key;         /* whom it is about */
    uint32_t subject;
    bool is_seen; /* also in the answer before, or in the one that is being read */
};

struct bell_rows {
    struct bell_row *items;
    uint32_t count, capacity;
};

struct bell_table {
    struct siphash_key siphash_key;
    struct bell_rows known, fresh; /* `fresh`: of the answer that is being read */
    uint32_t *slots;               /* of known: its number plus 1, by fingerprint */
    uint32_t mask;
    bool has_known;
    struct json_pieces pieces;
    int error;
};

void bell_table_init(struct bell_table *table);
void bell_table_deinit(struct bell_table *table);
/* Nothing is known any more. */
void bell_table_forget(struct bell_table *table);
/* Names differ in case alone where Consul's do. */
uint64_t bell_table_key(const struct bell_table *table, struct str name);

/* An array of checks, in pieces. */
void bell_table_begin(struct bell_table *table);
void bell_table_feed(struct bell_table *table, struct str bytes);
/* After the whole of it: tells of all that differ from the answer before; of none if there was
 * none. 0, UV_ENOMEM, or UV_EINVAL for an answer that is no such list: then the one before stays.
 */
int bell_table_end(struct bell_table *table, bell_cb ring, void *arg);
/* The same for an object {"service": ["tag", …]}, as a whole. */
int bell_table_take_catalog(struct bell_table *table, struct str body, bell_cb ring, void *arg);

#endif
