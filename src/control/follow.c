#include "control/follow.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/log.h"
#include "base/map.h"
#include "model/packed_row.h"

#define KEY_BYTES 128     /* "services/" and a UUID; a longer id is no UUID, so nothing of ours */
#define OWN_ROWS_MIN 1024 /* remembered before the first look at what can be forgotten */

struct skipped_row {
    char *kind; /* owned */
    char *id;   /* owned */
    struct error why;
};

struct follower {
    struct follower_settings settings;
    struct store *store; /* borrowed; NULL until watched */
    struct map skipped;  /* "kind/id" → struct skipped_row, owned */
    struct map own;      /* "kind/id" → the sequence of this node's last commit of it */
    size_t own_rows_max; /* forget what can be forgotten when there are more */
    bool is_stale;       /* from disk, or `reload` has been told and nothing loaded yet */
    bool is_loading;
    bool must_put_back; /* the database is new, and waits for what is in memory */
    char why[200];      /* the database is away; empty: it isn't */
};

static struct str key_of(char text[KEY_BYTES], const char *kind, const char *id)
{
    int len = snprintf(text, KEY_BYTES, "%s/%s", kind, id);
    return str_make(text, len < KEY_BYTES ? (size_t)len : KEY_BYTES - 1);
}

/* ---- rows that are left out ---- */

static void skipped_destroy(struct skipped_row *row)
{
    if (!row)
        return;
    free(row->kind);
    free(row->id);
    free(row);
}

static void forgive(struct follower *follower, const char *kind, const char *id)
{
    char key[KEY_BYTES];
    skipped_destroy(map_remove(&follower->skipped, key_of(key, kind, id)));
}

static void skip(struct follower *follower, const char *kind, const char *id,
                 const struct error *why)
{
    char key[KEY_BYTES];
    log_error("a stored row is left out", LOG_CSTR("kind", kind), LOG_CSTR("id", id),
              LOG_CSTR("why", why->sentence));
    struct skipped_row *row = calloc(1, sizeof(*row));
    void *old = NULL;
    if (row) {
        row->kind = strdup(kind);
        row->id = strdup(id);
        row->why = *why;
    }
    if (!row || !row->kind || !row->id ||
        map_put(&follower->skipped, key_of(key, kind, id), row, &old) < 0) {
        skipped_destroy(row); /* the log has it */
        return;
    }
    skipped_destroy(old);
}

/* Whether the configuration has changed. */
static bool take(struct follower *follower, const char *kind, const char *id, const char *body)
{
    struct error why = {.sentence = "memory is short"};
    bool has_changed = false;
    int rc = config_take_row(follower->settings.config, kind, id, body, &has_changed, &why);
    if (rc < 0)
        skip(follower, kind, id, &why);
    else
        forgive(follower, kind, id);
    return has_changed;
}

int follower_load_row(void *arg, const char *kind, const char *id, const char *body)
{
    take(arg, kind, id, body);
    return 0;
}

/* ---- this node's own commits ---- */

/* What the store has told beyond needs no guard any more. */
static void forget_old_commits(struct follower *follower)
{
    struct map kept = {0};
    struct str key;
    void *sequence;
    uint64_t told = store_sequence(follower->store);
    for (size_t at = 0; map_each(&follower->own, &at, &key, &sequence);)
        if ((uintptr_t)sequence > told && map_put(&kept, key, sequence, NULL) < 0)
            log_warn("memory is short");
    map_deinit(&follower->own);
    follower->own = kept;
    follower->own_rows_max = kept.count * 2 > OWN_ROWS_MIN ? kept.count * 2 : OWN_ROWS_MIN;
}

void follower_note_commit(struct follower *follower, const struct config_change *change)
{
    uint64_t sequence = follower->store ? store_committed_sequence(follower->store) : 0;
    for (size_t i = 0; i < change->count; i++) {
        const char *kind = change->ops[i].entity->name;
        const char *id = json_string_value(json_object_get(change->ops[i].row, "id"));
        char key[KEY_BYTES];
        forgive(follower, kind, id); /* whoever writes a row through a node mends it */
        if (sequence > 0)
            map_put(&follower->own, key_of(key, kind, id), (void *)(uintptr_t)sequence, NULL);
    }
    if (follower->own.count > follower->own_rows_max)
        forget_old_commits(follower);
}

/* Read before a commit of ours, told after it. */
static bool is_outdated(const struct follower *follower, const char *kind, const char *id,
                        uint64_t sequence)
{
    char key[KEY_BYTES];
    return (uintptr_t)map_get(&follower->own, key_of(key, kind, id)) > sequence;
}

