#include "discovery/flaps.h"

#include <stdio.h>
#include <stdlib.h>

#define RUN 3           /* going so often within the window is no flapping yet */
#define WINDOW_MS 60000 /* after so long in peace all is forgotten */
#define FORGET_MS 120000
#define FIRST_MS 1000
#define LONGEST_MS 60000
#define KEY_MAX_BYTES 1024
#define FORGET_AT_ONCE 64
#define MAX_INSTANCES 65536 /* beyond, instances are let in as they come */

/*   IN -- gone or not usable --> OUT -- usable, and its pause is over --> IN  */
struct flap {
    bool is_in;
    bool is_seen;          /* usable in the list at hand */
    uint64_t went_ms[RUN]; /* the last times it went; 0: never */
    uint64_t went_last_ms;
    unsigned level;   /* pauses it has had */
    uint64_t back_ms; /* not before */
};

void flaps_init(struct flaps *flaps)
{
    *flaps = (struct flaps){0};
}

void flaps_deinit(struct flaps *flaps)
{
    void *flap;
    for (size_t at = 0; map_each(&flaps->by_instance, &at, NULL, &flap);)
        free(flap);
    map_deinit(&flaps->by_instance);
}

static struct flap *find(struct flaps *flaps, const struct discovered *item)
{
    char key[KEY_MAX_BYTES];
    int len = snprintf(key, sizeof(key), "%.*s\n%.*s\n%.*s", (int)item->datacenter.len,
                       item->datacenter.len ? item->datacenter.ptr : "", (int)item->node.len,
                       item->node.len ? item->node.ptr : "", (int)item->instance.len,
                       item->instance.len ? item->instance.ptr : "");
    if (len < 0 || (size_t)len >= sizeof(key))
        return NULL;
    struct str name = str_make(key, (size_t)len);
    struct flap *flap = map_get(&flaps->by_instance, name);
    if (flap || flaps->by_instance.count >= MAX_INSTANCES)
        return flap;
    flap = calloc(1, sizeof(*flap));
    if (flap && map_put(&flaps->by_instance, name, flap, NULL)) {
        free(flap);
        return NULL;
    }
    return flap;
}

static void note_gone(struct flap *flap, uint64_t now_ms)
{
    bool is_often = flap->went_ms[0] > 0 && now_ms - flap->went_ms[0] < WINDOW_MS;
    if (now_ms - flap->went_last_ms >= WINDOW_MS)
        flap->level = 0;
    for (int i = 0; i + 1 < RUN; i++)
        flap->went_ms[i] = flap->went_ms[i + 1];
    flap->went_ms[RUN - 1] = flap->went_last_ms = now_ms;
    flap->is_in = false;
    flap->back_ms = 0;
    if (!is_often)
        return;
    uint64_t pause_ms = flap->level < 6 ? (uint64_t)FIRST_MS << flap->level : LONGEST_MS;
    flap->level++;
    flap->back_ms = now_ms + pause_ms;
}

/* Those that were in and aren't usable in the new list have gone. */
static void note_missing(struct flaps *flaps, uint64_t now_ms)
{
    void *value;
    for (size_t at = 0; map_each(&flaps->by_instance, &at, NULL, &value);) {
        struct flap *flap = value;
        if (flap->is_in && !flap->is_seen)
            note_gone(flap, now_ms);
    }
}

/* Some of what is long out is forgotten: the map can't be walked on after a removal. */
static void forget(struct flaps *flaps, uint64_t now_ms)
{
    bool is_found = true;
    for (int i = 0; is_found && i < FORGET_AT_ONCE; i++) {
        struct str key;
        void *value;
        is_found = false;
        for (size_t at = 0; !is_found && map_each(&flaps->by_instance, &at, &key, &value);) {
            struct flap *flap = value;
            is_found = !flap->is_seen && now_ms - flap->went_last_ms > FORGET_MS;
        }
        if (is_found) {
            map_remove(&flaps->by_instance, key);
            free(value);
        }
    }
}

static void let_all_in(struct flaps *flaps)
{
    void *value;
    for (size_t at = 0; map_each(&flaps->by_instance, &at, NULL, &value);)
        ((struct flap *)value)->is_in |= ((struct flap *)value)->is_seen;
}

static void mark(struct discovered_list *list, uint32_t at)
{
    list->items[at].status = DISCOVERED_CRITICAL;
    list->items[at].fingerprint = 0; /* that is not what was read */
    list->items[at].why = STR("it comes and goes: it is let in again after a pause");
}

uint64_t flaps_damp(struct flaps *flaps, struct discovered_list *list, uint64_t now_ms)
{
    void *value;
    for (size_t at = 0; map_each(&flaps->by_instance, &at, NULL, &value);)
        ((struct flap *)value)->is_seen = false;
    uint32_t usable = 0, early = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].status > DISCOVERED_WARNING)
            continue;
        struct flap *flap = find(flaps, &list->items[i]);
        usable++;
        if (!flap)
            continue;
        flap->is_seen = true;
        early += !flap->is_in && flap->back_ms > now_ms;
    }
    note_missing(flaps, now_ms);
    forget(flaps, now_ms);
    if (early == 0 || early == usable) {
        let_all_in(flaps);
        return 0;
    }

    uint64_t next_ms = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        struct flap *flap =
            list->items[i].status <= DISCOVERED_WARNING ? find(flaps, &list->items[i]) : NULL;
        if (!flap)
            continue;
        if (flap->is_in || flap->back_ms <= now_ms) {
            flap->is_in = true;
            continue;
        }
        if (next_ms == 0 || flap->back_ms - now_ms < next_ms)
            next_ms = flap->back_ms - now_ms;
        mark(list, i);
    }
    return next_ms;
}
