#include "control/ticket_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/log.h"
#include "base/random.h"
#include "model/row.h"
#include "net/tls_tickets.h"

#define LOOKS_A_PERIOD 8
#define LOOK_MIN_MS 250
#define LOOK_MAX_MS 60000
#define SECRET_HEX (2 * TLS_TICKET_SECRET_BYTES)

/* --- rows --- */

static const struct entity *entity(void)
{
    return entity_find(STR("ticket_keys"));
}

/* "86400/40000". */
static bool read_key(const json_t *row, uint64_t *ret_lifetime_s, uint64_t *ret_period)
{
    struct str period = row_text(row, "key");
    struct str lifetime = str_cut(&period, '/');
    return str_to_u64(lifetime, ret_lifetime_s) && str_to_u64(period, ret_period);
}

static bool read_secret(const json_t *row, uint8_t secret[TLS_TICKET_SECRET_BYTES])
{
    struct str text = row_text(row, "secret");
    long len = 0;
    char *copy = text.len == SECRET_HEX ? str_dup(text) : NULL;
    unsigned char *bytes = copy ? OPENSSL_hexstr2buf(copy, &len) : NULL;
    bool is_good = bytes && len == TLS_TICKET_SECRET_BYTES;
    if (is_good)
        memcpy(secret, bytes, TLS_TICKET_SECRET_BYTES);
    OPENSSL_clear_free(bytes, (size_t)len);
    if (copy)
        OPENSSL_cleanse(copy, SECRET_HEX);
    free(copy);
    return is_good;
}

/* --- for the snapshot --- */

struct gathering {
    struct tls_ticket_ring *ring;
    uint32_t lifetime_s;
    uint64_t period;
};

/* In order; when there is no room the oldest goes. */
static void insert(struct tls_ticket_ring *ring, const struct tls_ring_secret *secret)
{
    if (ring->count == TLS_TICKET_RING_MAX) {
        if (secret->period < ring->secrets[0].period)
            return;
        memmove(ring->secrets, ring->secrets + 1, sizeof(ring->secrets) - sizeof(*ring->secrets));
        ring->count--;
    }
    unsigned at = ring->count;
    for (; at > 0 && ring->secrets[at - 1].period > secret->period; at--)
        ring->secrets[at] = ring->secrets[at - 1];
    ring->secrets[at] = *secret;
    ring->count++;
}

/* A row that is not ours, of a lifetime that other nodes have, or of the far future counts for
 * nothing. */
static int gather(void *arg, const json_t *row)
{
    struct gathering *gathering = arg;
    struct tls_ring_secret secret;
    uint64_t lifetime_s;
    if (read_key(row, &lifetime_s, &secret.period) && lifetime_s == gathering->lifetime_s &&
        secret.period <= gathering->period + 2 && read_secret(row, secret.secret))
        insert(gathering->ring, &secret);
    OPENSSL_cleanse(&secret, sizeof(secret));
    return 0;
}

int ticket_keys_compile(const struct config *config, uint32_t lifetime_s, uint64_t now_s,
                        struct tls_ticket_ring **ret)
{
    struct tls_ticket_ring *ring = calloc(1, sizeof(*ring));
    if (!ring)
        return UV_ENOMEM;
    struct gathering gathering = {ring, lifetime_s, tls_ticket_period(lifetime_s, now_s)};
    ring->stamp = config_stamp(config, entity());
    config_walk(config, entity(), gather, &gathering);
    *ret = ring;
    if (ring->count == 0 || ring->stamp == 0) {
        tls_ticket_ring_destroy(ring);
        *ret = NULL;
    }
    return 0;
}

/* --- new ones, and old ones --- */

struct survey {
    const struct config *config;
    struct config_change *change;
    uint32_t lifetime_s;
    uint64_t now_s, period;
    bool has_any, has_next; /* of our lifetime: up to this period; for the next */
};

static int look_at(void *arg, const json_t *row)
{
    struct survey *survey = arg;
    uint64_t lifetime_s, period;
    bool is_over = true; /* what can't be read */
    if (read_key(row, &lifetime_s, &period) && lifetime_s >= 2 && lifetime_s <= UINT32_MAX) {
        uint64_t now = tls_ticket_period((uint32_t)lifetime_s, survey->now_s);
        is_over = period + TLS_TICKET_PERIODS <= now;
        if (lifetime_s == survey->lifetime_s) {
            survey->has_any = survey->has_any || (!is_over && period <= now);
            survey->has_next = survey->has_next || period == now + 1;
        }
    }
    struct violation violation = {0};
    struct str id = row_text(row, "id");
    int rc = is_over ? config_plan_remove(survey->config, entity(), id, NULL, NULL, survey->change,
                                          &violation)
                     : 0;
    violation_deinit(&violation);
    return rc;
}

