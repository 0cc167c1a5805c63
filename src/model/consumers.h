/* consumers.h - who may use services, and by what each is known: found by their credentials while a
 * request waits.
 *
 * Made of the rows of consumers, of their credentials and of their groups, and kept from snapshot
 * to snapshot for as long as none of those change. When some do, those consumers are made anew that
 * they belong to, and the rest is shared with the one before.
 *
 * Thread: made by control, then immutable; the last snapshot that holds it may go on any thread.
 * Memory: a block and an arena a consumer. Looking up costs O(1) whatever is asked for: the hash is
 * keyed, so that nobody can choose names that collide. */
#ifndef MODEL_CONSUMERS_H
#define MODEL_CONSUMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct config;
struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

struct consumer {
    struct str id;
    struct str username;  /* empty: none */
    struct str custom_id; /* empty: none */
    const struct str *groups;
    uint32_t group_count;
};

enum credential_kind {
    CREDENTIAL_KEY = 0,
    CREDENTIAL_BASIC,
    CREDENTIAL_JWT,
    CREDENTIAL_HMAC,
    CREDENTIAL_KINDS, /* keep last */
};

struct public_key; /* read when it is first needed */

struct credential {
    enum credential_kind kind;
    struct str name; /* the key, or a user's name */
    struct str id;
    struct str secret; /* basic: as it is stored, hashed */
    struct str algorithm;
    struct public_key *public_key; /* NULL: none */
    int64_t ends_at;               /* Unix seconds; 0: never */
    const struct consumer *consumer;
    const struct credential *next; /* of the same consumer, of any kind */
};

struct consumers;

/* Those of the configuration: *ret anew with a reference, or `before` (NULL: none) with one more
 * where nothing of it has changed since. 0 or UV_ENOMEM. Copies what it needs. */
int consumers_create(const struct config *config, struct consumers *before, struct consumers **ret);
struct consumers *consumers_ref(struct consumers *consumers);
void consumers_unref(struct consumers *consumers); /* NULL is fine */

/* NULL: none. */
const struct consumer *consumers_find(const struct consumers *consumers, struct str id_or_username);
/* NULL: none, or it has ended by now_s. Compares in a time that tells nothing of the names that
 * there are. */
const struct credential *consumers_find_credential(const struct consumers *consumers,
                                                   enum credential_kind kind, struct str name,
                                                   int64_t now_s);
/* Borrowed; NULL: it has none, or none that OpenSSL can read. Reads it the first time; thread: any.
 */
struct evp_pkey_st *credential_public_key(const struct credential *credential);
bool consumer_is_in(const struct consumer *consumer, struct str group);

#endif
