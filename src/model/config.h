/* config.h - all configuration of this node in memory: every entity's rows by id, by unique key and
 * by reference. What is here has been committed to the store.
 *
 * A write is planned against it (validation, uniqueness, foreign keys, cascades), committed by the
 * store, and then applied; one write at a time (config_write below), so that plans never race.
 *
 * Rows are kept packed (packed_row.h). A JSON object of one is made when somebody asks for it, and
 * is lent: it is valid until it is taken back, which control does once a turn of its loop, and
 * whoever asks for many does sooner (config_take_back). To keep one longer, take a reference.
 *
 * Thread: control. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/list.h"
#include "model/entity.h"

struct config;
struct packed_row; /* model/packed_row.h */

int config_create(struct config **ret);
void config_destroy(struct config *config);

/* Loads a row from the store at start, without validation. 0, UV_EINVAL for a kind or JSON that is
 * unknown. */
int config_load(struct config *config, const char *kind, const char *id, const char *body);

/* Takes a row as the store has it now; body NULL: it is gone. The rules between rows are the
 * store's to keep; a row that is not valid by itself is left out, and so is the one that it
 * replaces. 1: the configuration has changed; 0: it is as it was; UV_EINVAL: the row is left out
 * (`why` says why, and whether that changed anything is *ret_changed); UV_ENOMEM. */
int config_take_row(struct config *config, const char *kind, const char *id, const char *body,
                    bool *ret_changed, struct error *why);

/* How many rows are lent; and: those that were lent since are given back, and are not to be looked
 * at any more. */
size_t config_lent(const struct config *config);
void config_take_back(const struct config *config, size_t lent);

/* Calls each(arg, kind, row) for all rows, an entity's in list order. Stops early with what `each`
 * returns when that is not 0. */
int config_each(const struct config *config,
                int (*each)(void *arg, const char *kind, const struct packed_row *row), void *arg);

/* Rows with an `origin` are nobody's writing: they are made of what Consul announces, live in
 * memory alone and are read-only: no plan changes them, or refers to them. One of the same name
 * that is written by hand takes their place. config_each passes them over. */
bool config_is_made(const json_t *row);
/* Puts such a row in, or takes it out again. */
int config_put_made(struct config *config, const struct entity *entity, json_t *row);
void config_remove_made(struct config *config, const struct entity *entity, const char *id);

/* One row, lent; NULL when there is none. */
const json_t *config_get(const struct config *config, const struct entity *entity, struct str id);
/* The same as it is kept; borrowed until the next change. */
const struct packed_row *config_get_packed(const struct config *config, const struct entity *entity,
                                           struct str id);
/* By UUID or by the entity's endpoint key. For a nested entity `parent_id` (else NULL) narrows the
 * search to it. On NULL because the key itself is invalid *violation is filled; otherwise it is
 * untouched. */
const json_t *config_find(const struct config *config, const struct entity *entity,
                          struct str id_or_key, const char *parent_id, struct violation *violation);

/* The row with that value in a unique field, lent; NULL: none. */
const json_t *config_find_value(const struct config *config, const struct entity *entity,
                                const char *field, struct str value);
/* The same as it is kept; borrowed until the next change. */
const struct packed_row *config_find_packed(const struct config *config,
                                            const struct entity *entity, const char *field,
                                            struct str value);

/* The field by which the rows of entity->listed refer to it. */
const struct field *config_listing_field(const struct entity *entity);

/* The keys of the rows of entity->listed that refer to this one, in order; owned. */
json_t *config_listed_keys(const struct config *config, const struct entity *entity,
                           const char *id);

/* A page of rows in list order, beginning after the row whose id is `after` (NULL: from the start);
 * with field and parent_id set, only rows whose foreign field points there. Fills rows[0..max) with
 * what it lends, returns how many; *ret_more says whether there are further ones. */
size_t config_list(const struct config *config, const struct entity *entity, const char *after,
                   const char *field, const char *parent_id, const json_t **rows, size_t max,
                   bool *ret_more);
/* The same with rows as they are kept, borrowed until the next change: for those who look at one
 * after the other. tags_all / tags_any filter (NULL-terminated; NULL: none). */
size_t config_list_packed(const struct config *config, const struct entity *entity,
                          const char *after, const char *field, const char *parent_id,
                          const char *const *tags_all, const char *const *tags_any,
                          const struct packed_row **rows, size_t max, bool *ret_more);
size_t config_count(const struct config *config, const struct entity *entity);
/* Calls each(arg, row) for all rows in list order; what is lent to `each` is taken back when it
 * returns. Stops early with what it returns when that is not 0. */
