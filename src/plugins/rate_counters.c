#include "plugins/rate_counters.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/siphash.h"

#define PARTS 64u
#define MAX_PART_SLOTS (RATE_COUNTERS_MAX / PARTS)
#define FIRST_PART_SLOTS 64u

/* A window that is over is a free place, but for the way to those behind it. */
struct slot {
    uint64_t name[2];
    int64_t ends_at; /* 0: was never used */
    uint32_t period;
    uint32_t count;
};

struct part {
    pthread_mutex_t lock; /* guards all of the part */
    struct slot *slots;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t used;     /* slots that were ever used */
    int64_t swept_at;  /* when a full part was last looked through */
};

static struct part parts[PARTS] = {[0 ... PARTS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

/* ---- windows ---- */

static int64_t calendar(int64_t now_s, enum rate_period period, int ahead)
{
    time_t now = (time_t)now_s;
    struct tm tm;
    gmtime_r(&now, &tm);
    struct tm start = {.tm_year = tm.tm_year, .tm_mday = 1};
    if (period == RATE_MONTH)
        start.tm_mon = tm.tm_mon + ahead;
    else
        start.tm_year += ahead;
    return timegm(&start);
}

struct rate_window rate_window_of(enum rate_period period, int64_t now_s)
{
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    if (period >= RATE_MONTH)
        return (struct rate_window){calendar(now_s, period, 0), calendar(now_s, period, 1)};
    int64_t begins_at = now_s - now_s % seconds[period];
    return (struct rate_window){begins_at, begins_at + seconds[period]};
}

/* ---- one part ---- */

static bool is_it(const struct slot *slot, const uint64_t name[2], uint32_t period)
{
    return slot->name[0] == name[0] && slot->name[1] == name[1] && slot->period == period;
}

static uint32_t place_of(const struct part *part, const uint64_t name[2], uint32_t period)
{
    return (uint32_t)(name[1] + period * 0x9e3779b97f4a7c15u) & (part->capacity - 1);
}

/* Leaves out what is over. False: no memory. */
static bool resize(struct part *part, uint32_t capacity, int64_t now_s)
{
    struct part bigger = {.slots = calloc(capacity, sizeof(*bigger.slots)), .capacity = capacity};
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < part->capacity; i++) {
        const struct slot *slot = &part->slots[i];
        if (slot->ends_at <= now_s)
            continue;
        uint32_t at = place_of(&bigger, slot->name, slot->period);
        while (bigger.slots[at].ends_at)
            at = (at + 1) & (capacity - 1);
        bigger.slots[at] = *slot;
        bigger.used++;
    }
    free(part->slots);
    part->slots = bigger.slots;
    part->capacity = capacity;
    part->used = bigger.used;
    return true;
}

/* So that a place is free. A part that can't grow any more is swept once a second at most. */
static bool make_room(struct part *part, int64_t now_s)
{
    if (part->capacity == 0)
        return resize(part, FIRST_PART_SLOTS, now_s);
    if (part->used < part->capacity / 4 * 3)
        return true;
    if (part->capacity == MAX_PART_SLOTS) {
        if (part->swept_at == now_s)
            return true;
        part->swept_at = now_s;
        return resize(part, MAX_PART_SLOTS, now_s);
    }
    uint32_t live = 0;
    for (uint32_t i = 0; i < part->capacity; i++)
        live += part->slots[i].ends_at > now_s;
    uint32_t capacity = live >= part->capacity / 2 ? part->capacity * 2 : part->capacity;
    return resize(part, capacity, now_s) || part->used < part->capacity - 1;
}

/* A worker whose clock was read just before the window turned comes after one that was read after
 * it: it counts in the new one, which begins where its own ends. */
static bool is_just_late(const struct slot *slot, int64_t ends_at)
{
    return slot->ends_at > ends_at &&
           slot->ends_at == rate_window_of((enum rate_period)slot->period, ends_at).ends_at;
}

/* The slot of that window, which begins at 0 where it is new; NULL: no room. In a part that is full
 * somebody else's goes. */
static struct slot *slot_of(struct part *part, const uint64_t name[2], uint32_t period,
                            int64_t ends_at, int64_t now_s)
{
    if (!make_room(part, now_s))
        return NULL;
    struct slot *over = NULL;
    uint32_t first = place_of(part, name, period), at = first;
    for (; part->slots[at].ends_at; at = (at + 1) & (part->capacity - 1)) {
        struct slot *slot = &part->slots[at];
        if (is_it(slot, name, period)) {
            if (slot->ends_at != ends_at && !is_just_late(slot, ends_at))
                *slot = (struct slot){{name[0], name[1]}, ends_at, period, 0};
            return slot;
        }
        if (!over && slot->ends_at <= now_s)
            over = slot;
    }
    if (!over && part->used >= part->capacity / 8 * 7 && at != first)
        over = &part->slots[first];
    if (!over &&
        part->used >= part->capacity - 1) /* one place is always free: it ends the search */
        return NULL;
    if (!over) {
        over = &part->slots[at];
        part->used++;
    }
    *over = (struct slot){{name[0], name[1]}, ends_at, period, 0};
    return over;
}

/* ---- the public verb ---- */

static struct siphash_key keys[2];
static pthread_once_t keys_once = PTHREAD_ONCE_INIT;

static void make_keys(void)
{
    keys[0] = siphash_random_key();
    keys[1] = siphash_random_key();
}

/* A window that no room is found for counts as empty: better a few requests too many than none. */
static bool take(struct part *part, const uint64_t name[2], const struct rate_limit *limits,
                 unsigned count, int64_t now_s, uint64_t *used)
{
    bool fits = true;
    for (unsigned i = 0; i < count; i++) {
        int64_t ends_at = rate_window_of(limits[i].period, now_s).ends_at;
        const struct slot *slot = slot_of(part, name, limits[i].period, ends_at, now_s);
        used[i] = slot ? slot->count : 0;
        fits = fits && (double)used[i] < limits[i].max;
    }
    for (unsigned i = 0; fits && i < count; i++) {
        int64_t ends_at = rate_window_of(limits[i].period, now_s).ends_at;
        struct slot *slot = slot_of(part, name, limits[i].period, ends_at, now_s);
        if (slot && slot->count < UINT32_MAX)
            slot->count++;
    }
    return fits;
}

bool rate_counters_take(struct str name, const struct rate_limit *limits, unsigned count,
                        int64_t now_s, uint64_t *used)
{
    pthread_once(&keys_once, make_keys);
    const uint64_t hash[2] = {siphash(&keys[0], name), siphash(&keys[1], name)};
    struct part *part = &parts[hash[0] % PARTS];
    pthread_mutex_lock(&part->lock);
    bool fits = take(part, hash, limits, count, now_s, used);
    pthread_mutex_unlock(&part->lock);
    return fits;
}
