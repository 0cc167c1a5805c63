#include "control/acme.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/log.h"
#include "control/acme_jws.h"
#include "control/acme_parts.h"
#include "control/options.h"
#include "model/row.h"
#include "net/tls_self_signed.h"

#define LOOK_EVERY_MS 500
#define DAY_S 86400
#define ALL_NODES_MS 10000 /* for them to have the challenge */
#define AWAY_BASE_S 10
#define AWAY_MAX_S 3600
#define REFUSED_MAX_S DAY_S
#define LIMITED_S 3600 /* where the authority doesn't say for how long */
#define STORE_PAUSE_MAX_MS 60000
/* Let's Encrypt issues five for the same host in seven days. */
#define OFTEN 3
#define OFTEN_PAUSE_S (ACME_OFTEN_WITHIN_S / 3)

/* ---- what hosts have ---- */

/* One of three times renew_days or less is renewed when a third of its life is left. */
static time_t renewal_of(const struct acme *acme, time_t from, time_t until)
{
    time_t early = (time_t)acme->settings.options->acme_renew_days * DAY_S;
    time_t third = (until - from) / 3;
    return until - (early < third ? early : third);
}

/* Something may take a certificate away, or put an old one back, as often as it is made: a file of
 * the whole configuration, say. A life that is short is no such thing. */
static time_t spaced_until(const struct acme *acme, const char *host)
{
    const json_t *row = acme_rows_find(acme->settings.config, "acme_histories", host);
    time_t at = (time_t)json_integer_value(json_object_get(row, "last_at"));
    time_t third = (time_t)json_integer_value(json_object_get(row, "lives_s")) / 3;
    if (json_integer_value(json_object_get(row, "count")) < OFTEN)
        return 0;
    return at + (third < OFTEN_PAUSE_S ? third : OFTEN_PAUSE_S);
}

static void read_host(const struct acme *acme, struct acme_host *host)
{
    const json_t *row = acme_rows_certificate(acme->settings.config, host->name);
    const char *pem = json_string_value(json_object_get(row, "cert"));
    enum acme_host_state before = host->state;
    host->state = ACME_HOST_MISSING;
    host->from = host->until = host->renew_at = 0;
    host->certificate[0] = '\0';
    host->spaced_until = spaced_until(acme, host->name);
    if (!row)
        return;
    snprintf(host->certificate, sizeof(host->certificate), "%.36s",
             json_string_value(json_object_get(row, "id")));
    bool is_read = pem && acme_cert_times(pem, &host->from, &host->until);
    if (!acme_rows_is_ours(row)) {
        host->state = ACME_HOST_FOREIGN;
        if (before != ACME_HOST_FOREIGN)
            log_notice("a host has a certificate that ACME has not made; it is left alone",
                       LOG_CSTR("host", host->name), LOG_CSTR("certificate", host->certificate));
        return;
    }
    host->state = ACME_HOST_VALID;
    host->renew_at = is_read ? renewal_of(acme, host->from, host->until) : 0;
}

/* What any node was told counts for all. */
static void read_limit(struct acme *acme)
{
    const struct config *config = acme->settings.config;
    uint64_t accounts = config_stamp(config, entity_find(STR("acme_accounts")));
    if (accounts == acme->accounts)
        return;
    acme->accounts = accounts;
    const json_t *row =
        acme_rows_find(config, "acme_accounts", acme->settings.options->acme_directory);
    time_t until = (time_t)json_integer_value(json_object_get(row, "not_before"));
    acme->not_before = until > acme->not_before ? until : acme->not_before;
}

/* Only when one of their rows is another. */
void acme_read_hosts(struct acme *acme, time_t now)
{
    const struct config *config = acme->settings.config;
    uint64_t certificates = config_stamp(config, entity_find(STR("certificates")));
    uint64_t snis = config_stamp(config, entity_find(STR("snis")));
    uint64_t histories = config_stamp(config, entity_find(STR("acme_histories")));
    bool is_same =
        certificates == acme->certificates && snis == acme->snis && histories == acme->histories;
    acme->certificates = certificates;
    acme->histories = histories;
    acme->snis = snis;
    read_limit(acme);
    for (unsigned i = 0; i < acme->host_count; i++) {
        struct acme_host *host = &acme->hosts[i];
        if (!is_same)
            read_host(acme, host);
        if (host->state == ACME_HOST_VALID && host->renew_at <= now)
            host->state = ACME_HOST_DUE;
    }
}

