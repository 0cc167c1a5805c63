/* acme_parts.h - what acme.c and acme_page.c share.
 *
 * Thread: control. */
#ifndef CONTROL_ACME_PARTS_H
#define CONTROL_ACME_PARTS_H

#include <time.h>

#include "base/random.h"
#include "control/acme.h"
#include "control/acme_lease.h"
#include "control/acme_order.h"
#include "control/acme_rows.h"

enum acme_host_state {
    ACME_HOST_MISSING = 0, /* it has no certificate */
    ACME_HOST_VALID,
    ACME_HOST_DUE,     /* it has one, and should get the next */
    ACME_HOST_FOREIGN, /* it has one that ACME has not made, and leaves alone */
};

struct acme_host {
    const char *name; /* in the acme's text */
    enum acme_host_state state;
    time_t from, until; /* of its certificate; 0: none */
    time_t renew_at;
    char certificate[UUID_TEXT_BYTES]; /* its id; empty: none */
    time_t spaced_until;               /* it has had so many of late that the next one waits */
    time_t not_before; /* what a failure that may not be in the database made of it */
};

struct acme {
    struct acme_settings settings;
    uv_timer_t timer;
    struct acme_client *client;
    struct acme_order order;
    struct acme_lease lease;
    struct acme_rows rows;
    struct random_state random;
    char *text; /* owned: the hosts' names */
    struct acme_host *hosts;
    unsigned host_count;
    uint64_t certificates, snis;  /* stamps of the tables that hosts were last read from */
    uint64_t histories, accounts; /* likewise, of spaced_until's and not_before's */
    char *bound_secret;           /* owned; NULL: none */
    size_t bound_secret_len;

    /* What is under way. */
    struct acme_host *current; /* NULL: nothing */
    struct evp_pkey_st *key;   /* owned: the account's */
    uint64_t number;           /* of the order; what comes late belongs to another */
    char *chain, *chain_key;   /* owned: issued, and not in the database yet */
    bool is_writing;           /* that, or the account's key */
    bool is_stopped;
    unsigned write_failures; /* in a row, of what is_writing stands for */
    uint64_t write_again_ms;

    time_t not_before; /* for all hosts: the authority wants to be left alone */
    uint64_t issued, failed;
    time_t error_at; /* the last one on this node; 0: none */
};

/* Whether the settings make sense together. 0 or UV_EINVAL with *err. */
int acme_check(const struct options *options, struct error *err);
/* The key of acme_eab_hmac_file, which the caller owns; *ret stays as it is where there is none. 0,
 * or a negative UV_E… with *err. */
int acme_read_secret(const struct options *options, char **ret, size_t *ret_len, struct error *err);

/* Brings what is known of the hosts up to date, as far as rows have changed. */
void acme_read_hosts(struct acme *acme, time_t now);
/* When the next attempt for a host may be; 0: never. */
time_t acme_next_attempt(const struct acme *acme, const struct acme_host *host);

#endif
