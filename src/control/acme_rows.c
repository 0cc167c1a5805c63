#include "control/acme_rows.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#include "base/log.h"
#include "control/acme_cert.h"
#include "model/acme_answers.h"
#include "model/row.h"
#include "model/snapshot.h"
#include "net/tls_identity.h"
#include "net/tls_names.h"
#include "net/tls_self_signed.h"

#define MAX_PURGED 256
#define DIGEST_BYTES 32

/* --- reading --- */

const json_t *acme_rows_find(const struct config *config, const char *entity, const char *key)
{
    return config_find_value(config, entity_find(str_of(entity)), "key", str_of(key));
}

const json_t *acme_rows_certificate(const struct config *config, const char *host)
{
    const json_t *sni = config_find_value(config, entity_find(STR("snis")), "name", str_of(host));
    struct str id = row_text(json_object_get(sni, "certificate"), "id");
    return id.len > 0 ? config_get(config, entity_find(STR("certificates")), id) : NULL;
}

bool acme_rows_is_ours(const json_t *certificate)
{
    const json_t *tags = json_object_get(certificate, "tags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        if (tag && strcmp(tag, ACME_TAG) == 0)
            return true;
    }
    return false;
}

/* --- writing --- */

struct row_write {
    struct config_write write; /* first: a write is its row_write */
    const struct entity *entity;
    char *key;     /* owned: the row's, or the host */
    json_t *input; /* owned */
    bool only_new;
    acme_written_cb done;
    void *arg;
};

static void on_done(struct config_write *base, int rc)
{
    struct row_write *write = (struct row_write *)base;
    acme_written_cb done = write->done;
    void *arg = write->arg;
    config_change_deinit(&base->change);
    json_decref(write->input);
    free(write->key);
    free(write);
    done(arg, rc);
}

static void submit(const struct acme_rows *rows, const char *entity, const char *key, json_t *input,
                   bool only_new,
                   int (*plan)(struct config_write *write, const struct config *config),
                   acme_written_cb done, void *arg)
{
    struct row_write *write = calloc(1, sizeof(*write));
    char *copy = strdup(key);
    if (!write || !copy || !input) {
        free(write);
        free(copy);
        json_decref(input);
        done(arg, UV_ENOMEM);
        return;
    }
    *write = (struct row_write){.write = {.plan = plan, .done = on_done},
                                .entity = entity_find(str_of(entity)),
                                .key = copy,
                                .input = input,
                                .only_new = only_new,
                                .done = done,
                                .arg = arg};
    rows->submit(rows->control, &write->write);
}

/* What is wrong with a row of ours is our mistake, but a human may have to look for it. */
static int tell_violation(int rc, const char *key, struct violation *violation)
{
    if (rc == UV_EINVAL)
        log_error("a row of ACME is refused", LOG_CSTR("key", key),
                  LOG_CSTR("why", violation->message ? violation->message : "its fields"));
    violation_deinit(violation);
    return rc;
}

static int plan_put(struct config_write *base, const struct config *config)
{
    struct row_write *write = (struct row_write *)base;
    struct violation violation = {0};
    const json_t *row = config_find_value(config, write->entity, "key", str_of(write->key));
    config_change_deinit(&base->change);
    if (row && write->only_new)
        return 0;
    int rc = row ? config_plan_update(config, write->entity, row_text(row, "id"), write->input,
                                      NULL, NULL, &base->change, NULL, &violation)
                 : config_plan_insert(config, write->entity, write->input, NULL, NULL,
                                      &base->change, NULL, &violation);
    return tell_violation(rc, write->key, &violation);
}

void acme_rows_put(const struct acme_rows *rows, const char *entity, const char *key, json_t *input,
                   bool only_new, acme_written_cb done, void *arg)
{
    if (input)
        json_object_set_new(input, "key", json_string(key));
    submit(rows, entity, key, input, only_new, plan_put, done, arg);
}

static int plan_remove(const struct config *config, const char *entity, const json_t *row,
                       struct config_change *change)
{
    struct violation violation = {0};
    int rc = config_plan_remove(config, entity_find(str_of(entity)), row_text(row, "id"), NULL,
                                NULL, change, &violation);
    violation_deinit(&violation);
    return rc;
}

int acme_rows_plan_purge(const struct config *config, struct config_change *change)
{
    const json_t *rows[MAX_PURGED];
    bool more;
    size_t count = config_list(config, entity_find(STR("acme_challenges")), NULL, NULL, NULL, rows,
                               MAX_PURGED, &more);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = plan_remove(config, "acme_challenges", rows[i], change);
    return rc;
}

static int set_up_new(json_t *input, const char *host)
{
    return json_object_set_new(input, "tags", json_pack("[s]", ACME_TAG)) ||
                   json_object_set_new(input, "snis", json_pack("[s]", host))
               ? UV_ENOMEM
               : 0;
}

/* Of two nodes that both think it's their turn, the later certificate stays. */
static bool is_newer(const json_t *row, const json_t *ours)
{
    const char *there = json_string_value(json_object_get(row, "cert"));
    time_t from, our_from, until;
    return there && acme_cert_times(there, &from, &until) &&
           acme_cert_times(json_string_value(json_object_get(ours, "cert")), &our_from, &until) &&
           from > our_from;
}

