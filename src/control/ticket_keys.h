/* ticket_keys.h - secrets of TLS session tickets in the database: makes one for each period before
 * it begins, takes those out that no ticket needs any more, and gives them to the snapshot. So a
 * session is resumed at any node of the database, and by a node that was restarted.
 *
 * Each node does the same; the rows' unique keys let one of them win.
 *
 * Thread: control. Memory: embedded, until it is closed and no write is under way. */
#ifndef CONTROL_TICKET_KEYS_H
#define CONTROL_TICKET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "model/config.h"

struct tls_ticket_ring;

struct ticket_keys {
    uv_timer_t timer;
    struct config_write write;
    const struct config *config;
    config_submit_cb submit;
    void *control;
    uint32_t lifetime_s; /* of sessions; 0: not started */
    bool is_writing;
};

void ticket_keys_init(struct ticket_keys *keys, uv_loop_t *loop);
/* From now on looks a few times in each period. */
void ticket_keys_start(struct ticket_keys *keys, const struct config *config, uint32_t lifetime_s,
                       config_submit_cb submit, void *control);
void ticket_keys_close(struct ticket_keys *keys);

/* What rows of this lifetime amount to at this time; *ret is owned, NULL when there are none. 0 or
 * UV_ENOMEM. */
int ticket_keys_compile(const struct config *config, uint32_t lifetime_s, uint64_t now_s,
                        struct tls_ticket_ring **ret);

/* Plans what is missing and what is over, for its test. 0 or a negative UV_E…. */
int ticket_keys_plan(const struct config *config, uint32_t lifetime_s, uint64_t now_s,
                     struct config_change *change);

#endif
