#include "control/commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#define MAX_KEYS_PER_ROW 8
#define MAX_REFS_PER_ROW 8
/* A database's index takes no more in one entry (PostgreSQL: some 2700); what is longer is unique
 * by its digest. */
#define LONG_KEY_BYTES 1000
#define SHORT_KEY_BYTES 72
#define MAX_PLANS 8 /* of one write; the second is the last but for broken connections */

struct committer {
    struct config *config;
    struct store *store;
    commit_publish_cb publish;
    void *control;
    struct list waiting;
    struct config_write *current; /* in the store's hands */
    uint64_t planned_at;          /* the store's sequence when it was planned */
    unsigned plans;               /* of the current one */
    int planned_rc;               /* what its plan() said, while is_asking */
    bool is_asking;               /* the current one waits for the store's news, not for a commit */
    bool has_asked;               /* for the current one */
    bool is_running;              /* run_next is on the stack: done() may submit */
    bool is_stopped;
};

/* A row in the store's terms. Texts borrow from the JSON row, but for those that are owned. */
struct stored_row {
    struct store_key keys[MAX_KEYS_PER_ROW];
    struct store_ref refs[MAX_REFS_PER_ROW];
    char short_keys[MAX_KEYS_PER_ROW][SHORT_KEY_BYTES];
    char *together; /* owned: the joined value of fields that are unique together */
    char *body;     /* owned */
};

static const char *foreign_id(const json_t *row, const char *field)
{
    return json_string_value(json_object_get(json_object_get(row, field), "id"));
}

static int add_unique_together(const struct entity *entity, const json_t *row,
                               struct stored_row *out, struct store_op *op)
{
    size_t size = 1;
    for (const char *const *name = entity->unique_together; *name; name++) {
        const char *id = foreign_id(row, *name);
        const char *text = id ? id : json_string_value(json_object_get(row, *name));
        size += text ? strlen(text) + 1 : 1;
    }
    out->together = calloc(1, size);
    if (!out->together)
        return UV_ENOMEM;
    for (const char *const *name = entity->unique_together; *name; name++) {
        const char *id = foreign_id(row, *name);
        const char *text = id ? id : json_string_value(json_object_get(row, *name));
        strcat(out->together, text ? text : "");
        strcat(out->together, "\n"); /* no name or id holds one */
    }
    out->keys[op->key_count++] = (struct store_key){"@together", out->together};
    return 0;
}

static int shorten_keys(struct stored_row *out, const struct store_op *op)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    for (size_t i = 0; i < op->key_count; i++) {
        struct store_key *key = &out->keys[i];
        if (strlen(key->value) <= LONG_KEY_BYTES)
            continue;
        if (!EVP_Digest(key->value, strlen(key->value), digest, &len, EVP_sha256(), NULL))
            return UV_ENOMEM;
        char *text = out->short_keys[i];
        size_t at = (size_t)snprintf(text, SHORT_KEY_BYTES, "sha256:");
        for (unsigned byte = 0; byte < len; byte++)
            at += (size_t)snprintf(text + at, SHORT_KEY_BYTES - at, "%02x", digest[byte]);
        key->value = text;
    }
    return 0;
}

static int describe_put(const struct config_op *change, struct stored_row *out, struct store_op *op)
{
    op->keys = out->keys;
    op->refs = out->refs;
    for (const struct field *field = change->entity->fields; field->name; field++) {
        const json_t *value = json_object_get(change->row, field->name);
        if (field->unique && json_is_string(value) && op->key_count < MAX_KEYS_PER_ROW - 1)
            out->keys[op->key_count++] = (struct store_key){field->name, json_string_value(value)};
        const char *id = field->type == FIELD_FOREIGN ? foreign_id(change->row, field->name) : NULL;
        if (id && op->ref_count < MAX_REFS_PER_ROW)
            out->refs[op->ref_count++] = (struct store_ref){field->name, field->reference, id};
    }
    out->body = json_dumps(change->row, JSON_COMPACT);
    op->body = out->body;
    if (!out->body)
        return UV_ENOMEM;
    int rc = change->entity->unique_together
                 ? add_unique_together(change->entity, change->row, out, op)
                 : 0;
    return rc ? rc : shorten_keys(out, op);
}

static void run_next(struct committer *committer);

static void finish(struct committer *committer, struct config_write *write, int rc)
{
    if (rc == 0 && write->change.count > 0) {
        config_apply(committer->config, &write->change);
        committer->publish(committer->control, &write->change);
    }
    write->done(write, rc);
}