static int add(struct survey *survey, uint64_t period)
{
    uint8_t secret[TLS_TICKET_SECRET_BYTES];
    char key[48], text[SECRET_HEX + 1];
    struct violation violation = {0};
    random_fill(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++)
        snprintf(text + 2 * i, 3, "%02x", secret[i]);
    snprintf(key, sizeof(key), "%u/%llu", survey->lifetime_s, (unsigned long long)period);
    json_t *input = json_pack("{s:s, s:s}", "key", key, "secret", text);
    int rc = input ? config_plan_insert(survey->config, entity(), input, NULL, NULL, survey->change,
                                        NULL, &violation)
                   : UV_ENOMEM;
    json_decref(input);
    violation_deinit(&violation);
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(text, sizeof(text));
    return rc;
}

/* A period that is under way gets a secret only where there is none to follow from: nodes that have
 * tickets out under a derived one would otherwise have to break them. */
int ticket_keys_plan(const struct config *config, uint32_t lifetime_s, uint64_t now_s,
                     struct config_change *change)
{
    struct survey survey = {.config = config,
                            .change = change,
                            .lifetime_s = lifetime_s,
                            .now_s = now_s,
                            .period = tls_ticket_period(lifetime_s, now_s)};
    int rc = config_walk(config, entity(), look_at, &survey);
    if (rc == 0 && !survey.has_any)
        rc = add(&survey, survey.period);
    if (rc == 0 && !survey.has_next)
        rc = add(&survey, survey.period + 1);
    return rc;
}

/* --- the clock --- */

static int plan(struct config_write *write, const struct config *config)
{
    struct ticket_keys *keys = LIST_ENTRY(write, struct ticket_keys, write);
    config_change_deinit(&write->change);
    return ticket_keys_plan(config, keys->lifetime_s, (uint64_t)time(NULL), &write->change);
}

/* Another node was first, or the database is away: there is time until the next period. */
static void done(struct config_write *write, int rc)
{
    struct ticket_keys *keys = LIST_ENTRY(write, struct ticket_keys, write);
    if (rc && rc != UV_EEXIST && rc != UV_ENOTCONN)
        log_debug("no new secret for session tickets", LOG_CSTR("why", uv_strerror(rc)));
    config_change_deinit(&write->change);
    keys->is_writing = false;
}

/* Most looks find nothing to do, and then no write waits for its turn. */
static void on_time(uv_timer_t *timer)
{
    struct ticket_keys *keys = timer->data;
    struct config_change change = {NULL, 0};
    if (keys->is_writing)
        return;
    int rc = ticket_keys_plan(keys->config, keys->lifetime_s, (uint64_t)time(NULL), &change);
    bool is_needed = rc == 0 && change.count > 0;
    config_change_deinit(&change);
    if (!is_needed)
        return;
    keys->is_writing = true;
    keys->submit(keys->control, &keys->write);
}

void ticket_keys_init(struct ticket_keys *keys, uv_loop_t *loop)
{
    uv_timer_init(loop, &keys->timer);
    keys->timer.data = keys;
    keys->lifetime_s = 0;
}

void ticket_keys_start(struct ticket_keys *keys, const struct config *config, uint32_t lifetime_s,
                       config_submit_cb submit, void *control)
{
    uint64_t look_ms = (uint64_t)lifetime_s * 1000 / 2 / LOOKS_A_PERIOD;
    memset(&keys->write, 0, sizeof(keys->write));
    keys->write.plan = plan;
    keys->write.done = done;
    keys->config = config;
    keys->submit = submit;
    keys->control = control;
    keys->lifetime_s = lifetime_s;
    keys->is_writing = false;
    look_ms = look_ms < LOOK_MIN_MS ? LOOK_MIN_MS : look_ms > LOOK_MAX_MS ? LOOK_MAX_MS : look_ms;
    uv_timer_start(&keys->timer, on_time, 0, look_ms);
}

void ticket_keys_close(struct ticket_keys *keys)
{
    uv_close((uv_handle_t *)&keys->timer, NULL);
}
