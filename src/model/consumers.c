#include "model/consumers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#include "base/arena.h"
#include "base/siphash.h"
#include "model/config.h"
#include "model/name_table.h"
#include "model/packed_row.h"
#include "model/row.h"
#include "model/secrets.h"

#define ARENA_BLOCK_BYTES 512 /* a consumer with a credential */

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

#define GROUPS CREDENTIAL_KINDS /* of stamps; credentials come before */
#define CONSUMERS (CREDENTIAL_KINDS + 1)
#define STAMPS (CREDENTIAL_KINDS + 2)

struct consumers {
    _Atomic uint32_t refs;
    uint64_t stamps[STAMPS];
    struct siphash_key key;
    struct name_table people; /* by id; holds the references */
    struct name_table by_username;
    struct name_table credentials[CREDENTIAL_KINDS];
};

/* In the arena of its person; what OpenSSL makes of it isn't. */
struct public_key {
    struct public_key *next;
    struct str pem; /* terminated */
    _Atomic(EVP_PKEY *) key;
};

/* A consumer with all that is its own: what changes with it, and goes on as a whole. */
struct person {
    _Atomic uint32_t refs;
    struct arena arena;
    struct consumer consumer;
    struct credential *credentials; /* in the arena, linked by `next` */
    struct public_key *public_keys; /* all, to be freed */
};

static void person_ref(const void *value)
{
    struct person *person = (struct person *)(uintptr_t)value;
    atomic_fetch_add_explicit(&person->refs, 1, memory_order_relaxed);
}