time_t acme_next_attempt(const struct acme *acme, const struct acme_host *host)
{
    const json_t *failure = acme_rows_find(acme->settings.config, "acme_failures", host->name);
    time_t next = (time_t)json_integer_value(json_object_get(failure, "next_at"));
    if (host->state == ACME_HOST_FOREIGN)
        return 0;
    next = next > host->renew_at ? next : host->renew_at;
    next = next > host->spaced_until ? next : host->spaced_until;
    next = next > host->not_before ? next : host->not_before;
    next = next > acme->not_before ? next : acme->not_before;
    return next > 1 ? next : 1;
}

/* The one that has waited the longest. */
static struct acme_host *find_due(struct acme *acme, time_t now)
{
    struct acme_host *due = NULL;
    time_t first = now;
    for (unsigned i = 0; i < acme->host_count; i++) {
        time_t next = acme_next_attempt(acme, &acme->hosts[i]);
        if (next > 0 && next <= first && (!due || next < first)) {
            due = &acme->hosts[i];
            first = next;
        }
    }
    return due;
}

/* ---- how an attempt ends ---- */

static void leave(struct acme *acme)
{
    acme_order_stop(&acme->order);
    EVP_PKEY_free(acme->key);
    free(acme->chain);
    tls_wipe_text(acme->chain_key);
    acme->key = NULL;
    acme->chain = acme->chain_key = NULL;
    acme->current = NULL;
    acme->number++;
}

static uint32_t at_random(struct acme *acme, uint64_t below)
{
    return below ? (uint32_t)(random_next(&acme->random) % below) : 0;
}

static uint64_t doubled(uint64_t base, unsigned times, uint64_t max)
{
    while (times-- > 0 && base < max)
        base *= 2;
    return base < max ? base : max;
}

/* Full jitter, so that many that fail together don't come back together. Refusals count against an
 * authority's limits (Let's Encrypt: five failed validations of a host in an hour), so that there
 * is a floor below their jitter. How long to stay away altogether is for limits to say: of what is
 * merely out of order, a proxy in front may say anything. */
static uint64_t pause_after(struct acme *acme, const struct acme_trouble *trouble,
                            unsigned failures)
{
    uint64_t told = trouble->retry_after_s, floor_s = acme->settings.options->acme_retry_s;
    uint64_t most = trouble->kind == ACME_LIMITED ? UINT64_MAX
                    : trouble->kind == ACME_AWAY  ? AWAY_MAX_S
                                                  : REFUSED_MAX_S;
    told = told < most ? told : most;
    if (trouble->kind == ACME_LIMITED) {
        told = told ? told : LIMITED_S;
        return told + at_random(acme, told / 10 + 1);
    }
    if (trouble->kind == ACME_AWAY)
        return told + 1 + at_random(acme, doubled(AWAY_BASE_S, failures, AWAY_MAX_S));
    uint64_t pause_s = floor_s + at_random(acme, doubled(floor_s, failures, REFUSED_MAX_S));
    return pause_s > told ? pause_s : told;
}

/* A failure that can't be stored is remembered by this node; of one that can be, the row says all.
 */
static void on_failure_written(void *arg, int rc)
{
    struct acme_host *host = arg;
    if (rc == 0)
        host->not_before = 0;
    else if (rc != UV_ECANCELED)
        log_warn("a failure of ACME can't be stored", LOG_CSTR("host", host->name),
                 LOG_CSTR("why", uv_strerror(rc)));
}

/* Where it can't be stored, this node keeps it at least. */
static void on_limit_written(void *arg, int rc)
{
    (void)arg;
    if (rc && rc != UV_ECANCELED)
        log_warn("a limit of an ACME authority can't be stored", LOG_CSTR("why", uv_strerror(rc)));
}

static void limit_all(struct acme *acme, time_t until)
{
    acme->not_before = until;
    acme_rows_put(&acme->rows, "acme_accounts", acme->settings.options->acme_directory,
                  json_pack("{s:I}", "not_before", (json_int_t)until), false, on_limit_written,
                  acme);
}

