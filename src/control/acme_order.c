#include "control/acme_order.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "control/acme_jws.h"
#include "net/tls_self_signed.h"

/*   IDLE --> OPEN --(no account yet)--> REGISTER --> ORDER
 *              '------------------------------------>  |
 *                       ,----- of each authorization --'
 *                       v                    valid already
 *   AUTHORIZATION --> SHOW --> CHALLENGE --> VALIDATE --.   pending: again, after a pause
 *       ^ '---------------------------------------------+-- next one
 *       |                                               v
 *       '-- account unknown: REGISTER once more     ORDER_STATUS --ready--> FINALIZE -->
 * ORDER_STATUS
 *                                                       '--valid--> CERTIFICATE --> IDLE
 *
 * Any step may fail, and then the order is over. */
enum order_state {
    STATE_IDLE = 0,
    STATE_OPEN,
    STATE_REGISTER,
    STATE_ORDER,
    STATE_AUTHORIZATION,
    STATE_SHOW,
    STATE_CHALLENGE,
    STATE_VALIDATE,
    STATE_ORDER_STATUS,
    STATE_FINALIZE,
    STATE_CERTIFICATE,
};

#define LIMIT_MS (10 * 60 * 1000) /* for all of it */
#define PAUSE_MIN_MS 500
#define PAUSE_MAX_MS 10000
#define PAUSE_TOLD_MAX_S 60 /* of what the authority wants us to wait */
#define MAX_TOKEN_BYTES 256

static void ask(struct acme_order *order);

static void turn_to(struct acme_order *order, enum order_state state)
{
    static const char *const names[] = {
        [STATE_IDLE] = "idle",
        [STATE_OPEN] = "open",
        [STATE_REGISTER] = "register",
        [STATE_ORDER] = "order",
        [STATE_AUTHORIZATION] = "authorization",
        [STATE_SHOW] = "show",
        [STATE_CHALLENGE] = "challenge",
        [STATE_VALIDATE] = "validate",
        [STATE_ORDER_STATUS] = "order status",
        [STATE_FINALIZE] = "finalize",
        [STATE_CERTIFICATE] = "certificate",
    };
    if ((enum order_state)order->state != state)
        order->pause_ms = PAUSE_MIN_MS;
    order->state = (int)state;
    log_debug("an order of a certificate goes on", LOG_CSTR("host", order->settings.host),
              LOG_CSTR("state", names[state]));
}

static void go_to(struct acme_order *order, enum order_state state)
{
    turn_to(order, state);
    ask(order);
}

/* ---- the end ---- */

void acme_order_stop(struct acme_order *order)
{
    if (order->state == STATE_IDLE)
        return;
    uv_timer_stop(&order->timer);
    acme_client_cancel(order->settings.client);
    tls_wipe_text(order->key);
    order->key = NULL;
    order->state = STATE_IDLE;
}

static void fail_with(struct acme_order *order, const struct acme_trouble *trouble)
{
    struct acme_trouble copy = *trouble;
    acme_order_stop(order);
    order->settings.on_failed(order->settings.owner, &copy);
}

static void fail(struct acme_order *order, enum acme_trouble_kind kind, const char *why)
{
    struct acme_trouble trouble = {.kind = kind};
    acme_trouble_set(&trouble, kind, "%s", why);
    fail_with(order, &trouble);
}

/* What makes no sense is an authority's fault, and may be gone in a minute. */
static void fail_nonsense(struct acme_order *order, const char *why)
{
    fail(order, ACME_AWAY, why);
}

/* ---- waiting ---- */

static void on_time(uv_timer_t *timer)
{
    ask(timer->data);
}

/* The same once more, after a pause. */
static void look_again(struct acme_order *order, uint32_t told_s)
{
    uint64_t now_ms = uv_now(order->timer.loop);
    uint64_t pause_ms = order->pause_ms;
    if (told_s > 0)
        pause_ms = (told_s < PAUSE_TOLD_MAX_S ? told_s : PAUSE_TOLD_MAX_S) * 1000ULL;
    if (now_ms + pause_ms > order->deadline_ms) {
        fail(order, ACME_AWAY, "it takes too long");
        return;
    }
    order->pause_ms = order->pause_ms * 2 < PAUSE_MAX_MS ? order->pause_ms * 2 : PAUSE_MAX_MS;
    uv_timer_start(&order->timer, on_time, pause_ms, 0);
}

