#include "control/plugin_compile.h"

#include <assert.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/map.h"
#include "model/compiled_route.h"
#include "model/row.h"
#include "plugins/chain.h"
#include "plugins/registry.h"

#define PAGE_ROWS 64
#define MAX_PLUGINS 64

/* Rows that grow with what is configured. */
struct rows {
    const json_t **rows; /* owned; the rows are references */
    size_t count;
    size_t capacity;
};

struct plugin_compiler {
    const struct config *config;
    struct arena *arena;
    struct map by_id;       /* a row's id → its struct plugin_step */
    struct map globals;     /* a plugin's name → the row that is for everything, a reference */
    struct rows personal;   /* those that are for a consumer, wherever */
    struct rows candidates; /* of the route being compiled */
    const struct plugin_steps_of_consumers *anywhere[MAX_PLUGINS]; /* by place in the registry */
    const struct plugin_chain *global_chain;
    bool has_scoped; /* there are rows for a route or a service */
};

static int rows_add(struct rows *list, const json_t *row)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : PAGE_ROWS;
        const json_t **more = realloc(list->rows, capacity * sizeof(*more));
        if (!more)
            return UV_ENOMEM;
        list->rows = more;
        list->capacity = capacity;
    }
    list->rows[list->count++] = json_incref((json_t *)(uintptr_t)row);
    return 0;
}

static void rows_clear(struct rows *list)
{
    while (list->count > 0)
        json_decref((json_t *)(uintptr_t)list->rows[--list->count]);
}

static void rows_deinit(struct rows *list)
{
    rows_clear(list);
    free(list->rows);
}

static struct str scope(const json_t *row, const char *field)
{
    return row_text(json_object_get(row, field), "id");
}

static bool has_scope(const json_t *row, const char *field)
{
    return scope(row, field).len > 0;
}

static bool may_run(const json_t *row)
{
    return !json_is_false(json_object_get(row, "enabled")) &&
           plugins_is_implemented(row_text(row, "name"));
}

static int note_row(void *arg, const json_t *row)
{
    struct plugin_compiler *compiler = arg;
    if (!may_run(row))
        return 0;
    if (has_scope(row, "route") || has_scope(row, "service")) {
        compiler->has_scoped = true;
        return 0;
    }
    if (has_scope(row, "consumer"))
        return rows_add(&compiler->personal, row);
    void *before = NULL;
    int rc = map_put(&compiler->globals, row_text(row, "name"), (void *)(uintptr_t)row, &before);
    if (rc == 0)
        json_incref((json_t *)(uintptr_t)row);
    json_decref(before);
    return rc;
}

static uint32_t protocols_of(const json_t *row)
{
    uint32_t bits = 0;
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(row, "protocols"), i, name)
    {
        bits |= protocol_bit(str_of(json_string_value(name)));
    }
    return bits;
}

/* What is for streams alone hides nothing from a route of requests, and the other way round. */
static bool is_for(const json_t *row, const struct route *route)
{
    return protocols_of(row) & (route->protocols & STREAM_PROTOCOLS ? PLUGIN_STREAM_PROTOCOLS
                                                                    : PLUGIN_REQUEST_PROTOCOLS);
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
    if (plugin->compile(row, json_object_get(row, "config"), compiler->arena, &step->config) ||
        map_put(&compiler->by_id, row_text(row, "id"), step, NULL))
        return NULL;
    return step;
}

/* How much a row's scope says about a route; the more specific one runs. */
static unsigned weight_of(const json_t *row)
{
    return (has_scope(row, "route") ? 2u : 0u) + (has_scope(row, "service") ? 1u : 0u);
}

#define WEIGHT_OF_BOTH 3u

/* Rows that a route or its service has, and that are not for another service or route. One of both
 * is met twice, which does no harm. */
static int gather(struct plugin_compiler *compiler, const char *field, struct str id,
                  const struct route *route)
{
    const struct entity *entity = entity_find(STR("plugins"));
    const json_t *page[PAGE_ROWS];
    const char *after = NULL;
    bool more = id.len > 0;
    while (more) {
        size_t count =
            config_list(compiler->config, entity, after, field, id.ptr, page, PAGE_ROWS, &more);
        for (size_t i = 0; i < count; i++) {
            struct str of_route = scope(page[i], "route");
            struct str of_service = scope(page[i], "service");
            bool is_others = (of_route.len > 0 && !str_equal(of_route, route->id)) ||
                             (of_service.len > 0 &&
                              !(route->service && str_equal(of_service, route->service->id)));
            if (!is_others && may_run(page[i]) && is_for(page[i], route) &&
                rows_add(&compiler->candidates, page[i]))
                return UV_ENOMEM;
        }
        if (count == 0)
            break;
        after = json_string_value(json_object_get(page[count - 1], "id"));
    }
    return 0;
}

/* Of the rows that are for everybody. */
static const json_t *best_of(const struct plugin_compiler *compiler, const char *name,
                             const struct rows *candidates)
{
    const json_t *best = map_get(&compiler->globals, str_of(name));
    for (size_t i = 0; i < candidates->count; i++) {
        const json_t *row = candidates->rows[i];
        if (!has_scope(row, "consumer") && str_equal(row_text(row, "name"), str_of(name)) &&
            (!best || weight_of(row) > weight_of(best)))
            best = row;
    }
    return best;
}

/* ---- rows of consumers ---- */

/* By the consumer's id, and of one consumer the most specific first. */
static int compare_personal(const void *a, const void *b)
{
    const json_t *one = *(const json_t *const *)a, *other = *(const json_t *const *)b;
    int order = strcmp(scope(one, "consumer").ptr, scope(other, "consumer").ptr);
    return order != 0 ? order : (int)weight_of(other) - (int)weight_of(one);
}

