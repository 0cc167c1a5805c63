/* declarative_id.c - ids that follow from what an entity of a file says, so that a file without ids
 * means the same rows each time; where Kong makes them of a key, they are Kong's. */
#include "model/declarative_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/random.h"
#include "model/config_table.h"

#define KEY_MAX_BYTES ((size_t)1 << 20)

/* Kong's namespace of its entities' namespaces. */
static const unsigned char root[16] = {0xfd, 0x02, 0x80, 0x1f, 0x09, 0x57, 0x4a, 0x15,
                                       0xa5, 0x5a, 0xc8, 0xd9, 0x60, 0x6f, 0x30, 0xb5};

static void digest(const EVP_MD *kind, const void *first, size_t first_len, const void *second,
                   size_t second_len, unsigned char out[EVP_MAX_MD_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    memset(out, 0, EVP_MAX_MD_SIZE);
    if (!context || !EVP_DigestInit_ex(context, kind, NULL) ||
        !EVP_DigestUpdate(context, first, first_len) ||
        !EVP_DigestUpdate(context, second, second_len) || !EVP_DigestFinal_ex(context, out, NULL))
        abort(); /* no memory, or no OpenSSL to speak of */
    EVP_MD_CTX_free(context);
}

/* RFC 9562, section 5.5. */
static void make_uuid(const unsigned char space[16], const char *name, unsigned char out[16])
{
    unsigned char sha1[EVP_MAX_MD_SIZE];
    digest(EVP_sha1(), space, 16, name, strlen(name), sha1);
    memcpy(out, sha1, 16);
    out[6] = (unsigned char)((out[6] & 0x0f) | 0x50);
    out[8] = (unsigned char)((out[8] & 0x3f) | 0x80);
}

void declarative_make_id(const char *kind, const char *key, char id[37])
{
    unsigned char space[16], bytes[16];
    make_uuid(root, kind, space);
    make_uuid(space, key, bytes);
    size_t at = 0;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            id[at++] = '-';
        at += (size_t)snprintf(id + at, 37 - at, "%02x", bytes[i]);
    }
}

void declarative_hash(const char *text, size_t len, char hash[DECLARATIVE_HASH_BYTES])
{
    unsigned char sha256[EVP_MAX_MD_SIZE];
    digest(EVP_sha256(), text, len, "", 0, sha256);
    for (unsigned i = 0; i < 16; i++)
        snprintf(hash + (size_t)2 * i, 3, "%02x", len ? sha256[i] : 0);
}

static const char *text_of(const json_t *input, const char *field)
{
    const char *text = field ? json_string_value(json_object_get(input, field)) : NULL;
    return text && text[0] ? text : NULL;
}

/* What is unique only under a parent has the parent's id behind it. */
static void add_parents(struct buf *key, const struct entity *entity, const json_t *input)
{
    for (const struct field *field = entity->fields; field->name; field++) {
        const char *id = field->type == FIELD_FOREIGN && field->cascade
                             ? row_foreign_id(input, field->name)
                             : NULL;
        if (id)
            buf_printf(key, ":%s", id);
    }
}

/* "plugins:key-auth:<route>:<service>:<consumer>", empty where there is none. */
static void add_together(struct buf *key, const struct entity *entity, const json_t *input)
{
    buf_printf(key, "%s", entity->name);
    for (const char *const *name = entity->unique_together; *name; name++) {
        const char *id = row_foreign_id(input, *name);
        const char *text = id ? id : text_of(input, *name);
        buf_printf(key, ":%s", text ? text : "");
    }
}

static void add_content(struct buf *key, const json_t *input)
{
    char *text = json_dumps(input, JSON_COMPACT | JSON_SORT_KEYS);
    unsigned char sha256[EVP_MAX_MD_SIZE];
    digest(EVP_sha256(), text ? text : "", text ? strlen(text) : 0, "", 0, sha256);
    for (unsigned i = 0; i < 32; i++)
        buf_printf(key, "%02x", sha256[i]);
    free(text);
}

void declarative_item_id(const struct declarative_item *item, const json_t *input, unsigned number,
                         char id[37])
{
    const struct entity *entity = item->entity;
    const char *name = text_of(input, entity->endpoint_key);
    struct buf key;
    buf_init(&key, KEY_MAX_BYTES);
    if (name) {
        buf_append(&key, name, strlen(name));
        if (!entity_field(entity, str_of(entity->endpoint_key))->unique)
            add_parents(&key, entity, input);
    } else if (entity->unique_together) {
        add_together(&key, entity, input);
    } else if (text_of(input, entity->searched_by)) {
        buf_printf(&key, "%s:%s", entity->searched_by, text_of(input, entity->searched_by));
    } else {
        add_content(&key, input);
    }
    if (number > 0)
        buf_printf(&key, "#%u", number);
    buf_append(&key, "", 1);
    declarative_make_id(entity->name, buf_str(&key).ptr, id);
    buf_deinit(&key);
}