static void give_up(struct acme *acme, const struct acme_trouble *trouble)
{
    struct acme_host *host = acme->current;
    const json_t *row = acme_rows_find(acme->settings.config, "acme_failures", host->name);
    json_int_t before = json_integer_value(json_object_get(row, "failures"));
    unsigned failures = before > 0 && before < INT_MAX ? (unsigned)before : 0;
    uint64_t pause_s = pause_after(acme, trouble, failures);
    time_t now = time(NULL);
    log_warn("no certificate by ACME", LOG_CSTR("host", host->name), LOG_CSTR("why", trouble->why),
             LOG_CSTR("directory", acme->settings.options->acme_directory),
             LOG_INT("again_in_s", pause_s));
    acme->failed++;
    acme->error_at = now;
    host->not_before = now + (time_t)pause_s;
    if (trouble->kind == ACME_LIMITED)
        limit_all(acme, host->not_before);
    json_t *input =
        json_pack("{s:i, s:I, s:s, s:I}", "failures", (int)(failures + 1), "next_at",
                  (json_int_t)host->not_before, "error", trouble->why, "error_at", (json_int_t)now);
    leave(acme);
    acme_rows_put(&acme->rows, "acme_failures", host->name, input, false, on_failure_written, host);
}

static void on_failed(void *owner, const struct acme_trouble *trouble)
{
    give_up(owner, trouble);
}

static void give_up_saying(struct acme *acme, enum acme_trouble_kind kind, const char *why)
{
    struct acme_trouble trouble = {.kind = kind};
    acme_trouble_set(&trouble, kind, "%s", why);
    give_up(acme, &trouble);
}

/* How a write went that on_time does again: told once, and at growing intervals. */
static void note_write(struct acme *acme, const char *what, int rc)
{
    acme->is_writing = false;
    if (rc == 0) {
        acme->write_failures = 0;
        return;
    }
    uint64_t pause_ms = doubled(LOOK_EVERY_MS, acme->write_failures, STORE_PAUSE_MAX_MS);
    acme->write_again_ms = uv_now(acme->timer.loop) + pause_ms;
    if (acme->write_failures++ == 0 && rc != UV_ECANCELED)
        log_warn("what ACME has made can't be stored; it is tried again", LOG_CSTR("what", what),
                 LOG_CSTR("why", uv_strerror(rc)));
}

static void on_stored(void *arg, int rc)
{
    struct acme *acme = arg;
    if (acme->is_stopped) {
        acme->is_writing = false;
        if (rc && rc != UV_EALREADY)
            log_warn("a certificate by ACME is lost, for it can't be stored",
                     LOG_CSTR("why", uv_strerror(rc)));
        return;
    }
    bool is_decided = rc == UV_EALREADY || rc == UV_EPERM || rc == UV_EINVAL;
    note_write(acme, "a certificate", is_decided ? 0 : rc);
    if (rc == 0) {
        acme->issued++;
        acme->current->not_before = 0;
        log_notice("a certificate by ACME is in force", LOG_CSTR("host", acme->current->name),
                   LOG_CSTR("directory", acme->settings.options->acme_directory));
        leave(acme);
    } else if (rc == UV_EALREADY) {
        log_notice("another node has stored a newer certificate meanwhile",
                   LOG_CSTR("host", acme->current->name));
        leave(acme);
    } else if (rc == UV_EPERM || rc == UV_EINVAL) {
        give_up_saying(acme, ACME_REFUSED,
                       rc == UV_EPERM ? "the host has got another certificate meanwhile"
                                      : "the certificate is not accepted");
    }
}

/* What was issued is not asked for again because a database is away: that would cost the next one.
 * Nor is another host's ordered meanwhile, which could no more be stored. */
static void store(struct acme *acme)
{
    acme->is_writing = true;
    acme_rows_store(&acme->rows, acme->current->name, acme->chain, acme->chain_key, on_stored,
                    acme);
}

static void on_issued(void *owner, const char *chain, const char *key)
{
    struct acme *acme = owner;
    acme->chain = strdup(chain);
    acme->chain_key = strdup(key);
    if (acme->chain && acme->chain_key)
        store(acme);
    else
        give_up_saying(acme, ACME_AWAY, "memory is short");
}

/* ---- what an order wants ---- */

/* A word about an order that may be over when it comes. */
struct letter {
    struct acme *acme;
    uint64_t number;
};