static int plan_history(const struct row_write *write, const struct config *config,
                        struct config_change *change)
{
    const struct entity *entity = entity_find(STR("acme_histories"));
    const json_t *row = acme_rows_find(config, entity->name, write->key);
    json_int_t now = (json_int_t)time(NULL), count = 0, since = now;
    time_t from = 0, until = 0;
    struct violation violation = {0};
    acme_cert_times(json_string_value(json_object_get(write->input, "cert")), &from, &until);
    json_int_t before = json_integer_value(json_object_get(row, "since"));
    if (row && before <= now && now - before < ACME_OFTEN_WITHIN_S) {
        count = json_integer_value(json_object_get(row, "count"));
        since = before;
    }
    json_t *input =
        json_pack("{s:s, s:I, s:I, s:I, s:I}", "key", write->key, "count", count + 1, "since",
                  since, "last_at", now, "lives_s", (json_int_t)(until - from));
    if (!input)
        return UV_ENOMEM;
    int rc = row ? config_plan_update(config, entity, row_text(row, "id"), input, NULL, NULL,
                                      change, NULL, &violation)
                 : config_plan_insert(config, entity, input, NULL, NULL, change, NULL, &violation);
    json_decref(input);
    return tell_violation(rc, write->key, &violation);
}

/* The row keeps its id, and so its snis, its tags and whatever else refers to it. */
static int plan_store(struct config_write *base, const struct config *config)
{
    struct row_write *write = (struct row_write *)base;
    struct violation violation = {0};
    const json_t *row = acme_rows_certificate(config, write->key);
    const json_t *failure = acme_rows_find(config, "acme_failures", write->key);
    config_change_deinit(&base->change);
    if (row && !acme_rows_is_ours(row))
        return UV_EPERM;
    json_object_del(write->input, "tags");
    json_object_del(write->input, "snis");
    if (!row && set_up_new(write->input, write->key))
        return UV_ENOMEM;
    int rc = row ? config_plan_update(config, write->entity, row_text(row, "id"), write->input,
                                      NULL, NULL, &base->change, NULL, &violation)
                 : config_plan_insert(config, write->entity, write->input, NULL, NULL,
                                      &base->change, NULL, &violation);
    rc = tell_violation(rc, write->key, &violation);
    if (rc == 0 && row && is_newer(row, write->input))
        return UV_EALREADY;
    if (rc == 0 && failure)
        rc = plan_remove(config, "acme_failures", failure, &base->change);
    if (rc == 0)
        rc = plan_history(write, config, &base->change);
    return rc ? rc : acme_rows_plan_purge(config, &base->change);
}

void acme_rows_store(const struct acme_rows *rows, const char *host, const char *chain,
                     const char *key, acme_written_cb done, void *arg)
{
    submit(rows, "certificates", host, json_pack("{s:s, s:s}", "cert", chain, "key", key), false,
           plan_store, done, arg);
}

/* --- for workers --- */

static int make_proof(const json_t *row, struct tls_identity **ret)
{
    struct str answer = row_text(row, "answer");
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *cert, *key, *host = str_dup(row_text(row, "host"));
    struct error err;
    if (!host || EVP_Digest(answer.ptr, answer.len, digest, &len, EVP_sha256(), NULL) != 1 ||
        len != DIGEST_BYTES) {
        free(host);
        return UV_ENOMEM;
    }
    int rc = tls_acme_proof(host, digest, &cert, &key);
    free(host);
    if (rc)
        return rc;
    const struct tls_pem pair = {str_of(cert), str_of(key), "cert", "key"};
    rc = tls_identity_create(&pair, 1, ret, &err);
    free(cert);
    tls_wipe_text(key);
    return rc;
}

static int add_name(struct snapshot *snapshot, const json_t *row)
{
    struct tls_identity *proof;
    int rc = snapshot->acme_names ? 0 : tls_names_create(&snapshot->acme_names);
    if (!rc)
        rc = make_proof(row, &proof);
    if (rc)
        return rc;
    rc = tls_names_add(snapshot->acme_names, row_text(row, "host"), proof);
    tls_identity_unref(proof);
    return rc;
}

static int add_answer(struct snapshot *snapshot, const json_t *row)
{
    int rc = snapshot->acme ? 0 : acme_answers_create(&snapshot->acme);
    return rc ? rc
              : acme_answers_add(snapshot->acme, row_text(row, "host"), row_text(row, "key"),
                                 row_text(row, "answer"));
}

/* A row that can't be used is no reason to keep a whole configuration from traffic. */
static int compile_row(void *arg, const json_t *row)
{
    struct str type = row_text(row, "type");
    int rc = str_equal(type, STR("tls-alpn-01")) ? add_name(arg, row)
             : str_equal(type, STR("http-01"))   ? add_answer(arg, row)
                                                 : 0;
    return rc == UV_ENOMEM ? rc : 0;
}

int acme_rows_compile(const struct config *config, struct snapshot *snapshot)
{
    return config_walk(config, entity_find(STR("acme_challenges")), compile_row, snapshot);
}
