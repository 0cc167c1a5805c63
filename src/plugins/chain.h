/* chain.h - the plugins that run on a route's requests, in their order.
 *
 * Which row of a plugin runs is known once it is its turn: the consumer, whom an earlier plugin has
 * found, may have a row of its own.
 *
 * Thread: a chain is immutable once compiled; a run is its worker's. Memory: a chain hangs on the
 * snapshot's arena, a run on the exchange's. */
#ifndef PLUGINS_CHAIN_H
#define PLUGINS_CHAIN_H

#include "plugins/plugin.h"

/* A row, compiled. */
struct plugin_step {
    const struct plugin *plugin;
    const void *config;
    uint32_t protocols; /* bits of enum protocol: whether it is for requests, streams or both */
};

/* Rows of one plugin and of a consumer each, ordered by the consumers' ids. */
struct plugin_steps_of_consumers {
    size_t count;
    struct plugin_step_of_consumer {
        struct str consumer_id;
        const struct plugin_step *step;
    } items[];
};

/* A plugin's place in a chain: which of its rows may run there. */
struct plugin_place {
    const struct plugin_step *base; /* for everybody; NULL: none */
    bool is_base_narrow; /* it is of this route and service: only a consumer's row of this route or
                            service goes before it */
    const struct plugin_steps_of_consumers *here;     /* of this route or service; NULL: none */
    const struct plugin_steps_of_consumers *anywhere; /* NULL: none */
};

struct plugin_chain {
    uint32_t count;
    struct plugin_place places[]; /* by priority, from high to low */
};

/* One exchange on its way through a chain. */
struct plugin_run {
    const struct plugin_chain *chain;
    struct plugin_request request;
    struct plugin_effect effect;
    const struct plugin_step *steps[]; /* chosen, a place each; NULL: none ran there */
};

/* NULL: no memory. */
struct plugin_run *plugin_run_create(const struct plugin_chain *chain,
                                     const struct plugin_request *request);

/* Runs the access step of each; from the first that ends the exchange on they are only chosen.
 * Where the arena has run out it is a 500 that ends it. */
void plugin_run_access(struct plugin_run *run);
/* Runs the respond step of each that was chosen. False: the arena has run out, so that the response
 * may not be what they make of it. */
bool plugin_run_respond(struct plugin_run *run, struct plugin_response *response);

/* The access steps for a stream, up to the first that ends it; plugins that can't serve one are
 * left out. */
void plugin_chain_access_stream(const struct plugin_chain *chain,
                                const struct plugin_request *request, struct plugin_effect *effect);

#endif
