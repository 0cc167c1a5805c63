/* acme_order.h - one order of a certificate for one host, from the account to the chain (RFC 8555,
 * section 7): asks, has the challenge shown by its owner, waits for the authority, and hands over
 * what it issued once that has been checked. It tries once; when to try again is acme.h's.
 *
 * Thread: control. Memory: embedded; borrows its settings until it has ended. */
#ifndef CONTROL_ACME_ORDER_H
#define CONTROL_ACME_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "control/acme_cert.h"
#include "control/acme_client.h"

#define ACME_MAX_AUTHORIZATIONS 4 /* an order for one host has one */

struct acme_order_settings {
    struct acme_client *client;
    struct evp_pkey_st *key; /* the account's */
    const char *account;     /* its URL; NULL: it has to be made, or found, first */
    const char *host;
    const char *challenge; /* "http-01", "tls-alpn-01" */
    enum acme_key_type key_type;
    const char *email;     /* NULL: none */
    const char *bound_kid; /* of an account elsewhere (RFC 8555, section 7.3.4); NULL: none */
    struct str bound_secret;
    /* The account's URL has become known. */
    void (*on_account)(void *owner, const char *url);
    /* To be shown from all nodes; acme_order_shown() is waited for. */
    void (*on_challenge)(void *owner, const char *token, const char *answer);
    /* The last word of an order: what was issued, or why not. */
    void (*on_issued)(void *owner, const char *chain, const char *key);
    void (*on_failed)(void *owner, const struct acme_trouble *trouble);
    void *owner;
};

struct acme_order {
    struct acme_order_settings settings;
    uv_timer_t timer;
    int state; /* acme_order.c's */
    uint64_t deadline_ms;
    uint64_t pause_ms; /* before the next look */
    bool has_registered, has_asked_for_all;
    char account[ACME_URL_BYTES];
    char url[ACME_URL_BYTES]; /* of the order itself */
    char finalize[ACME_URL_BYTES];
    char authorizations[ACME_MAX_AUTHORIZATIONS][ACME_URL_BYTES];
    unsigned authorization_count, authorization; /* how many; the one it is about */
    char challenge_url[ACME_URL_BYTES];
    char *key; /* owned: the certificate's */
};

void acme_order_init(struct acme_order *order, uv_loop_t *loop);
/* None may be under way. */
void acme_order_start(struct acme_order *order, const struct acme_order_settings *settings);
bool acme_order_is_under_way(const struct acme_order *order);
/* The challenge can be seen (0), or can't be made to (a negative UV_E…). */
void acme_order_shown(struct acme_order *order, int rc);
/* Ends it without a word. */
void acme_order_stop(struct acme_order *order);
/* `closed` gets the order's timer, a member of it. */
void acme_order_close(struct acme_order *order, uv_close_cb closed);

#endif
