/* acme_lease.h - whose turn it is to speak to the authority, of the nodes of one database: a row
 * that its holder renews. A holder that has gone is known by a row that doesn't change; how long
 * that was, each node sees on its own clock, so that theirs need not agree.
 *
 * Thread: control. Memory: embedded, until no write is under way. */
#ifndef CONTROL_ACME_LEASE_H
#define CONTROL_ACME_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "model/config.h"

#define ACME_LEASE_MS 15000
#define ACME_LEASE_RENEW_MS 5000

struct acme_lease {
    struct config_write write;
    const struct config *config;
    config_submit_cb submit;
    void *control;
    const char *node; /* who we are; borrowed */
    bool is_held, is_writing, is_releasing, has_looked;
    uint64_t written_ms;        /* when the write under way began */
    uint64_t renewed_ms;        /* when the last one that succeeded did */
    char own[UUID_TEXT_BYTES];  /* the row's token, while it is held */
    char next[UUID_TEXT_BYTES]; /* the one that is being written */
    char left[UUID_TEXT_BYTES]; /* what our last life had, at the first look; empty: nothing */
    char seen[UUID_TEXT_BYTES]; /* another's, and since when it is there */
    uint64_t seen_ms;
};

/* A zeroed one is not held. */
void acme_lease_init(struct acme_lease *lease, const struct config *config, config_submit_cb submit,
                     void *control, const char *node);

/* To be called again and again while there is something to do: takes the lease when it is free,
 * renews it while it is held, and notices when it is lost. True: it is held at this moment. */
bool acme_lease_want(struct acme_lease *lease, uint64_t now_ms);
/* Gives it back, if it is held, and takes what answered validations out of the database. */
void acme_lease_release(struct acme_lease *lease);
/* Who has it; NULL: nobody. Borrowed. */
const char *acme_lease_holder(const struct acme_lease *lease);

#endif