/* ---- reading ---- */

static const char *text_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static bool is_status(const json_t *object, const char *status)
{
    return strcmp(text_in(object, "status"), status) == 0;
}

/* A URL that may be followed; false, and nothing else, for any other. */
static bool take_url(const struct acme_order *order, const char *url, char out[ACME_URL_BYTES])
{
    if (!acme_client_accepts(order->settings.client, url))
        return false;
    snprintf(out, ACME_URL_BYTES, "%s", url);
    return true;
}

static bool is_token(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len < MAX_TOKEN_BYTES &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

/* ---- the steps, as their answers come ---- */

static void take_account(struct acme_order *order, const struct acme_answer *answer)
{
    if (!take_url(order, answer->location, order->account)) {
        fail_nonsense(order, "it names no account");
        return;
    }
    acme_client_sign_as(order->settings.client, order->settings.key, order->account);
    order->settings.on_account(order->settings.owner, order->account);
    go_to(order, STATE_ORDER);
}

static void take_order(struct acme_order *order, const struct acme_answer *answer)
{
    const json_t *list = json_object_get(answer->json, "authorizations");
    size_t count = json_array_size(list);
    bool is_good = count > 0 && count <= ACME_MAX_AUTHORIZATIONS &&
                   take_url(order, answer->location, order->url) &&
                   take_url(order, text_in(answer->json, "finalize"), order->finalize);
    for (size_t i = 0; is_good && i < count; i++)
        is_good =
            take_url(order, json_string_value(json_array_get(list, i)), order->authorizations[i]);
    if (!is_good) {
        fail_nonsense(order, "its answer to an order is none");
        return;
    }
    order->authorization_count = (unsigned)count;
    order->authorization = 0;
    go_to(order, STATE_AUTHORIZATION);
}

static const json_t *find_challenge(const struct acme_order *order, const json_t *authorization)
{
    const json_t *list = json_object_get(authorization, "challenges");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(text_in(json_array_get(list, i), "type"), order->settings.challenge) == 0)
            return json_array_get(list, i);
    return NULL;
}

static void next_authorization(struct acme_order *order)
{
    order->authorization++;
    go_to(order, order->authorization < order->authorization_count ? STATE_AUTHORIZATION
                                                                   : STATE_ORDER_STATUS);
}

static void show(struct acme_order *order, const char *token)
{
    char *thumbprint = acme_key_thumbprint(order->settings.key);
    char text[MAX_TOKEN_BYTES + 64];
    if (!thumbprint) {
        fail(order, ACME_AWAY, "memory is short");
        return;
    }
    snprintf(text, sizeof(text), "%s.%s", token, thumbprint);
    free(thumbprint);
    turn_to(order, STATE_SHOW);
    order->settings.on_challenge(order->settings.owner, token, text);
}

static void take_authorization(struct acme_order *order, const json_t *authorization)
{
    const json_t *challenge = find_challenge(order, authorization);
    const char *token = text_in(challenge, "token");
    const char *name = text_in(json_object_get(authorization, "identifier"), "value");
    char why[ACME_WHY_BYTES];
    if (is_status(authorization, "valid")) {
        next_authorization(order);
    } else if (!is_status(authorization, "pending")) {
        fail(order, ACME_REFUSED, "its authorization for the host is not open any more");
    } else if (!str_equal_nocase(str_of(name), str_of(order->settings.host))) {
        fail_nonsense(order, "its authorization is for another host");
    } else if (!challenge) {
        snprintf(why, sizeof(why), "it doesn't offer %s for this host", order->settings.challenge);
        fail(order, ACME_REFUSED, why);
    } else if (!is_token(token) ||
               !take_url(order, text_in(challenge, "url"), order->challenge_url)) {
        fail_nonsense(order, "its challenge is none");
    } else {
        show(order, token);
    }
}

