#include "model/consumers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#include "base/arena.h"
#include "base/siphash.h"
#include "model/config.h"
#include "model/row.h"
#include "model/secrets.h"

#define ARENA_BLOCK_BYTES (64 * 1024)

/* Open addressing, at most half full; the whole hash stands beside the pointer, so that nearly no
 * name is compared that isn't the one. */
struct name_slot {
    uint64_t hash;
    struct str name;
    const void *value; /* NULL: free */
};

struct name_table {
    struct name_slot *slots;
    size_t capacity; /* a power of two, or 0 */
};

static const struct {
    const char *entity;
    const char *name;
    const char *secret; /* NULL: the name is all there is */
} kinds[CREDENTIAL_KINDS] = {
    [CREDENTIAL_KEY] = {"keyauth_credentials", "key", NULL},
    [CREDENTIAL_BASIC] = {"basicauth_credentials", "username", "password"},
    [CREDENTIAL_JWT] = {"jwt_secrets", "key", "secret"},
    [CREDENTIAL_HMAC] = {"hmacauth_credentials", "username", "secret"},
};

#define STAMPS (CREDENTIAL_KINDS + 2) /* and the consumers, and their groups */

struct consumers {
    _Atomic uint32_t refs;
    uint64_t stamps[STAMPS];
    struct arena arena;
    struct siphash_key key;
    struct name_table by_id;
    struct name_table by_username;
    struct name_table credentials[CREDENTIAL_KINDS];
    struct public_key *public_keys; /* all, to be freed */
};

/* In the arena; what OpenSSL makes of it isn't. */
struct public_key {
    struct public_key *next;
    struct str pem; /* terminated */
    _Atomic(EVP_PKEY *) key;
};

/* ---- tables of names ---- */

static int table_init_for(struct consumers *own, struct name_table *table, size_t count)
{
    size_t capacity = 8;
    while (capacity < count * 2)
        capacity *= 2;
    table->slots = arena_alloc(&own->arena, capacity * sizeof(*table->slots));
    if (!table->slots)
        return UV_ENOMEM;
    memset(table->slots, 0, capacity * sizeof(*table->slots));
    table->capacity = capacity;
    return 0;
}

static void table_add(const struct consumers *own, struct name_table *table, struct str name,
                      const void *value)
{
    uint64_t hash = siphash(&own->key, name);
    size_t at = hash & (table->capacity - 1);
    while (table->slots[at].value)
        at = (at + 1) & (table->capacity - 1);
    table->slots[at] = (struct name_slot){hash, name, value};
}

static const void *table_look(const struct consumers *own, const struct name_table *table,
                              struct str name)
{
    uint64_t hash = siphash(&own->key, name);
    size_t mask = table->capacity - 1;
    for (size_t at = hash & mask; table->capacity && table->slots[at].value; at = (at + 1) & mask) {
        const struct name_slot *slot = &table->slots[at];
        if (slot->hash == hash && slot->name.len == name.len &&
            (name.len == 0 || CRYPTO_memcmp(slot->name.ptr, name.ptr, name.len) == 0))
            return slot->value;
    }
    return NULL;
}

/* ---- rows ---- */

/* What is passed along while rows are read. */
struct filling {
    struct consumers *own;
    enum credential_kind kind; /* of credentials */
};

static struct str copy(struct consumers *own, const json_t *row, const char *field)
{
    struct str text = row_text(row, field);
    return text.len > 0 ? arena_copy(&own->arena, text) : STR_EMPTY;
}

static int add_consumer(void *arg, const json_t *row)
{
    struct consumers *own = ((struct filling *)arg)->own;
    struct consumer *consumer = arena_alloc(&own->arena, sizeof(*consumer));
    if (!consumer)
        return UV_ENOMEM;
    *consumer = (struct consumer){
        .id = copy(own, row, "id"),
        .username = copy(own, row, "username"),
        .custom_id = copy(own, row, "custom_id"),
    };
    if (!consumer->id.ptr)
        return UV_ENOMEM;
    table_add(own, &own->by_id, consumer->id, consumer);
    if (consumer->username.len > 0)
        table_add(own, &own->by_username, consumer->username, consumer);
    return 0;
}

/* What is being made is not shared yet, and may be changed. */
static struct consumer *consumer_of(struct consumers *own, const json_t *row)
{
    return (struct consumer *)table_look(own, &own->by_id,
                                         row_text(json_object_get(row, "consumer"), "id"));
}

/* Rooms double, so that many groups of one consumer cost little more than few. */
static int add_group(void *arg, const json_t *row)
{
    struct consumers *own = ((struct filling *)arg)->own;
    struct consumer *consumer = consumer_of(own, row);
    if (!consumer)
        return 0;
    uint32_t count = consumer->group_count;
    struct str *groups = (struct str *)consumer->groups;
    if ((count & (count - 1)) == 0) { /* 0, 1, 2, 4…: full */
        groups = arena_alloc(&own->arena, (count ? count * 2 : 1) * sizeof(*groups));
        if (!groups)
            return UV_ENOMEM;
        if (count > 0)
            memcpy(groups, consumer->groups, count * sizeof(*groups));
        consumer->groups = groups;
    }
    groups[count] = copy(own, row, "group");
    if (!groups[count].ptr)
        return UV_ENOMEM;
    consumer->group_count++;
    return 0;
}

