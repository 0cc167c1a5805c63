/* fake_store.h - a store that is a script: tests say what it tells, and see what it is asked. */
#ifndef UNIT_CONTROL_FAKE_STORE_H
#define UNIT_CONTROL_FAKE_STORE_H

#include "store/engine.h"

struct fake_store {
    struct store base; /* first: a store is its fake_store */
    const struct store_events *events;
    void *events_arg;
    uint64_t sequence;
    uint64_t committed;
    bool is_new;
    bool is_away;
    unsigned loads;
    store_loaded_cb loaded; /* NULL: none under way */
    void *loaded_arg;
    unsigned beats;
    char state[16];        /* of the last heartbeat */
    uint64_t own_sequence; /* of the last heartbeat */
    bool has_left;
    store_nodes_cb beaten; /* NULL: none under way */
    void *beaten_arg;
};

static inline struct fake_store *fake_of(const struct store *store)
{
    return (struct fake_store *)(uintptr_t)store;
}

static inline void fake_watch(struct store *store, const struct store_events *events, void *arg)
{
    fake_of(store)->events = events;
    fake_of(store)->events_arg = arg;
}

static inline uint64_t fake_sequence(const struct store *store)
{
    return fake_of(store)->sequence;
}

static inline uint64_t fake_committed_sequence(const struct store *store)
{
    return fake_of(store)->committed;
}

static inline void fake_load(struct store *store, store_loaded_cb loaded, void *arg)
{
    struct fake_store *fake = fake_of(store);
    fake->loads++;
    fake->loaded = loaded;
    fake->loaded_arg = arg;
}

static inline void fake_heartbeat(struct store *store, const struct store_node *self,
                                  store_nodes_cb done, void *arg)
{
    struct fake_store *fake = fake_of(store);
    fake->has_left = !self->state;
    if (fake->has_left)
        return;
    fake->beats++;
    snprintf(fake->state, sizeof(fake->state), "%s", self->state);
    fake->own_sequence = self->sequence;
    fake->beaten = done;
    fake->beaten_arg = arg;
}

static inline bool fake_is_reachable(const struct store *store)
{
    return !fake_of(store)->is_away;
}

static inline bool fake_is_new(const struct store *store)
{
    return fake_of(store)->is_new;
}

static const struct store_engine fake_engine = {
    .watch = fake_watch,
    .sequence = fake_sequence,
    .committed_sequence = fake_committed_sequence,
    .load = fake_load,
    .heartbeat = fake_heartbeat,
    .is_new = fake_is_new,
    .is_reachable = fake_is_reachable,
};

/* A row's change as told by the store, whose sequence it becomes. */
static inline void fake_tell(struct fake_store *fake, uint64_t sequence, const char *kind,
                             const char *id, const char *body)
{
    struct store_change change = {sequence, body ? STORE_PUT : STORE_REMOVE, kind, id, body};
    if (sequence > fake->sequence)
        fake->sequence = sequence;
    fake->events->changed(fake->events_arg, &change, 1);
}

/* Ends the load under way. */
static inline void fake_end_load(struct fake_store *fake, int rc, const struct store_change *rows,
                                 size_t count)
{
    store_loaded_cb loaded = fake->loaded;
    fake->loaded = NULL;
    loaded(fake->loaded_arg, rc, rows, count);
}

/* Ends the heartbeat under way. */
static inline void fake_end_beat(struct fake_store *fake, int rc, const struct store_node *nodes,
                                 size_t count)
{
    store_nodes_cb beaten = fake->beaten;
    fake->beaten = NULL;
    beaten(fake->beaten_arg, rc, nodes, count);
}

#endif