int config_walk(const struct config *config, const struct entity *entity,
                int (*each)(void *arg, const json_t *row), void *arg);
/* The same with rows as they are kept. */
int config_walk_packed(const struct config *config, const struct entity *entity,
                       int (*each)(void *arg, const struct packed_row *row), void *arg);

/* The same of rows whose foreign field points to that parent. */
int config_walk_children(const struct config *config, const struct entity *entity,
                         const char *field, const char *parent_id,
                         int (*each)(void *arg, const json_t *row), void *arg);

/* The same number for as long as no row of the entity has changed; never one of another
 * configuration, but for 0, which stands for rows that never were. */
uint64_t config_stamp(const struct config *config, const struct entity *entity);
/* Calls each(arg, row) for the rows that have come or gone since the stamp was that; a row that has
 * changed did both. 0; UV_ERANGE: too many to be known (none is told, or some); or as `each`. */
int config_changes_since(const struct config *config, const struct entity *entity, uint64_t stamp,
                         int (*each)(void *arg, const struct packed_row *row), void *arg);
/* The same of the rows whose foreign field points to a parent. 0: there are none. */
uint64_t config_children_stamp(const struct config *config, const struct entity *entity,
                               const char *field, const char *parent_id);
/* How many these are, those whose time is over among them. */
size_t config_children_count(const struct config *config, const struct entity *entity,
                             const char *field, const char *parent_id);

enum config_op_kind { CONFIG_PUT, CONFIG_REMOVE };

struct config_op {
    enum config_op_kind kind;
    const struct entity *entity;
    json_t *row; /* owned; the whole row for PUT, the one that goes for REMOVE */
};

/* What one request changes, all or nothing; children before parents when removing. */
struct config_change {
    struct config_op *ops; /* owned */
    size_t count;
};
void config_change_deinit(struct config_change *change);

/* Plan a write; on success ops are appended to *change and *ret_row (may be NULL) borrows the row
 * as it will be. On failure *violation says why and *change is untouched. `key` is a UUID or
 * endpoint key. parent_field and parent_id (NULL: none) force that foreign key, and for update and
 * remove require the row to belong to it. Returns 0, UV_EINVAL (violation filled), UV_ENOENT (plain
 * 404), or UV_ENOMEM. */
int config_plan_insert(const struct config *config, const struct entity *entity,
                       const json_t *input, const char *parent_field, const char *parent_id,
                       struct config_change *change, const json_t **ret_row,
                       struct violation *violation);
int config_plan_replace(const struct config *config, const struct entity *entity, struct str key,
                        const json_t *input, const char *parent_field, const char *parent_id,
                        struct config_change *change, const json_t **ret_row,
                        struct violation *violation);
int config_plan_update(const struct config *config, const struct entity *entity, struct str key,
                       const json_t *input, const char *parent_field, const char *parent_id,
                       struct config_change *change, const json_t **ret_row,
                       struct violation *violation);
/* Removing what does not exist is 0 with nothing planned. Cascades; refuses with code 4 where a
 * child forbids it. */
int config_plan_remove(const struct config *config, const struct entity *entity, struct str key,
                       const char *parent_field, const char *parent_id,
                       struct config_change *change, struct violation *violation);

/* Plans to remove up to `max` rows whose time is over. 0 or UV_ENOMEM. */
int config_plan_expiry(const struct config *config, struct config_change *change, size_t max);

/* Takes the change over into memory, after the store has committed it. */
void config_apply(struct config *config, const struct config_change *change);

/* A write that waits for its turn. control/commit.h carries it out: plan() runs when no other write
 * is under way; when it returns 0 with a change, the change is committed, applied, compiled and
 * published; then done(). */
struct config_write {
    struct list link;
    struct config_change change;
    /* plan() found nothing to write, or refused, for rows that it met or missed: another node may
     * have changed them a moment ago. So the store is asked for news, and plan() once more. */
    bool hangs_on_rows;
    /* 0: commit the change (an empty one goes to done). Anything else goes to done() as rc. Is
     * called again, with the change as it left it, when another node was first to change what it
     * was planned on, and where it hangs on rows. */
    int (*plan)(struct config_write *write, const struct config *config);
    /* rc 0: in force on this node. UV_EEXIST, UV_ENOENT, UV_EBUSY: the store refused (another node
     * was first); others: it failed. The write and its change are the caller's again. */
    void (*done)(struct config_write *write, int rc);
};
/* Given to those that write (the Admin API). */
typedef void (*config_submit_cb)(void *control, struct config_write *write);

#endif