static void person_unref(const void *value)
{
    struct person *person = (struct person *)(uintptr_t)value;
    if (!person || atomic_fetch_sub_explicit(&person->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (struct public_key *key = person->public_keys; key; key = key->next)
        EVP_PKEY_free(atomic_load_explicit(&key->key, memory_order_relaxed));
    arena_deinit(&person->arena); /* secrets with it: the rows have them, too */
    free(person);
}

static const struct name_values counted = {person_ref, person_unref};

/* ---- a person, of its rows ---- */

/* What is passed along while rows are read. */
struct reading {
    struct person *person;
    enum credential_kind kind; /* of credentials */
};

static struct str copy(struct person *person, const json_t *row, const char *field)
{
    struct str text = row_text(row, field);
    return text.len > 0 ? arena_copy(&person->arena, text) : STR_EMPTY;
}

/* Rooms double, so that many groups of one consumer cost little more than few. */
static int add_group(void *arg, const json_t *row)
{
    struct person *person = ((struct reading *)arg)->person;
    struct consumer *consumer = &person->consumer;
    uint32_t count = consumer->group_count;
    struct str *groups = (struct str *)consumer->groups;
    if ((count & (count - 1)) == 0) { /* 0, 1, 2, 4…: full */
        groups = arena_alloc(&person->arena, (count ? count * 2 : 1) * sizeof(*groups));
        if (!groups)
            return UV_ENOMEM;
        if (count > 0)
            memcpy(groups, consumer->groups, count * sizeof(*groups));
        consumer->groups = groups;
    }
    groups[count] = copy(person, row, "group");
    if (!groups[count].ptr)
        return UV_ENOMEM;
    consumer->group_count++;
    return 0;
}

/* NULL: there is none, or no memory (*ret_rc). */
static struct public_key *add_public_key(struct person *person, const json_t *row, int *ret_rc)
{
    struct str pem = copy(person, row, "rsa_public_key");
    if (row_text(row, "rsa_public_key").len == 0)
        return NULL;
    struct public_key *made = arena_alloc(&person->arena, sizeof(*made));
    if (!made || !pem.ptr) {
        *ret_rc = UV_ENOMEM;
        return NULL;
    }
    made->next = person->public_keys;
    made->pem = pem;
    atomic_init(&made->key, NULL);
    person->public_keys = made;
    return made;
}

static int add_credential(void *arg, const json_t *row)
{
    const struct reading *reading = arg;
    struct person *person = reading->person;
    const char *secret = kinds[reading->kind].secret;
    int rc = 0;
    struct public_key *public_key = add_public_key(person, row, &rc);
    struct credential *credential = arena_alloc(&person->arena, sizeof(*credential));
    if (!credential || rc)
        return UV_ENOMEM;
    *credential = (struct credential){
        .kind = reading->kind,
        .name = copy(person, row, kinds[reading->kind].name),
        .id = copy(person, row, "id"),
        .secret = secret ? copy(person, row, secret) : STR_EMPTY,
        .algorithm = copy(person, row, "algorithm"),
        .public_key = public_key,
        .ends_at = (int64_t)json_integer_value(json_object_get(row, "expires_at")),
        .consumer = &person->consumer,
        .next = person->credentials,
    };
    if (!credential->name.ptr || !credential->id.ptr)
        return UV_ENOMEM;
    person->credentials = credential;
    return 0;
}

static int read_consumer(struct person *person, const json_t *row)
{
    person->consumer = (struct consumer){
        .id = copy(person, row, "id"),
        .username = copy(person, row, "username"),
        .custom_id = copy(person, row, "custom_id"),
    };
    return person->consumer.id.ptr ? 0 : UV_ENOMEM;
}

/* With one reference. 0 or UV_ENOMEM. */
static int create_person(const struct config *config, const json_t *row, struct person **ret)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    struct person *person = calloc(1, sizeof(*person));
    if (!person)
        return UV_ENOMEM;
    atomic_init(&person->refs, 1);
    arena_init(&person->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    struct reading reading = {.person = person};
    int rc = read_consumer(person, row);
    if (!rc)
        rc = config_walk_children(config, entity_find(STR("acls")), "consumer", id, add_group,
                                  &reading);
    for (int kind = 0; !rc && kind < CREDENTIAL_KINDS; kind++) {
        reading.kind = (enum credential_kind)kind;
        rc = config_walk_children(config, entity_find(str_of(kinds[kind].entity)), "consumer", id,
                                  add_credential, &reading);
    }
    if (rc)
        person_unref(person);
    else
        *ret = person;
    return rc;
}

/* ---- people in tables ---- */

static int put(const struct consumers *own, struct name_table *table, struct str name,
               const void *value)
{
    return name_table_put(table, siphash(&own->key, name), name, value);
}

static int take(const struct consumers *own, struct name_table *table, struct str name,
                const void *value)
{
    return name_table_remove(table, siphash(&own->key, name), value);
}

static const void *look(const struct consumers *own, const struct name_table *table,
                        struct str name)
{
    return name_table_find(table, siphash(&own->key, name), name);
}

static int add_person(struct consumers *own, const struct person *person)
{
    const struct consumer *consumer = &person->consumer;
    int rc = put(own, &own->people, consumer->id, person);
    if (!rc && consumer->username.len > 0)
        rc = put(own, &own->by_username, consumer->username, person);
    for (const struct credential *at = person->credentials; at && !rc; at = at->next)
        rc = put(own, &own->credentials[at->kind], at->name, at);
    return rc;
}

static int remove_person(struct consumers *own, const struct person *person)
{
    const struct consumer *consumer = &person->consumer;
    int rc = 0;
    for (const struct credential *at = person->credentials; at && !rc; at = at->next)
        rc = take(own, &own->credentials[at->kind], at->name, at);
    if (!rc && consumer->username.len > 0)
        rc = take(own, &own->by_username, consumer->username, person);
    return rc ? rc : take(own, &own->people, consumer->id, person);
}

/* ---- the whole ---- */

/* What is passed along while the directory is made. */
struct making {
    struct consumers *own;
    const struct config *config;
};

static const struct entity *entity_of(int stamp)
{
    return entity_find(stamp == CONSUMERS ? STR("consumers")
                       : stamp == GROUPS  ? STR("acls")
                                          : str_of(kinds[stamp].entity));
}

static int make_person(void *arg, const json_t *row)
{
    struct making *making = arg;
    struct person *person = NULL;
    int rc = create_person(making->config, row, &person);
    if (!rc)
        rc = add_person(making->own, person);
    person_unref(person);
    return rc;
}

static int make_all(struct making *making)
{
    struct consumers *own = making->own;
    size_t count = config_count(making->config, entity_of(CONSUMERS));
    own->key = siphash_random_key();
    int rc = name_table_init(&own->people, &counted, count);
    if (!rc)
        rc = name_table_init(&own->by_username, NULL, count);
    for (int kind = 0; !rc && kind < CREDENTIAL_KINDS; kind++)
        rc = name_table_init(&own->credentials[kind], NULL,
                             config_count(making->config, entity_of(kind)));
    return rc ? rc : config_walk(making->config, entity_of(CONSUMERS), make_person, making);
}

/* ---- what has changed ---- */

static int share_all(struct consumers *own, const struct consumers *before)
{
    own->key = before->key;
    int rc = name_table_share(&before->people, &own->people);
    if (!rc)
        rc = name_table_share(&before->by_username, &own->by_username);
    for (int kind = 0; !rc && kind < CREDENTIAL_KINDS; kind++)
        rc = name_table_share(&before->credentials[kind], &own->credentials[kind]);
    return rc;
}

/* What went is taken out before anything is put in, for a name may have passed from one to another.
 */
static int forget(struct making *making, struct str id)
{
    const struct person *person = look(making->own, &making->own->people, id);
    return person ? remove_person(making->own, person) : 0;
}

static int remake(struct making *making, struct str id)
{
    const json_t *row = config_get(making->config, entity_of(CONSUMERS), id);
    bool is_there = look(making->own, &making->own->people, id) != NULL;
    return row && !is_there ? make_person(making, row) : 0;
}

struct touching {
    struct making *making;
    int (*touch)(struct making *making, struct str id);
    bool is_consumer; /* the row itself, or else what belongs to one */
};

static int touch_row(void *arg, const struct packed_row *row)
{
    struct touching *touching = arg;
    if (touching->is_consumer)
        return touching->touch(touching->making, str_of(packed_row_id(row)));
    json_t *consumer = packed_row_get(row, "consumer");
    struct str id = row_text(consumer, "id");
    int rc = id.len > 0 ? touching->touch(touching->making, id) : 0;
    json_decref(consumer);
    return rc;
}

/* UV_ERANGE: too much has changed to be known. */
static int touch_changed(struct making *making, const struct consumers *before,
                         int (*touch)(struct making *making, struct str id))
{
    struct touching touching = {.making = making, .touch = touch};
    int rc = 0;
    for (int i = 0; i < STAMPS && !rc; i++) {
        touching.is_consumer = i == CONSUMERS;
        rc = config_changes_since(making->config, entity_of(i), before->stamps[i], touch_row,
                                  &touching);
    }
    return rc;
}

static int make_changed(struct making *making, const struct consumers *before)
{
    int rc = share_all(making->own, before);
    if (!rc)
        rc = touch_changed(making, before, forget);
    return rc ? rc : touch_changed(making, before, remake);
}

static int create(const struct config *config, const struct consumers *before,
                  const uint64_t stamps[STAMPS], struct consumers **ret)
{
    struct consumers *own = calloc(1, sizeof(*own));
    if (!own)
        return UV_ENOMEM;
    atomic_init(&own->refs, 1);
    memcpy(own->stamps, stamps, sizeof(own->stamps));
    struct making making = {.own = own, .config = config};
    size_t lent = config_lent(config);
    int rc = before ? make_changed(&making, before) : make_all(&making);
    config_take_back(config, lent);
    if (rc)
        consumers_unref(own);
    else
        *ret = own;
    return rc;
}

int consumers_create(const struct config *config, struct consumers *before, struct consumers **ret)
{
    uint64_t stamps[STAMPS];
    for (int i = 0; i < STAMPS; i++)
        stamps[i] = config_stamp(config, entity_of(i));
    if (before && memcmp(before->stamps, stamps, sizeof(stamps)) == 0) {
        *ret = consumers_ref(before);
        return 0;
    }
    int rc = before ? create(config, before, stamps, ret) : UV_ERANGE;
    return rc == UV_ERANGE ? create(config, NULL, stamps, ret) : rc;
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
    name_table_deinit(&consumers->by_username);
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++)
        name_table_deinit(&consumers->credentials[kind]);
    name_table_deinit(&consumers->people);
    free(consumers);
}

const struct consumer *consumers_find(const struct consumers *consumers, struct str id_or_username)
{
    const struct person *found = look(consumers, &consumers->people, id_or_username);
    if (!found)
        found = look(consumers, &consumers->by_username, id_or_username);
    return found ? &found->consumer : NULL;
}

const struct credential *consumers_find_credential(const struct consumers *consumers,
                                                   enum credential_kind kind, struct str name,
                                                   int64_t now_s)
{
    const struct credential *found = look(consumers, &consumers->credentials[kind], name);
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