static int fill_personal(struct plugin_compiler *compiler, const struct plugin *plugin,
                         const struct rows *rows, struct plugin_steps_of_consumers *made)
{
    made->count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        struct str id = scope(rows->rows[i], "consumer");
        if (made->count > 0 && str_equal(made->items[made->count - 1].consumer_id, id))
            continue;
        const struct plugin_step *step = step_of(compiler, plugin, rows->rows[i]);
        struct str copy = arena_copy(compiler->arena, id);
        if (!step || !copy.ptr)
            return UV_ENOMEM;
        made->items[made->count++] = (struct plugin_step_of_consumer){copy, step};
    }
    return 0;
}

/* *ret is NULL where a plugin has none. */
static int make_personal(struct plugin_compiler *compiler, const struct plugin *plugin,
                         const struct rows *from, const struct plugin_steps_of_consumers **ret)
{
    struct rows rows = {.count = 0};
    int rc = 0;
    *ret = NULL;
    for (size_t i = 0; i < from->count && rc == 0; i++)
        if (has_scope(from->rows[i], "consumer") &&
            str_equal(row_text(from->rows[i], "name"), str_of(plugin->name)))
            rc = rows_add(&rows, from->rows[i]);
    if (rc == 0 && rows.count > 0) {
        struct plugin_steps_of_consumers *made =
            arena_alloc(compiler->arena, sizeof(*made) + rows.count * sizeof(made->items[0]));
        qsort(rows.rows, rows.count, sizeof(*rows.rows), compare_personal);
        rc = made ? fill_personal(compiler, plugin, &rows, made) : UV_ENOMEM;
        *ret = made;
    }
    rows_deinit(&rows);
    return rc;
}

/* ---- chains ---- */

static size_t registry_count(void)
{
    size_t count = 0;
    while (plugins_registry[count])
        count++;
    return count;
}

static int make_place(struct plugin_compiler *compiler, size_t index, const json_t *base,
                      const struct rows *candidates, bool knows_consumers, struct plugin_place *ret)
{
    const struct plugin *plugin = plugins_registry[index];
    *ret = (struct plugin_place){.base = NULL};
    if (base && !(ret->base = step_of(compiler, plugin, base)))
        return UV_ENOMEM;
    ret->is_base_narrow = base && weight_of(base) == WEIGHT_OF_BOTH;
    if (!knows_consumers)
        return 0;
    ret->anywhere = compiler->anywhere[index];
    return make_personal(compiler, plugin, candidates, &ret->here);
}

/* Where nothing finds out who the consumer is, nobody's own rows can run. */
static int make_chain(struct plugin_compiler *compiler, const struct rows *candidates,
                      const struct plugin_chain **ret)
{
    const json_t *bases[MAX_PLUGINS];
    size_t max = registry_count(), count = 0;
    bool knows_consumers = false;
    *ret = NULL;
    for (size_t i = 0; i < max; i++) {
        bases[i] = best_of(compiler, plugins_registry[i]->name, candidates);
        knows_consumers = knows_consumers || (bases[i] && plugins_registry[i]->identifies);
        count += bases[i] != NULL;
    }
    if (count == 0)
        return 0;
    struct plugin_chain *chain =
        arena_alloc(compiler->arena, sizeof(*chain) + max * sizeof(chain->places[0]));
    if (!chain)
        return UV_ENOMEM;
    chain->count = 0;
    for (size_t i = 0; i < max; i++) {
        struct plugin_place *place = &chain->places[chain->count];
        int rc = make_place(compiler, i, bases[i], candidates, knows_consumers, place);
        if (rc)
            return rc;
        if (place->base || place->here || place->anywhere)
            chain->count++;
    }
    *ret = chain;
    return 0;
}

static int prepare(struct plugin_compiler *compiler)
{
    struct rows none = {.count = 0};
    int rc = config_walk(compiler->config, entity_find(STR("plugins")), note_row, compiler);
    for (size_t i = 0; rc == 0 && i < registry_count(); i++)
        rc = make_personal(compiler, plugins_registry[i], &compiler->personal,
                           &compiler->anywhere[i]);
    return rc ? rc : make_chain(compiler, &none, &compiler->global_chain);
}

int plugin_compiler_create(const struct config *config, struct arena *arena,
                           struct plugin_compiler **ret)
{
    struct plugin_compiler *compiler = calloc(1, sizeof(*compiler));
    if (!compiler)
        return UV_ENOMEM;
    assert(registry_count() <= MAX_PLUGINS);
    compiler->config = config;
    compiler->arena = arena;
    int rc = prepare(compiler);
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
    void *row;
    for (size_t at = 0; map_each(&compiler->globals, &at, NULL, &row);)
        json_decref(row);
    map_deinit(&compiler->globals);
    rows_deinit(&compiler->personal);
    rows_deinit(&compiler->candidates);
    free(compiler);
}

int plugin_compile_route(struct plugin_compiler *compiler, struct route *route)
{
    struct rows *candidates = &compiler->candidates;
    route->plugins = compiler->global_chain;
    if (!compiler->has_scoped)
        return 0;
    rows_clear(candidates);
    int rc = gather(compiler, "route", route->id, route);
    if (rc == 0 && route->service)
        rc = gather(compiler, "service", route->service->id, route);
    return rc == 0 && candidates->count > 0 ? make_chain(compiler, candidates, &route->plugins)
                                            : rc;
}