void acme_order_shown(struct acme_order *order, int rc)
{
    char why[ACME_WHY_BYTES];
    if (order->state != STATE_SHOW)
        return;
    if (rc) {
        snprintf(why, sizeof(why), "the challenge can't be stored: %s", uv_strerror(rc));
        fail(order, ACME_AWAY, why);
        return;
    }
    go_to(order, STATE_CHALLENGE);
}

static void take_validation(struct acme_order *order, const struct acme_answer *answer)
{
    if (is_status(answer->json, "valid")) {
        next_authorization(order);
    } else if (is_status(answer->json, "pending") || is_status(answer->json, "processing")) {
        look_again(order, answer->retry_after_s);
    } else {
        struct acme_trouble trouble = {.kind = ACME_REFUSED};
        acme_trouble_read(&trouble, json_object_get(find_challenge(order, answer->json), "error"));
        if (trouble.kind == ACME_NO_ACCOUNT)
            trouble.kind = ACME_REFUSED;
        fail_with(order, &trouble);
    }
}

static void take_status(struct acme_order *order, const struct acme_answer *answer)
{
    char certificate[ACME_URL_BYTES];
    if (is_status(answer->json, "ready") && !order->has_asked_for_all) {
        go_to(order, STATE_FINALIZE);
    } else if (is_status(answer->json, "valid") && order->has_asked_for_all) {
        if (!take_url(order, text_in(answer->json, "certificate"), certificate)) {
            fail_nonsense(order, "it names no certificate");
            return;
        }
        memcpy(order->url, certificate, sizeof(certificate)); /* the order's own is done with */
        go_to(order, STATE_CERTIFICATE);
    } else if (is_status(answer->json, "pending") || is_status(answer->json, "processing") ||
               is_status(answer->json, "ready")) {
        turn_to(order, STATE_ORDER_STATUS);
        look_again(order, answer->retry_after_s);
    } else {
        struct acme_trouble trouble = {.kind = ACME_REFUSED};
        acme_trouble_read(&trouble, json_object_get(answer->json, "error"));
        if (trouble.kind == ACME_NO_ACCOUNT)
            trouble.kind = ACME_REFUSED;
        fail_with(order, &trouble);
    }
}

static void take_certificate(struct acme_order *order, const struct acme_answer *answer)
{
    char *chain = NULL;
    const char *why = "memory is short";
    if (acme_cert_check(answer->body, order->key, order->settings.host, time(NULL), &chain, &why)) {
        fail_nonsense(order, why);
        return;
    }
    char *key = order->key;
    order->key = NULL;
    acme_order_stop(order);
    order->settings.on_issued(order->settings.owner, chain, key);
    tls_wipe_text(key);
    free(chain);
}

static void take_trouble(struct acme_order *order, const struct acme_trouble *trouble)
{
    if (trouble->kind != ACME_NO_ACCOUNT || order->has_registered) {
        fail_with(order, trouble);
        return;
    }
    order->account[0] = '\0'; /* it was another authority's, or has been forgotten */
    acme_client_sign_as(order->settings.client, order->settings.key, NULL);
    go_to(order, STATE_REGISTER);
}

static void on_answer(void *arg, const struct acme_answer *answer,
                      const struct acme_trouble *trouble)
{
    struct acme_order *order = arg;
    if (trouble) {
        take_trouble(order, trouble);
        return;
    }
    switch ((enum order_state)order->state) {
    case STATE_OPEN:
        go_to(order, order->account[0] ? STATE_ORDER : STATE_REGISTER);
        break;
    case STATE_REGISTER:
        take_account(order, answer);
        break;
    case STATE_ORDER:
        take_order(order, answer);
        break;
    case STATE_AUTHORIZATION:
        take_authorization(order, answer->json);
        break;
    case STATE_CHALLENGE:
        turn_to(order, STATE_VALIDATE);
        look_again(order, 0);
        break;
    case STATE_VALIDATE:
        take_validation(order, answer);
        break;
    case STATE_FINALIZE:
    case STATE_ORDER_STATUS:
        take_status(order, answer);
        break;
    case STATE_CERTIFICATE:
        take_certificate(order, answer);
        break;
    case STATE_IDLE:
    case STATE_SHOW:
        assert(false); /* nothing is asked then */
    }
}

