#include "discovery/spec_copy.h"

#include <stdlib.h>

#define ARENA_BLOCK_BYTES 1024

static bool copy_str(struct arena *arena, struct str *s)
{
    if (s->len == 0)
        return true;
    *s = arena_copy(arena, *s);
    return s->ptr != NULL;
}

static bool copy_targets(struct arena *arena, struct upstream_spec *spec)
{
    if (spec->target_count == 0)
        return true;
    struct static_target *targets = arena_alloc(arena, spec->target_count * sizeof(*targets));
    if (!targets)
        return false;
    for (size_t i = 0; i < spec->target_count; i++) {
        targets[i] = spec->targets[i];
        if (!copy_str(arena, &targets[i].host))
            return false;
    }
    spec->targets = targets;
    return true;
}

int spec_copy_create(const struct upstream_spec *spec, struct spec_copy **ret)
{
    struct spec_copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return UV_ENOMEM;
    arena_init(&copy->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    copy->spec = *spec;
    copy->spec.orders = NULL; /* the pool has its own */
    copy->spec.order_count = 0;
    if (!copy_str(&copy->arena, &copy->spec.key) || !copy_str(&copy->arena, &copy->spec.name) ||
        !copy_str(&copy->arena, &copy->spec.host) || !copy_targets(&copy->arena, &copy->spec) ||
        !copy_str(&copy->arena, &copy->spec.host_header))
        goto fail;
    if (spec->healthchecks && !(copy->healthchecks = json_deep_copy(spec->healthchecks)))
        goto fail;
    copy->spec.healthchecks = copy->healthchecks;
    if (spec->discovery && !(copy->discovery = json_deep_copy(spec->discovery)))
        goto fail;
    copy->spec.discovery = copy->discovery;
    if (spec->client_certificate &&
        !(copy->client_certificate = json_deep_copy(spec->client_certificate)))
        goto fail;
    copy->spec.client_certificate = copy->client_certificate;
    copy->balancing = balancing_ref(spec->balancing);
    *ret = copy;
    return 0;
fail:
    spec_copy_destroy(copy);
    return UV_ENOMEM;
}

void spec_copy_destroy(struct spec_copy *copy)
{
    if (!copy)
        return;
    json_decref(copy->discovery);
    json_decref(copy->healthchecks);
    json_decref(copy->client_certificate);
    balancing_unref(copy->balancing);
    arena_deinit(&copy->arena);
    free(copy);
}

static bool same_target(const struct static_target *a, const struct static_target *b)
{
    return str_equal(a->host, b->host) && a->port == b->port && a->weight == b->weight;
}

static bool same_record(const json_t *a, const json_t *b)
{
    return a && b ? json_equal(a, b) : a == b;
}

bool spec_equal_checks(const struct upstream_spec *a, const struct upstream_spec *b)
{
    return same_record(a->healthchecks, b->healthchecks) &&
           same_record(a->client_certificate, b->client_certificate) &&
           str_equal(a->host_header, b->host_header);
}

bool spec_equal(const struct upstream_spec *a, const struct upstream_spec *b)
{
    if (!str_equal(a->name, b->name) || !str_equal(a->host, b->host) || a->port != b->port ||
        a->target_count != b->target_count)
        return false;
    for (size_t i = 0; i < a->target_count; i++)
        if (!same_target(&a->targets[i], &b->targets[i]))
            return false;
    return same_record(a->discovery, b->discovery) && balancing_equal(a->balancing, b->balancing) &&
           spec_equal_checks(a, b);
}
