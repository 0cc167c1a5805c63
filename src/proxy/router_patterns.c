#include "proxy/router_parts.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

/* A regex that routers share: the one that is in force, those before it that are still in use, and
 * the one that is being made. */
struct router_pattern {
    _Atomic uint32_t refs; /* routers */
    struct router_regex *regex;
};

static void unref(struct router_pattern *pattern)
{
    if (atomic_fetch_sub_explicit(&pattern->refs, 1, memory_order_acq_rel) != 1)
        return;
    router_regex_destroy(pattern->regex);
    free(pattern);
}

static struct router_pattern *create(struct router_regex *regex)
{
    struct router_pattern *pattern = malloc(sizeof(*pattern));
    if (!pattern)
        return NULL;
    atomic_init(&pattern->refs, 1);
    pattern->regex = regex;
    return pattern;
}

/* Takes a reference of the caller's over, also when it fails. */
static int add(struct router *router, struct str key, struct router_pattern *pattern)
{
    int rc = map_put(&router->patterns, key, pattern, NULL);
    if (rc)
        unref(pattern);
    return rc;
}

static int compile(struct router *router, enum router_pattern_kind kind, struct str key,
                   struct router_regex **ret, char *message, size_t size)
{
    struct str text = str_make(key.ptr + 1, key.len - 1);
    struct router_regex *regex;
    int rc = router_regex_compile(text, kind == ROUTER_PATTERN_PATH, kind == ROUTER_PATTERN_HEADER,
                                  &regex, message, size);
    if (rc)
        return rc;
    struct router_pattern *pattern = create(regex);
    if (!pattern) {
        router_regex_destroy(regex);
        return UV_ENOMEM;
    }
    *ret = regex;
    return add(router, key, pattern);
}

static int find_or_compile(struct router *router, enum router_pattern_kind kind, struct str key,
                           struct router_regex **ret, char *message, size_t size)
{
    struct router_pattern *pattern = map_get(&router->patterns, key);
    if (pattern) { /* several routes have it */
        *ret = pattern->regex;
        return 0;
    }
    if (router->before && (pattern = map_get(&router->before->patterns, key))) {
        atomic_fetch_add_explicit(&pattern->refs, 1, memory_order_relaxed);
        *ret = pattern->regex;
        return add(router, key, pattern);
    }
    return compile(router, kind, key, ret, message, size);
}

int router_patterns_get(struct router *router, enum router_pattern_kind kind, struct str text,
                        struct router_regex **ret, char *message, size_t size)
{
    char *key = malloc(text.len + 1);
    if (!key)
        return UV_ENOMEM;
    key[0] = (char)kind;
    if (text.len > 0)
        memcpy(key + 1, text.ptr, text.len);
    int rc = find_or_compile(router, kind, str_make(key, text.len + 1), ret, message, size);
    free(key);
    return rc;
}

void router_patterns_deinit(struct router *router)
{
    void *pattern;
    for (size_t at = 0; map_each(&router->patterns, &at, NULL, &pattern);)
        unref(pattern);
    map_deinit(&router->patterns);
}
