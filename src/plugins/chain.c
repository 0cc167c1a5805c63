#include "plugins/chain.h"

#include <stdlib.h>
#include <string.h>

struct plugin_run *plugin_run_create(const struct plugin_chain *chain,
                                     const struct plugin_request *request)
{
    size_t size = sizeof(struct plugin_run) + chain->count * sizeof(const struct plugin_step *);
    struct plugin_run *run = arena_alloc(request->arena, size);
    if (!run)
        return NULL;
    memset(run, 0, size);
    run->chain = chain;
    run->request = *request;
    return run;
}

static int compare_ids(const void *key, const void *item)
{
    const struct str *id = key;
    const struct str *other = &((const struct plugin_step_of_consumer *)item)->consumer_id;
    size_t len = id->len < other->len ? id->len : other->len;
    int order = memcmp(id->ptr, other->ptr, len);
    return order != 0 ? order : (id->len > other->len) - (id->len < other->len);
}

static bool is_for_requests(const struct plugin_step *step)
{
    return step && (step->protocols & PLUGIN_REQUEST_PROTOCOLS) != 0;
}

/* A row that is for streams alone is as if it weren't there. */
static const struct plugin_step *step_of(const struct plugin_steps_of_consumers *steps,
                                         const struct consumer *consumer)
{
    if (!steps || !consumer)
        return NULL;
    const struct plugin_step_of_consumer *item =
        bsearch(&consumer->id, steps->items, steps->count, sizeof(steps->items[0]), compare_ids);
    return item && is_for_requests(item->step) ? item->step : NULL;
}

/* Kong's order: of those with a consumer one of this route or service first, then what is of both
 * route and service, then the consumer's everywhere, then the rest. */
static const struct plugin_step *choose(const struct plugin_place *place,
                                        const struct consumer *consumer)
{
    const struct plugin_step *step = step_of(place->here, consumer);
    const struct plugin_step *base = is_for_requests(place->base) ? place->base : NULL;
    if (!step && !(base && place->is_base_narrow))
        step = step_of(place->anywhere, consumer);
    return step ? step : base;
}

/* What an earlier step could not do for want of memory may be what it is there for. */
static void refuse_without_memory(struct plugin_effect *effect)
{
    plugin_refuse(effect, 500, "An unexpected error occurred");
    effect->answer_lines = effect->body = effect->content_type = STR_EMPTY;
}

void plugin_run_access(struct plugin_run *run)
{
    for (uint32_t i = 0; i < run->chain->count; i++) {
        const struct plugin_step *step = choose(&run->chain->places[i], run->effect.consumer);
        run->steps[i] = step;
        if (step && step->plugin->access && run->effect.status == 0)
            step->plugin->access(step->config, &run->request, &run->effect);
        if (run->request.arena->ran_out)
            refuse_without_memory(&run->effect);
    }
}

bool plugin_run_respond(struct plugin_run *run, struct plugin_response *response)
{
    for (uint32_t i = 0; i < run->chain->count; i++) {
        const struct plugin_step *step = run->steps[i];
        if (step && step->plugin->respond)
            step->plugin->respond(step->config, &run->request, &run->effect, response);
    }
    return !run->request.arena->ran_out;
}

void plugin_chain_access_stream(const struct plugin_chain *chain,
                                const struct plugin_request *request, struct plugin_effect *effect)
{
    for (uint32_t i = 0; i < chain->count && effect->status == 0; i++) {
        const struct plugin_step *step = chain->places[i].base;
        if (step && (step->protocols & PLUGIN_STREAM_PROTOCOLS) && step->plugin->serves_streams)
            step->plugin->access(step->config, request, effect);
    }
}
