/* acme_rows.h - what ACME keeps in the database: reads its rows, writes them like any request of
 * the Admin API, and makes of those that answer validations what workers look at.
 *
 * Thread: control. Memory: a block for each write, gone with its callback. */
#ifndef CONTROL_ACME_ROWS_H
#define CONTROL_ACME_ROWS_H

#include <stdbool.h>

#include "model/config.h"

struct snapshot;

#define ACME_OFTEN_WITHIN_S (7 * 86400) /* of acme_histories: what is counted together */
#define ACME_TAG "managed-by-acme"      /* of certificates; Kong's word */

struct acme_rows {
    const struct config *config;
    config_submit_cb submit;
    void *control;
};

/* 0, or a negative UV_E…. May be called before the write returns. */
typedef void (*acme_written_cb)(void *arg, int rc);

/* The row of that key, borrowed; NULL: none. */
const json_t *acme_rows_find(const struct config *config, const char *entity, const char *key);

/* Makes the row of that key have these fields; `input` is taken over (NULL: memory was short). With
 * only_new a row that is there stays as it is. */
void acme_rows_put(const struct acme_rows *rows, const char *entity, const char *key, json_t *input,
                   bool only_new, acme_written_cb done, void *arg);

/* Puts the certificate in the place of the host's, or makes one with its sni; forgets what
 * failed before, and notes when and how often it has got one. UV_EPERM: the host's certificate is
 * somebody else's by now. UV_EALREADY: it is ours and newer, from another node. */
void acme_rows_store(const struct acme_rows *rows, const char *host, const char *chain,
                     const char *key, acme_written_cb done, void *arg);

/* The certificate that the host's sni names, borrowed; NULL: none. */
const json_t *acme_rows_certificate(const struct config *config, const char *host);
/* Whether ACME has made it, and so may change it. */
bool acme_rows_is_ours(const json_t *certificate);

/* Plans to remove what answered validations. 0 or a negative UV_E…. */
int acme_rows_plan_purge(const struct config *config, struct config_change *change);

/* What validations under way are to be answered, for workers. 0 or UV_ENOMEM. */
int acme_rows_compile(const struct config *config, struct snapshot *snapshot);

#endif