/* ---- what the store tells ---- */

static bool is_compiled(const char *kind)
{
    const struct entity *entity = entity_find(str_of(kind));
    return !entity || !entity->is_uncompiled;
}

/* The `at`th row that has changed at one time; many are told as a number. */
static void tell(const struct follower *follower, const char *kind, const char *id, size_t at)
{
    if (follower->settings.told && at < FOLLOW_TOLD_MAX)
        follower->settings.told(follower->settings.owner, kind, id, 1);
}

static void tell_more(const struct follower *follower, size_t count)
{
    if (follower->settings.told && count > FOLLOW_TOLD_MAX)
        follower->settings.told(follower->settings.owner, NULL, NULL, count - FOLLOW_TOLD_MAX);
}

static void on_changed(void *arg, const struct store_change *changes, size_t count)
{
    struct follower *follower = arg;
    size_t changed = 0;
    bool has_changed = false; /* for workers */
    for (size_t i = 0; i < count; i++) {
        const struct store_change *change = &changes[i];
        if (is_outdated(follower, change->kind, change->id, change->sequence) ||
            !take(follower, change->kind, change->id,
                  change->op == STORE_PUT ? change->body : NULL))
            continue;
        tell(follower, change->kind, change->id, changed++);
        has_changed = has_changed || is_compiled(change->kind);
    }
    tell_more(follower, changed);
    log_debug("changes of other nodes", LOG_INT("count", count),
              LOG_INT("sequence", count > 0 ? changes[count - 1].sequence : 0));
    if (has_changed)
        follower->settings.publish(follower->settings.owner);
    follower->settings.in_force(follower->settings.owner);
}

struct sweep {
    const struct follower *follower;
    const struct map *there;
    uint64_t sequence; /* what was loaded is the state of then */
    json_t *gone;      /* owned: [kind, id, …] */
};

static int note_gone(void *arg, const char *kind, const struct packed_row *row)
{
    struct sweep *sweep = arg;
    const char *id = packed_row_id(row);
    char key[KEY_BYTES];
    if (map_get(sweep->there, key_of(key, kind, id)) ||
        is_outdated(sweep->follower, kind, id, sweep->sequence))
        return 0;
    json_array_append_new(sweep->gone, json_string(kind));
    json_array_append_new(sweep->gone, json_string(id));
    return 0;
}

/* Removes what isn't `there`; whether that changed anything. */
static bool remove_others(struct follower *follower, const struct map *there, uint64_t sequence)
{
    bool has_changed = false;
    struct sweep sweep = {follower, there, sequence, json_array()};
    config_each(follower->settings.config, note_gone, &sweep);
    for (size_t i = 0; i + 1 < json_array_size(sweep.gone); i += 2)
        if (take(follower, json_string_value(json_array_get(sweep.gone, i)),
                 json_string_value(json_array_get(sweep.gone, i + 1)), NULL))
            has_changed = true;
    json_decref(sweep.gone);
    return has_changed;
}

/* Rows that are left out and have gone meanwhile are named no more. */
static void forget_skipped(struct follower *follower)
{
    void *row;
    for (size_t at = 0; map_each(&follower->skipped, &at, NULL, &row);)
        skipped_destroy(row);
    map_deinit(&follower->skipped);
    follower->skipped = (struct map){0};
}

static int stop_at_row(void *arg, const char *kind, const struct packed_row *row)
{
    (void)arg, (void)kind, (void)row;
    return 1;
}

/* Whether it is a database that has lost everything, for which memory is the better one. */
static bool is_lost(const struct follower *follower, size_t count)
{
    return count == 0 && follower->settings.put_back && store_is_new(follower->store) &&
           config_each(follower->settings.config, stop_at_row, NULL) == 1;
}

static void put_back(struct follower *follower)
{
    if (!follower->must_put_back || !store_is_reachable(follower->store))
        return;
    follower->must_put_back = false;
    follower->settings.put_back(follower->settings.owner);
}

void follower_note_put_back(struct follower *follower, int rc)
{
    follower->must_put_back = rc == UV_ENOTCONN || rc == UV_ECONNABORTED; /* once more, then */
    if (rc < 0) {
        log_error("the configuration can't be put back", LOG_CSTR("why", uv_strerror(rc)));
        return;
    }
    log_notice("the configuration has been put back into the database");
    follower->is_stale = false;
    follower->settings.turned(follower->settings.owner);
    follower->settings.in_force(follower->settings.owner);
}