/* NULL: there is none, or no memory (*ret_rc). */
static struct public_key *add_public_key(struct consumers *own, const json_t *row, int *ret_rc)
{
    struct str pem = copy(own, row, "rsa_public_key");
    if (row_text(row, "rsa_public_key").len == 0)
        return NULL;
    struct public_key *made = arena_alloc(&own->arena, sizeof(*made));
    if (!made || !pem.ptr) {
        *ret_rc = UV_ENOMEM;
        return NULL;
    }
    made->next = own->public_keys;
    made->pem = pem;
    atomic_init(&made->key, NULL);
    own->public_keys = made;
    return made;
}

static int add_credential(void *arg, const json_t *row)
{
    const struct filling *filling = arg;
    struct consumers *own = filling->own;
    enum credential_kind kind = filling->kind;
    const struct consumer *consumer = consumer_of(own, row);
    if (!consumer)
        return 0;
    int rc = 0;
    struct public_key *public_key = add_public_key(own, row, &rc);
    struct credential *credential = arena_alloc(&own->arena, sizeof(*credential));
    if (!credential || rc)
        return UV_ENOMEM;
    *credential = (struct credential){
        .kind = kind,
        .name = copy(own, row, kinds[kind].name),
        .id = copy(own, row, "id"),
        .secret = kinds[kind].secret ? copy(own, row, kinds[kind].secret) : STR_EMPTY,
        .algorithm = copy(own, row, "algorithm"),
        .public_key = public_key,
        .ends_at = (int64_t)json_integer_value(json_object_get(row, "expires_at")),
        .consumer = consumer,
    };
    if (!credential->name.ptr || !credential->id.ptr)
        return UV_ENOMEM;
    table_add(own, &own->credentials[kind], credential->name, credential);
    return 0;
}

/* ---- the whole ---- */

static void take_stamps(const struct config *config, uint64_t stamps[STAMPS])
{
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++)
        stamps[kind] = config_stamp(config, entity_find(str_of(kinds[kind].entity)));
    stamps[CREDENTIAL_KINDS] = config_stamp(config, entity_find(STR("consumers")));
    stamps[CREDENTIAL_KINDS + 1] = config_stamp(config, entity_find(STR("acls")));
}

static int fill(struct consumers *own, const struct config *config)
{
    struct filling filling = {.own = own};
    size_t count = config_count(config, entity_find(STR("consumers")));
    int rc = table_init_for(own, &own->by_id, count);
    if (!rc)
        rc = table_init_for(own, &own->by_username, count);
    if (!rc)
        rc = config_walk(config, entity_find(STR("consumers")), add_consumer, &filling);
    if (!rc)
        rc = config_walk(config, entity_find(STR("acls")), add_group, &filling);
    for (int kind = 0; !rc && kind < CREDENTIAL_KINDS; kind++) {
        const struct entity *entity = entity_find(str_of(kinds[kind].entity));
        filling.kind = (enum credential_kind)kind;
        rc = table_init_for(own, &own->credentials[kind], config_count(config, entity));
        if (!rc)
            rc = config_walk(config, entity, add_credential, &filling);
    }
    return rc;
}

int consumers_create(const struct config *config, struct consumers *before, struct consumers **ret)
{
    uint64_t stamps[STAMPS];
    take_stamps(config, stamps);
    if (before && memcmp(before->stamps, stamps, sizeof(stamps)) == 0) {
        *ret = consumers_ref(before);
        return 0;
    }
    struct consumers *own = calloc(1, sizeof(*own));
    if (!own)
        return UV_ENOMEM;
    atomic_init(&own->refs, 1);
    memcpy(own->stamps, stamps, sizeof(stamps));
    arena_init(&own->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    own->key = siphash_random_key();
    int rc = fill(own, config);
    if (rc) {
        consumers_unref(own);
        return rc;
    }
    *ret = own;
    return 0;
}

struct consumers *consumers_ref(struct consumers *consumers)
{
    atomic_fetch_add_explicit(&consumers->refs, 1, memory_order_relaxed);
    return consumers;
}

void consumers_unref(struct consumers *consumers)
{
    if (!consumers || atomic_fetch_sub_explicit(&consumers->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (struct public_key *key = consumers->public_keys; key; key = key->next)
        EVP_PKEY_free(atomic_load_explicit(&key->key, memory_order_relaxed));
    arena_deinit(&consumers->arena); /* secrets with it: the rows have them, too */
    free(consumers);
}

const struct consumer *consumers_find(const struct consumers *consumers, struct str id_or_username)
{
    const struct consumer *found = table_look(consumers, &consumers->by_id, id_or_username);
    return found ? found : table_look(consumers, &consumers->by_username, id_or_username);
}

const struct credential *consumers_find_credential(const struct consumers *consumers,
                                                   enum credential_kind kind, struct str name,
                                                   int64_t now_s)
{
    const struct credential *found = table_look(consumers, &consumers->credentials[kind], name);
    return found && (found->ends_at == 0 || now_s < found->ends_at) ? found : NULL;
}

/* Two workers may read it at once: the first one's counts. */
struct evp_pkey_st *credential_public_key(const struct credential *credential)
{
    struct public_key *own = credential->public_key;
    EVP_PKEY *key = own ? atomic_load_explicit(&own->key, memory_order_acquire) : NULL;
    if (!own || key)
        return key;
    EVP_PKEY *read = secrets_read_public_key(own->pem.ptr);
    if (read && !atomic_compare_exchange_strong_explicit(
                    &own->key, &key, read, memory_order_acq_rel, memory_order_acquire)) {
        EVP_PKEY_free(read);
        return key;
    }
    return read;
}

bool consumer_is_in(const struct consumer *consumer, struct str group)
{
    for (uint32_t i = 0; i < consumer->group_count; i++)
        if (str_equal(consumer->groups[i], group))
            return true;
    return false;
}