/* Whether others have changed something since the current write was planned, which may be why it
 * was refused. */
static bool is_outdated(const struct committer *committer, int rc)
{
    if (committer->plans >= MAX_PLANS)
        return false;
    bool may_be = rc == UV_EEXIST || rc == UV_ENOENT || rc == UV_EBUSY;
    return rc == UV_EAGAIN || (may_be && store_sequence(committer->store) != committer->planned_at);
}

static void carry_out(struct committer *committer, struct config_write *write);

static void on_committed(void *arg, int rc)
{
    struct committer *committer = arg;
    struct config_write *write = committer->current;
    bool is_asking = committer->is_asking;
    committer->current = NULL;
    committer->is_asking = false;
    if (is_asking && rc < 0 && rc != UV_EAGAIN)
        finish(committer, write, committer->planned_rc ? committer->planned_rc : rc);
    else if (is_asking || is_outdated(committer, rc))
        carry_out(committer, write);
    else
        finish(committer, write, rc);
    run_next(committer);
}

static int store_change(struct committer *committer, const struct config_change *change)
{
    struct store_op *ops = calloc(change->count + 1, sizeof(*ops));
    struct stored_row *rows = calloc(change->count + 1, sizeof(*rows));
    int rc = ops && rows ? 0 : UV_ENOMEM;
    for (size_t i = 0; rc == 0 && i < change->count; i++) {
        const struct config_op *from = &change->ops[i];
        ops[i] = (struct store_op){
            .op = from->kind == CONFIG_PUT ? STORE_PUT : STORE_REMOVE,
            .kind = from->entity->name,
            .id = json_string_value(json_object_get(from->row, "id")),
        };
        if (from->kind == CONFIG_PUT)
            rc = describe_put(from, &rows[i], &ops[i]);
    }
    if (rc == 0)
        rc = store_commit(committer->store, ops, change->count, on_committed, committer);
    for (size_t i = 0; rows && i < change->count; i++) {
        free(rows[i].together);
        free(rows[i].body);
    }
    free(rows);
    free(ops);
    return rc;
}

/* A commit of nothing: before it ends, what others committed before it has been delivered. True:
 * on_committed() goes on. Where the database is away a refusal stands as it is, but nobody is told
 * that nothing is left to do. */
static bool ask_store(struct committer *committer, struct config_write *write, int *rc)
{
    static const struct config_change nothing;
    if (!write->hangs_on_rows || committer->has_asked || committer->is_stopped)
        return false;
    committer->has_asked = true;
    committer->is_asking = true;
    committer->planned_rc = *rc;
    committer->current = write;
    int asked = store_change(committer, &nothing);
    if (asked == 0)
        return true;
    committer->is_asking = false;
    committer->current = NULL;
    *rc = *rc ? *rc : asked;
    return false;
}

/* Plans the write and puts it into the store's hands, or finishes it. */
static void carry_out(struct committer *committer, struct config_write *write)
{
    int rc = committer->is_stopped ? UV_ECANCELED : write->plan(write, committer->config);
    if (ask_store(committer, write, &rc))
        return;
    if (rc == 0 && write->change.count > 0) {
        committer->current = write;
        committer->plans++;
        committer->planned_at = store_sequence(committer->store);
        rc = store_change(committer, &write->change);
        if (rc == 0)
            return;
        committer->current = NULL;
    }
    finish(committer, write, rc);
}

/* Takes writes off the queue until one is in the store's hands. */
static void run_next(struct committer *committer)
{
    if (committer->is_running)
        return;
    committer->is_running = true;
    while (!committer->current && !list_is_empty(&committer->waiting)) {
        struct config_write *write = LIST_ENTRY(committer->waiting.next, struct config_write, link);
        list_remove(&write->link);
        committer->plans = 0;
        committer->has_asked = false;
        carry_out(committer, write);
    }
    committer->is_running = false;
}

int committer_create(struct config *config, struct store *store, commit_publish_cb publish,
                     void *control, struct committer **ret)
{
    struct committer *committer = calloc(1, sizeof(*committer));
    if (!committer)
        return UV_ENOMEM;
    committer->config = config;
    committer->store = store;
    committer->publish = publish;
    committer->control = control;
    list_init(&committer->waiting);
    *ret = committer;
    return 0;
}

void committer_destroy(struct committer *committer)
{
    free(committer);
}

void committer_submit(struct committer *committer, struct config_write *write)
{
    list_push_back(&committer->waiting, &write->link);
    run_next(committer);
}

void committer_stop(struct committer *committer)
{
    committer->is_stopped = true;
    run_next(committer);
}
