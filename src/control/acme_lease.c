#include "control/acme_lease.h"

#include <string.h>

#include <uv.h> /* error codes only */

#include "base/log.h"
#include "control/acme_rows.h"
#include "model/row.h"

#define KEY "orders" /* there is one */

static const struct entity *entity(void)
{
    return entity_find(STR("acme_leases"));
}

static bool has_text(const json_t *row, const char *field, const char *text)
{
    return str_equal(row_text(row, field), str_of(text));
}

/* Whether the row is what our last life left, or we ourselves did when we couldn't renew it. That
 * the node's id stands in it is not enough: a machine that was cloned has the same. */
static bool is_left_behind(const struct acme_lease *lease, const json_t *row)
{
    return has_text(row, "token", lease->left) || has_text(row, "token", lease->own);
}

/* --- writing --- */

static int plan_release(struct acme_lease *lease, const struct config *config, const json_t *row)
{
    struct violation violation = {0};
    if (!row || !has_text(row, "token", lease->own))
        return 0; /* lost: what is there now is another's */
    int rc = config_plan_remove(config, entity(), row_text(row, "id"), NULL, NULL,
                                &lease->write.change, &violation);
    violation_deinit(&violation);
    return rc ? rc : acme_rows_plan_purge(config, &lease->write.change);
}

static int plan_take(struct acme_lease *lease, const struct config *config, const json_t *row)
{
    struct violation violation = {0};
    bool is_own = row && lease->is_held && has_text(row, "token", lease->own);
    if (row && !is_own && !is_left_behind(lease, row) && !has_text(row, "token", lease->seen))
        return UV_EBUSY; /* another was first */
    json_t *input =
        json_pack("{s:s, s:s, s:s}", "key", KEY, "holder", lease->node, "token", lease->next);
    if (!input)
        return UV_ENOMEM;
    int rc = row ? config_plan_update(config, entity(), row_text(row, "id"), input, NULL, NULL,
                                      &lease->write.change, NULL, &violation)
                 : config_plan_insert(config, entity(), input, NULL, NULL, &lease->write.change,
                                      NULL, &violation);
    json_decref(input);
    violation_deinit(&violation);
    return rc || is_own ? rc : acme_rows_plan_purge(config, &lease->write.change);
}

static int plan(struct config_write *write, const struct config *config)
{
    struct acme_lease *lease = LIST_ENTRY(write, struct acme_lease, write);
    const json_t *row = acme_rows_find(config, "acme_leases", KEY);
    config_change_deinit(&write->change);
    return lease->is_releasing ? plan_release(lease, config, row) : plan_take(lease, config, row);
}

static void done(struct config_write *write, int rc)
{
    struct acme_lease *lease = LIST_ENTRY(write, struct acme_lease, write);
    config_change_deinit(&write->change);
    lease->is_writing = false;
    if (lease->is_releasing) {
        lease->is_held = lease->is_releasing = false;
    } else if (rc == 0) {
        lease->is_held = true;
        lease->renewed_ms = lease->written_ms;
        memcpy(lease->own, lease->next, sizeof(lease->own));
    }
}

static void submit(struct acme_lease *lease, uint64_t now_ms)
{
    lease->is_writing = true;
    lease->written_ms = now_ms;
    random_uuid(lease->next);
    lease->submit(lease->control, &lease->write);
}

/* --- the verbs --- */

void acme_lease_init(struct acme_lease *lease, const struct config *config,
                     config_submit_cb submit_cb, void *control, const char *node)
{
    memset(lease, 0, sizeof(*lease));
    lease->write.plan = plan;
    lease->write.done = done;
    lease->config = config;
    lease->submit = submit_cb;
    lease->control = control;
    lease->node = node;
}

static bool is_lost(const struct acme_lease *lease, const json_t *row, uint64_t now_ms)
{
    return !row || !has_text(row, "token", lease->own) ||
           now_ms - lease->renewed_ms >= ACME_LEASE_MS;
}

static void keep_token(char out[UUID_TEXT_BYTES], const json_t *row)
{
    struct str token = row_text(row, "token");
    if (token.len >= UUID_TEXT_BYTES)
        return;
    memcpy(out, token.ptr, token.len);
    out[token.len] = '\0';
}

/* Nobody's, left behind by ourselves, or of a holder that has gone. */
static bool is_free(struct acme_lease *lease, const json_t *row, uint64_t now_ms)
{
    if (!row || is_left_behind(lease, row))
        return true;
    if (!has_text(row, "token", lease->seen)) {
        keep_token(lease->seen, row);
        lease->seen_ms = now_ms;
    }
    return now_ms - lease->seen_ms >= ACME_LEASE_MS;
}

bool acme_lease_want(struct acme_lease *lease, uint64_t now_ms)
{
    const json_t *row = acme_rows_find(lease->config, "acme_leases", KEY);
    if (!lease->has_looked && row && has_text(row, "holder", lease->node))
        keep_token(lease->left, row);
    lease->has_looked = true;
    if (lease->is_writing) /* which may take longer than the lease lasts */
        return lease->is_held && !lease->is_releasing && now_ms - lease->renewed_ms < ACME_LEASE_MS;
    if (lease->is_held && is_lost(lease, row, now_ms)) {
        log_notice("another node gets certificates by ACME now",
                   LOG_STR("node", row_text(row, "holder")));
        lease->is_held = false;
    }
    if (lease->is_held ? now_ms - lease->renewed_ms >= ACME_LEASE_RENEW_MS
                       : is_free(lease, row, now_ms))
        submit(lease, now_ms);
    return lease->is_held;
}

void acme_lease_release(struct acme_lease *lease)
{
    if (!lease->is_held || lease->is_writing)
        return;
    lease->is_releasing = true;
    submit(lease, lease->renewed_ms);
}

const char *acme_lease_holder(const struct acme_lease *lease)
{
    const json_t *row = acme_rows_find(lease->config, "acme_leases", KEY);
    return json_string_value(json_object_get(row, "holder"));
}