static bool open_letter(struct letter *letter, struct acme **ret)
{
    bool is_ours = letter->number == letter->acme->number && !letter->acme->is_stopped;
    *ret = letter->acme;
    free(letter);
    return is_ours;
}

static void on_all_nodes(void *arg, const char *behind)
{
    struct acme *acme;
    if (!open_letter(arg, &acme))
        return;
    if (behind)
        log_warn("not all nodes can answer the validation yet", LOG_CSTR("behind", behind),
                 LOG_CSTR("host", acme->current->name));
    acme_order_shown(&acme->order, 0);
}

static void on_challenge_written(void *arg, int rc)
{
    struct letter *letter = arg;
    struct acme *acme = letter->acme;
    if (rc == 0) {
        acme->settings.wait_all(acme->settings.control, ALL_NODES_MS, on_all_nodes, letter);
    } else if (open_letter(letter, &acme)) {
        acme_order_shown(&acme->order, rc);
    }
}

static void on_challenge(void *owner, const char *token, const char *answer)
{
    struct acme *acme = owner;
    struct letter *letter = malloc(sizeof(*letter));
    if (!letter) {
        acme_order_shown(&acme->order, UV_ENOMEM);
        return;
    }
    *letter = (struct letter){acme, acme->number};
    acme_rows_put(&acme->rows, "acme_challenges", token,
                  json_pack("{s:s, s:s, s:s}", "host", acme->current->name, "type",
                            acme->order.settings.challenge, "answer", answer),
                  false, on_challenge_written, letter);
}

/* Without it the next order finds the account by its key. */
static void on_account_written(void *arg, int rc)
{
    (void)arg, (void)rc;
}

static void on_account(void *owner, const char *url)
{
    struct acme *acme = owner;
    log_info("the account for ACME is known", LOG_CSTR("account", url));
    acme_rows_put(&acme->rows, "acme_accounts", acme->settings.options->acme_directory,
                  json_pack("{s:s}", "url", url), false, on_account_written, acme);
}

/* ---- an attempt ---- */

static void on_key_written(void *arg, int rc)
{
    note_write(arg, "the account's key", rc);
}

/* The next look finds it: this one, or the one that another node was first to make. */
static void make_account_key(struct acme *acme)
{
    char *pem = NULL;
    acme->is_writing = true;
    if (acme_key_create(&pem)) {
        on_key_written(acme, UV_ENOMEM);
        return;
    }
    json_t *input = json_pack("{s:s}", "private_key", pem);
    tls_wipe_text(pem);
    acme_rows_put(&acme->rows, "acme_accounts", acme->settings.options->acme_directory, input, true,
                  on_key_written, acme);
}

static void begin(struct acme *acme, struct acme_host *host)
{
    const struct options *options = acme->settings.options;
    const json_t *row =
        acme_rows_find(acme->settings.config, "acme_accounts", options->acme_directory);
    const char *pem = json_string_value(json_object_get(row, "private_key"));
    if (!row) {
        make_account_key(acme);
        return;
    }
    acme->current = host;
    acme->key = pem ? acme_key_read(pem) : NULL;
    if (!acme->key) {
        give_up_saying(acme, ACME_REFUSED, "the stored key of the account can't be read");
        return;
    }
    log_info("a certificate by ACME is ordered", LOG_CSTR("host", host->name),
             LOG_CSTR("directory", options->acme_directory));
    const struct acme_order_settings settings = {
        .client = acme->client,
        .key = acme->key,
        .account = json_string_value(json_object_get(row, "url")),
        .host = host->name,
        .challenge = options->acme_by_tls ? "tls-alpn-01" : "http-01",
        .key_type = options->acme_has_rsa ? ACME_KEY_RSA_2048 : ACME_KEY_ECDSA_P256,
        .email = options->acme_email,
        .bound_kid = options->acme_eab_kid,
        .bound_secret = str_make(acme->bound_secret, acme->bound_secret_len),
        .on_account = on_account,
        .on_challenge = on_challenge,
        .on_issued = on_issued,
        .on_failed = on_failed,
        .owner = acme,
    };
    acme_order_start(&acme->order, &settings);
}

