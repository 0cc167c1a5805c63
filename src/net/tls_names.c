#include "net/tls_names.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/map.h"
#include "net/tls_identity.h"

#define MAX_NAME_BYTES 256 /* a host name has at most 253 */

struct tls_names {
    struct map identities; /* by name in lower case, wildcards as they are written */
};

int tls_names_create(struct tls_names **ret)
{
    struct tls_names *names = calloc(1, sizeof(*names));
    if (!names)
        return UV_ENOMEM;
    *ret = names;
    return 0;
}

void tls_names_destroy(struct tls_names *names)
{
    size_t at = 0;
    void *identity;
    if (!names)
        return;
    while (map_each(&names->identities, &at, NULL, &identity))
        tls_identity_unref(identity);
    map_deinit(&names->identities);
    free(names);
}

/* False when it is longer than any name. */
static bool lower(struct str name, char out[MAX_NAME_BYTES])
{
    if (name.len >= MAX_NAME_BYTES)
        return false;
    for (size_t i = 0; i < name.len; i++)
        out[i] = str_lower_char(name.ptr[i]);
    return true;
}

int tls_names_add(struct tls_names *names, struct str name, struct tls_identity *identity)
{
    char text[MAX_NAME_BYTES];
    void *old = NULL;
    if (!lower(name, text))
        return 0; /* no client can ask for it */
    int rc = map_put(&names->identities, str_make(text, name.len), identity, &old);
    if (rc)
        return rc;
    tls_identity_ref(identity);
    tls_identity_unref(old);
    return 0;
}

/* "*.b.c" of "a.b.c", which starts one byte before its first dot. */
static struct tls_identity *find_left(const struct map *map, const char *text, size_t len)
{
    const char *dot = memchr(text, '.', len);
    char wild[MAX_NAME_BYTES];
    if (!dot)
        return NULL;
    size_t rest = len - (size_t)(dot - text);
    if (rest + 1 > sizeof(wild))
        return NULL;
    wild[0] = '*';
    memcpy(wild + 1, dot, rest);
    return map_get(map, str_make(wild, rest + 1));
}

/* "a.b.*" of "a.b.c". */
static struct tls_identity *find_right(const struct map *map, const char *text, size_t len)
{
    const char *dot = memrchr(text, '.', len);
    char wild[MAX_NAME_BYTES + 1];
    if (!dot)
        return NULL;
    size_t head = (size_t)(dot - text) + 1;
    memcpy(wild, text, head);
    wild[head] = '*';
    return map_get(map, str_make(wild, head + 1));
}

struct tls_identity *tls_names_find(const struct tls_names *names, struct str name)
{
    char text[MAX_NAME_BYTES];
    const struct map *map = &names->identities;
    if (map->count == 0 || name.len == 0 || !lower(name, text))
        return NULL;
    struct tls_identity *found = map_get(map, str_make(text, name.len));
    if (!found)
        found = find_left(map, text, name.len);
    if (!found)
        found = find_right(map, text, name.len);
    return found ? found : map_get(map, STR("*"));
}