/* ---- the steps, as they are asked ---- */

/* Takes the payload over. */
static void post(struct acme_order *order, const char *url, json_t *payload)
{
    if (payload)
        acme_client_post(order->settings.client, url, payload, on_answer, order);
    else
        fail(order, ACME_AWAY, "memory is short");
    json_decref(payload);
}

static void post_as_get(struct acme_order *order, const char *url)
{
    acme_client_post(order->settings.client, url, NULL, on_answer, order);
}

static void register_account(struct acme_order *order)
{
    const struct acme_order_settings *settings = &order->settings;
    const char *url = acme_client_url(settings->client, "newAccount");
    json_t *payload = json_pack("{s:b}", "termsOfServiceAgreed", 1);
    char contact[320];
    order->has_registered = true;
    if (settings->email) {
        snprintf(contact, sizeof(contact), "mailto:%s", settings->email);
        json_object_set_new(payload, "contact", json_pack("[s]", contact));
    }
    if (settings->bound_kid)
        json_object_set_new(
            payload, "externalAccountBinding",
            acme_jws_bind(settings->key, url, settings->bound_kid, settings->bound_secret));
    post(order, url, payload);
}

static void finalize(struct acme_order *order)
{
    char *request = NULL;
    tls_wipe_text(order->key);
    order->key = NULL;
    if (acme_cert_request(order->settings.host, order->settings.key_type, &order->key, &request)) {
        fail(order, ACME_AWAY, "memory is short");
        return;
    }
    order->has_asked_for_all = true;
    json_t *payload = json_pack("{s:s}", "csr", request);
    free(request);
    post(order, order->finalize, payload);
}

/* What the state is there to ask. What it calls may end the order at once. */
static void ask(struct acme_order *order)
{
    const struct acme_order_settings *settings = &order->settings;
    switch ((enum order_state)order->state) {
    case STATE_OPEN:
        acme_client_open(settings->client, on_answer, order);
        break;
    case STATE_REGISTER:
        register_account(order);
        break;
    case STATE_ORDER:
        post(order, acme_client_url(settings->client, "newOrder"),
             json_pack("{s:[{s:s, s:s}]}", "identifiers", "type", "dns", "value", settings->host));
        break;
    case STATE_AUTHORIZATION:
    case STATE_VALIDATE:
        post_as_get(order, order->authorizations[order->authorization]);
        break;
    case STATE_CHALLENGE:
        post(order, order->challenge_url, json_object());
        break;
    case STATE_ORDER_STATUS:
    case STATE_CERTIFICATE:
        post_as_get(order, order->url);
        break;
    case STATE_FINALIZE:
        finalize(order);
        break;
    case STATE_IDLE:
    case STATE_SHOW:
        break;
    }
}

/* ---- the whole ---- */

void acme_order_init(struct acme_order *order, uv_loop_t *loop)
{
    memset(order, 0, sizeof(*order));
    uv_timer_init(loop, &order->timer);
    order->timer.data = order;
}

void acme_order_start(struct acme_order *order, const struct acme_order_settings *settings)
{
    assert(order->state == STATE_IDLE);
    order->settings = *settings;
    order->deadline_ms = uv_now(order->timer.loop) + LIMIT_MS;
    order->has_registered = order->has_asked_for_all = false;
    snprintf(order->account, sizeof(order->account), "%s",
             settings->account ? settings->account : "");
    acme_client_sign_as(settings->client, settings->key, order->account[0] ? order->account : NULL);
    go_to(order, STATE_OPEN);
}

bool acme_order_is_under_way(const struct acme_order *order)
{
    return order->state != STATE_IDLE;
}

void acme_order_close(struct acme_order *order, uv_close_cb closed)
{
    acme_order_stop(order);
    uv_close((uv_handle_t *)&order->timer, closed);
}
