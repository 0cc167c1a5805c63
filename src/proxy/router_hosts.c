#include "proxy/router_parts.h"

#include <uv.h> /* error codes only */

#include "http/uri.h"

/* Longer names are no names (RFC 1035 allows 253 characters), and would make the walk over their
 * labels expensive. */
#define MAX_HOST_BYTES 255

#define HASH_START 0xcbf29ce484222325u

/* FNV-1a, one byte at a time, so that a walk over labels hashes each byte once. Case is ignored. */
static uint64_t hash_byte(uint64_t hash, char c)
{
    return (hash ^ (unsigned char)str_lower_char(c)) * 0x100000001b3u;
}

/* Suffixes are hashed from their end, as the walk meets them. */
static uint64_t hash_name(enum router_host_kind kind, struct str name)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < name.len; i++)
        hash = hash_byte(hash, name.ptr[kind == ROUTER_HOST_SUFFIX ? name.len - 1 - i : i]);
    return hash;
}

/* The low bits alone are weak. */
static uint32_t slot_of(const struct router_host_table *table, uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 32) & table->mask;
}

void router_host_split(struct str host, enum router_host_kind *ret_kind, struct str *ret_name,
                       uint16_t *ret_port)
{
    if (!uri_split_host(host, ret_name, ret_port)) {
        *ret_name = host;
        *ret_port = 0;
    }
    struct str name = *ret_name;
    *ret_kind = ROUTER_HOST_PLAIN;
    if (name.len > 0 && name.ptr[0] == '*') {
        *ret_kind = ROUTER_HOST_SUFFIX;
        *ret_name = str_make(name.ptr + 1, name.len - 1);
    } else if (name.len > 0 && name.ptr[name.len - 1] == '*') {
        *ret_kind = ROUTER_HOST_PREFIX;
        *ret_name = str_make(name.ptr, name.len - 1);
    }
}

int router_hosts_create(struct router *router, enum router_host_kind kind, uint32_t count)
{
    struct router_host_table *table = &router->hosts[kind];
    if (count == 0)
        return 0;
    size_t size = 4;
    while (size < (size_t)count * 2)
        size *= 2;
    table->slots = arena_alloc(&router->arena, size * sizeof(*table->slots));
    if (!table->slots)
        return UV_ENOMEM;
    memset(table->slots, 0, size * sizeof(*table->slots));
    table->mask = (uint32_t)(size - 1);
    return 0;
}

void router_hosts_add(struct router *router, enum router_host_kind kind, struct str name,
                      uint32_t tree)
{
    struct router_host_table *table = &router->hosts[kind];
    uint32_t at = slot_of(table, hash_name(kind, name));
    while (table->slots[at].name.ptr)
        at = (at + 1) & table->mask;
    table->slots[at] = (struct router_host_slot){name, tree};
}

static uint32_t find(const struct router_host_table *table, uint64_t hash, struct str name)
{
    uint32_t at = slot_of(table, hash);
    for (; table->slots[at].name.ptr; at = (at + 1) & table->mask)
        if (str_equal_nocase(table->slots[at].name, name))
            return table->slots[at].tree;
    return ROUTER_NO_TREE;
}

void router_hosts_begin(const struct router *router, struct str host, struct router_host_walk *walk)
{
    *walk = (struct router_host_walk){.router = router, .host = host, .hash = HASH_START};
    if (host.len > MAX_HOST_BYTES)
        walk->host.len = 0;
}

/* Whether the dot just hashed ends something that a wildcard could name. */
static uint32_t find_wildcard(struct router_host_walk *walk)
{
    const struct router_host_table *table = &walk->router->hosts[walk->kind];
    struct str host = walk->host;
    while (walk->at < host.len) {
        bool is_suffix = walk->kind == ROUTER_HOST_SUFFIX;
        size_t index = is_suffix ? host.len - 1 - walk->at : walk->at;
        walk->hash = hash_byte(walk->hash, host.ptr[index]);
        walk->at++;
        if (host.ptr[index] != '.')
            continue;
        struct str name = is_suffix ? str_make(host.ptr + index, host.len - index)
                                    : str_make(host.ptr, index + 1);
        uint32_t tree = find(table, walk->hash, name);
        if (tree != ROUTER_NO_TREE)
            return tree;
    }
    return ROUTER_NO_TREE;
}

static uint32_t find_of_kind(struct router_host_walk *walk)
{
    const struct router_host_table *table = &walk->router->hosts[walk->kind];
    if (walk->kind == ROUTER_HOST_ANY || !table->slots || walk->host.len == 0)
        return ROUTER_NO_TREE;
    if (walk->kind == ROUTER_HOST_PLAIN) {
        if (walk->at++ > 0)
            return ROUTER_NO_TREE;
        return find(table, hash_name(ROUTER_HOST_PLAIN, walk->host), walk->host);
    }
    return find_wildcard(walk);
}

uint32_t router_hosts_next(struct router_host_walk *walk)
{
    for (; walk->kind < ROUTER_HOST_KINDS; walk->kind++, walk->at = 0, walk->hash = HASH_START) {
        uint32_t tree = ROUTER_NO_TREE;
        if (walk->kind == ROUTER_HOST_ANY && walk->at++ == 0)
            tree = walk->router->any_host_tree;
        else
            tree = find_of_kind(walk);
        if (tree != ROUTER_NO_TREE)
            return tree;
    }
    return ROUTER_NO_TREE;
}
