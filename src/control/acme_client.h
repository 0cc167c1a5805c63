/* acme_client.h - speaks to an ACME authority (RFC 8555, sections 6 and 7.1): knows its directory,
 * keeps a nonce, signs requests, asks again when a nonce was bad, and says in which way a request
 * has failed.
 *
 * One request at a time. What is asked and why is acme_order.h's.
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_ACME_CLIENT_H
#define CONTROL_ACME_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/str.h"

struct acme_client;
struct evp_pkey_st;

#define ACME_URL_BYTES 1024
#define ACME_WHY_BYTES 320
#define ACME_MAX_BODY_BYTES 262144u /* of an answer: a chain has some thousand */

struct acme_client_settings {
    const char *directory; /* its URL; borrowed, like ca_file */
    const char *ca_file;   /* PEM: whom to trust; NULL: the machine's */
};

enum acme_trouble_kind {
    ACME_NO_TROUBLE = 0,
    ACME_AWAY,       /* not reached, broken, or what it says makes no sense */
    ACME_LIMITED,    /* it wants to be asked less */
    ACME_NO_ACCOUNT, /* it doesn't know ours */
    ACME_REFUSED,    /* it says no */
};

struct acme_trouble {
    enum acme_trouble_kind kind;
    uint32_t retry_after_s; /* 0: it doesn't say */
    char why[ACME_WHY_BYTES];
};

/* Borrowed during the callback. */
struct acme_answer {
    long status;
    struct str body;
    const json_t *json;     /* an object; NULL: it is none */
    const char *location;   /* empty: none */
    uint32_t retry_after_s; /* 0: none; at most a week */
};

/* With trouble, the answer is NULL. */
typedef void (*acme_answer_cb)(void *arg, const struct acme_answer *answer,
                               const struct acme_trouble *trouble);

/* 0 or a negative UV_E…. */
int acme_client_create(uv_loop_t *loop, const struct acme_client_settings *settings,
                       struct acme_client **ret);
/* Frees it once its handles are closed; no callback comes any more. NULL is fine. */
void acme_client_close(struct acme_client *client);

/* Who signs: borrowed until the next call. `account` is its URL, NULL: not known yet. */
void acme_client_sign_as(struct acme_client *client, struct evp_pkey_st *key, const char *account);

/* The directory is got first where it isn't known. Neither calls back before it returns. Nothing
 * may be under way. */
void acme_client_open(struct acme_client *client, acme_answer_cb done, void *arg);
/* A JSON object, borrowed; NULL: POST as GET. The URL is one that the authority gave. */
void acme_client_post(struct acme_client *client, const char *url, const json_t *payload,
                      acme_answer_cb done, void *arg);
/* Ends what is under way without a word. */
void acme_client_cancel(struct acme_client *client);

/* "newAccount" and "newOrder" of the directory, once it is open; NULL: it has none. */
const char *acme_client_url(const struct acme_client *client, const char *name);
/* Whether an authority's word for a URL may be followed: as safe as the directory, at a host that
 * the directory names, not too long. */
bool acme_client_accepts(const struct acme_client *client, const char *url);

/* Fills in a sentence of ours. */
void acme_trouble_set(struct acme_trouble *trouble, enum acme_trouble_kind kind, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));
/* Reads a problem document (RFC 7807), such as stands in a failed challenge, too; NULL: none. */
void acme_trouble_read(struct acme_trouble *trouble, const json_t *problem);

#endif
