#include "control/plugin_compile.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/map.h"
#include "model/row.h"
#include "plugins/chain.h"
#include "plugins/registry.h"

/* Rows of one scope that are looked at. A plugin has at most one without a consumer there, and one
 * a consumer: those are skipped. */
#define PAGE_ROWS 64

struct plugin_compiler {
    const struct config *config;
    struct arena *arena;
    struct map by_id;   /* a row's id → its struct plugin_step */
    struct map globals; /* a plugin's name → the row that is for everything */
    const struct plugin_chain *global_chain;
};

static bool is_unset(const json_t *row, const char *field)
{
    return !json_is_object(json_object_get(row, field));
}

static bool is_on(const json_t *row)
{
    return !json_is_false(json_object_get(row, "enabled")) && is_unset(row, "consumer");
}

static int note_global(void *arg, const char *kind, const json_t *row)
{
    struct plugin_compiler *compiler = arg;
    if (strcmp(kind, "plugins") != 0 || !is_on(row) || !is_unset(row, "route") ||
        !is_unset(row, "service"))
        return 0;
    return map_put(&compiler->globals, row_text(row, "name"), (void *)(uintptr_t)row, NULL);
}

static uint32_t protocols_of(const json_t *row)
{
    uint32_t bits = 0;
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(row, "protocols"), i, name)
    {
        if (strcmp(json_string_value(name), "http") == 0)
            bits |= PROTOCOL_HTTP;
        if (strcmp(json_string_value(name), "https") == 0)
            bits |= PROTOCOL_HTTPS;
    }
    return bits;
}

/* The row, compiled once; NULL: no memory. */
static const struct plugin_step *step_of(struct plugin_compiler *compiler,
                                         const struct plugin *plugin, const json_t *row)
{
    struct plugin_step *step = map_get(&compiler->by_id, row_text(row, "id"));
    if (step)
        return step;
    step = arena_alloc(compiler->arena, sizeof(*step));
    if (!step)
        return NULL;
    *step = (struct plugin_step){.plugin = plugin, .protocols = protocols_of(row)};
    if (plugin->compile(json_object_get(row, "config"), compiler->arena, &step->config) ||
        map_put(&compiler->by_id, row_text(row, "id"), step, NULL))
        return NULL;
    return step;
}

/* How much a row's scope says about a route; the more specific one runs. */
static unsigned weight_of(const json_t *row)
{
    return (is_unset(row, "route") ? 0u : 2u) + (is_unset(row, "service") ? 0u : 1u);
}

struct candidates {
    const json_t *rows[PAGE_ROWS * 2];
    size_t count;
};

/* Rows that a route or its service has, and that are not for another service or route. */
static void gather(const struct plugin_compiler *compiler, const char *field, struct str id,
                   const struct route *route, struct candidates *ret)
{
    const struct entity *entity = entity_find(STR("plugins"));
    const json_t *page[PAGE_ROWS];
    const char *after = NULL;
    bool more = id.len > 0;
    while (more) {
        size_t count = config_list(compiler->config, entity, after, field, id.ptr, NULL, NULL, page,
                                   PAGE_ROWS, &more);
        for (size_t i = 0; i < count; i++) {
            struct str of_route = row_text(json_object_get(page[i], "route"), "id");
            struct str of_service = row_text(json_object_get(page[i], "service"), "id");
            bool is_others = (of_route.len > 0 && !str_equal(of_route, route->id)) ||
                             (of_service.len > 0 &&
                              !(route->service && str_equal(of_service, route->service->id)));
            if (is_on(page[i]) && !is_others && plugins_is_implemented(row_text(page[i], "name")) &&
                ret->count < sizeof(ret->rows) / sizeof(ret->rows[0]))
                ret->rows[ret->count++] = page[i];
        }
        if (count == 0)
            break;
        after = json_string_value(json_object_get(page[count - 1], "id"));
    }
}

static const json_t *best_of(const struct plugin_compiler *compiler, const char *name,
                             const struct candidates *candidates)
{
    const json_t *best = map_get(&compiler->globals, str_of(name));
    for (size_t i = 0; i < candidates->count; i++) {
        const json_t *row = candidates->rows[i];
        if (str_equal(row_text(row, "name"), str_of(name)) &&
            (!best || weight_of(row) > weight_of(best)))
            best = row;
    }
    return best;
}

static int make_chain(struct plugin_compiler *compiler, const struct candidates *candidates,
                      const struct plugin_chain **ret)
{
    size_t max = 0;
    while (plugins_registry[max])
        max++;
    struct plugin_chain *chain = NULL;
    *ret = NULL;
    for (size_t i = 0; i < max; i++) {
        const struct plugin *plugin = plugins_registry[i];
        const json_t *row = best_of(compiler, plugin->name, candidates);
        if (!row)
            continue;
        if (!chain)
            chain = arena_alloc(compiler->arena, sizeof(*chain) + max * sizeof(chain->steps[0]));
        const struct plugin_step *step = step_of(compiler, plugin, row);
        if (!chain || !step)
            return UV_ENOMEM;
        if (!*ret)
            chain->count = 0;
        chain->steps[chain->count++] = *step;
        *ret = chain;
    }
    return 0;
}

int plugin_compiler_create(const struct config *config, struct arena *arena,
                           struct plugin_compiler **ret)
{
    struct candidates none = {.count = 0};
    struct plugin_compiler *compiler = calloc(1, sizeof(*compiler));
    if (!compiler)
        return UV_ENOMEM;
    compiler->config = config;
    compiler->arena = arena;
    int rc = config_each(config, note_global, compiler);
    if (rc == 0)
        rc = make_chain(compiler, &none, &compiler->global_chain);
    if (rc) {
        plugin_compiler_destroy(compiler);
        return rc;
    }
    *ret = compiler;
    return 0;
}

void plugin_compiler_destroy(struct plugin_compiler *compiler)
{
    if (!compiler)
        return;
    map_deinit(&compiler->by_id);
    map_deinit(&compiler->globals);
    free(compiler);
}

int plugin_compile_route(struct plugin_compiler *compiler, struct route *route)
{
    struct candidates candidates = {.count = 0};
    gather(compiler, "route", route->id, route, &candidates);
    if (route->service)
        gather(compiler, "service", route->service->id, route, &candidates);
    route->plugins = compiler->global_chain;
    return candidates.count > 0 ? make_chain(compiler, &candidates, &route->plugins) : 0;
}