static void on_loaded(void *arg, int rc, const struct store_change *rows, size_t count)
{
    struct follower *follower = arg;
    follower->is_loading = false;
    if (rc < 0)
        return; /* `reload` comes again */
    if (is_lost(follower, count)) {
        log_warn("the database has come back empty: what is in memory goes there");
        follower->must_put_back = true;
        put_back(follower);
        return;
    }
    struct map there = {0};
    size_t changed = 0;
    uint64_t sequence = count > 0 ? rows[0].sequence : store_sequence(follower->store);
    forget_skipped(follower);
    for (size_t i = 0; i < count; i++) {
        char key[KEY_BYTES];
        if (map_put(&there, key_of(key, rows[i].kind, rows[i].id), follower, NULL) < 0) {
            map_deinit(&there);
            return;
        }
        if (!is_outdated(follower, rows[i].kind, rows[i].id, sequence) &&
            take(follower, rows[i].kind, rows[i].id, rows[i].body))
            tell(follower, rows[i].kind, rows[i].id, changed++);
    }
    bool has_changed = changed > 0;
    tell_more(follower, changed);
    if (remove_others(follower, &there, sequence))
        has_changed = true;
    map_deinit(&there);
    follower->is_stale = false;
    log_notice("configuration loaded anew", LOG_INT("rows", count),
               LOG_INT("sequence", store_sequence(follower->store)));
    if (has_changed)
        follower->settings.publish(follower->settings.owner);
    follower->settings.turned(follower->settings.owner);
    follower->settings.in_force(follower->settings.owner);
}

static void on_reload(void *arg)
{
    struct follower *follower = arg;
    if (follower->is_loading)
        return;
    follower->is_loading = true;
    follower->is_stale = true;
    /* What will be read is newer than all commits so far, also where its numbers are smaller: a
     * backup has been restored, or a standby that lagged behind is the primary now. */
    map_deinit(&follower->own);
    follower->own = (struct map){0};
    store_load(follower->store, on_loaded, follower);
}

static void on_reachable(void *arg, int is_reachable, const char *why)
{
    struct follower *follower = arg;
    bool was_away = follower->why[0] != '\0';
    if (is_reachable)
        follower->why[0] = '\0';
    else
        snprintf(follower->why, sizeof(follower->why), "%s",
                 why && why[0] ? why : "it cannot be reached");
    if (was_away != !is_reachable)
        follower->settings.turned(follower->settings.owner);
    if (is_reachable)
        put_back(follower);
}

/* ---- life ---- */

int follower_create(const struct follower_settings *settings, struct follower **ret)
{
    struct follower *follower = calloc(1, sizeof(*follower));
    if (!follower)
        return UV_ENOMEM;
    follower->settings = *settings;
    follower->own_rows_max = OWN_ROWS_MIN;
    *ret = follower;
    return 0;
}

void follower_destroy(struct follower *follower)
{
    if (!follower)
        return;
    forget_skipped(follower);
    map_deinit(&follower->own);
    free(follower);
}

void follower_set_stale(struct follower *follower)
{
    follower->is_stale = true;
    snprintf(follower->why, sizeof(follower->why), "it has not answered since this node started");
}

void follower_watch(struct follower *follower, struct store *store)
{
    static const struct store_events events = {
        .changed = on_changed, .reload = on_reload, .reachable = on_reachable};
    follower->store = store;
    store_watch(store, &events, follower);
}

/* ---- what it says ---- */

bool follower_is_current(const struct follower *follower)
{
    return !follower->is_stale && follower->why[0] == '\0';
}

json_t *follower_status(const struct follower *follower)
{
    json_t *rows = json_array();
    void *value;
    for (size_t at = 0; map_each(&follower->skipped, &at, NULL, &value);) {
        const struct skipped_row *row = value;
        json_t *why = json_string(row->why.sentence);
        json_array_append_new(rows, json_pack("{s:s, s:s, s:o}", "kind", row->kind, "id", row->id,
                                              "why", why ? why : json_string("is no UTF-8")));
    }
    uint64_t sequence = follower->store ? store_sequence(follower->store) : 0;
    json_t *why = follower->why[0] ? json_string(follower->why) : json_null();
    return json_pack("{s:I, s:s, s:o, s:o}", "sequence", (json_int_t)sequence, "source",
                     follower->is_stale ? "snapshot" : "database", "database_away",
                     why ? why : json_true(), "skipped_rows", rows);
}