static void on_time(uv_timer_t *timer)
{
    struct acme *acme = timer->data;
    time_t now = time(NULL);
    uint64_t now_ms = uv_now(timer->loop);
    if (acme->is_writing)
        return;
    acme_read_hosts(acme, now);
    bool may_write = acme->write_failures == 0 || now_ms >= acme->write_again_ms;
    if (acme->chain) { /* it couldn't be stored */
        acme_lease_want(&acme->lease, now_ms);
        if (may_write)
            store(acme);
        return;
    }
    struct acme_host *due = acme->current ? acme->current : find_due(acme, now);
    if (!due) {
        acme_lease_release(&acme->lease);
        return;
    }
    bool is_ours = acme_lease_want(&acme->lease, now_ms);
    if (!is_ours && acme->current)
        leave(acme); /* the other one orders it anew */
    else if (is_ours && !acme->current && may_write)
        begin(acme, due);
}

/* ---- the way up ---- */

static bool is_known(const struct acme *acme, const char *name)
{
    for (unsigned i = 0; i < acme->host_count; i++)
        if (strcmp(acme->hosts[i].name, name) == 0)
            return true;
    return false;
}

/* The names stay where the copy of the setting's text has them. */
static int list_hosts(struct acme *acme, const char *setting)
{
    unsigned count = 1;
    for (const char *at = setting; *at; at++)
        count += *at == ',';
    acme->text = strdup(setting);
    acme->hosts = calloc(count, sizeof(*acme->hosts));
    if (!acme->text || !acme->hosts)
        return UV_ENOMEM;
    char *rest = acme->text, *name;
    while ((name = strtok_r(rest, ", \t", &rest)))
        if (!is_known(acme, name))
            acme->hosts[acme->host_count++].name = name;
    return 0;
}

static void free_all(struct acme *acme)
{
    if (acme->bound_secret)
        OPENSSL_cleanse(acme->bound_secret, acme->bound_secret_len);
    free(acme->bound_secret);
    free(acme->hosts);
    free(acme->text);
    free(acme);
}

int acme_create(uv_loop_t *loop, const struct acme_settings *settings, struct acme **ret,
                struct error *err)
{
    const struct options *options = settings->options;
    *ret = NULL;
    if (!options->acme_hosts)
        return 0;
    int rc = acme_check(options, err);
    if (rc)
        return rc;
    struct acme *acme = calloc(1, sizeof(*acme));
    if (!acme)
        return UV_ENOMEM;
    const struct acme_client_settings client = {.directory = options->acme_directory,
                                                .ca_file = options->acme_ca_file};
    acme->settings = *settings;
    acme->rows = (struct acme_rows){settings->config, settings->submit, settings->control};
    random_init(&acme->random);
    rc = list_hosts(acme, options->acme_hosts);
    if (!rc)
        rc = acme_read_secret(options, &acme->bound_secret, &acme->bound_secret_len, err);
    if (!rc)
        rc = acme_client_create(loop, &client, &acme->client);
    if (rc) {
        free_all(acme);
        return rc;
    }
    acme_lease_init(&acme->lease, settings->config, settings->submit, settings->control,
                    settings->node_id);
    acme_order_init(&acme->order, loop);
    uv_timer_init(loop, &acme->timer);
    acme->timer.data = acme;
    *ret = acme;
    return 0;
}

void acme_start(struct acme *acme)
{
    if (!acme)
        return;
    log_info("certificates come by ACME", LOG_INT("hosts", acme->host_count),
             LOG_CSTR("directory", acme->settings.options->acme_directory));
    uv_timer_start(&acme->timer, on_time, 0, LOOK_EVERY_MS);
}

/* ---- the way down ---- */

void acme_stop(struct acme *acme)
{
    if (!acme || acme->is_stopped)
        return;
    acme->is_stopped = true;
    uv_timer_stop(&acme->timer);
    if (acme->chain && !acme->is_writing)
        store(acme); /* the last try */
    leave(acme);
    acme_lease_release(&acme->lease);
}

static void on_order_closed(uv_handle_t *timer)
{
    free_all(LIST_ENTRY(timer, struct acme, order.timer));
}

static void on_timer_closed(uv_handle_t *timer)
{
    struct acme *acme = timer->data;
    acme_order_close(&acme->order, on_order_closed);
}

void acme_close(struct acme *acme)
{
    if (!acme)
        return;
    leave(acme);
    acme_client_close(acme->client);
    uv_close((uv_handle_t *)&acme->timer, on_timer_closed);
}
