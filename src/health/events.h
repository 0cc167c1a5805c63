/* events.h - what happened lately to targets, discovery and configuration, in order: for GET
 * /events and for whoever comes late.
 *
 * Thread: control. Memory: the last EVENTS_KEPT texts. */
#ifndef HEALTH_EVENTS_H
#define HEALTH_EVENTS_H

#include <stdint.h>

#include <jansson.h>

#include "base/list.h"
#include "base/tally.h"

#define EVENTS_KEPT 256

struct events {
    char *texts[EVENTS_KEPT]; /* owned: JSON; the event with number n at n % EVENTS_KEPT */
    uint64_t next;            /* number of the next one; the first is 1 */
    struct list listeners;
    struct tally counts; /* by type; of targets also by what became of them, and why */
};

/* Embedded by who is told of events while they happen. */
struct events_listener {
    struct list link;
    void (*on_event)(struct events_listener *listener, uint64_t number, const char *text);
};

void events_init(struct events *events);
void events_deinit(struct events *events);
/* `event` (owned by the callee) gets a "time"; NULL is ignored. */
void events_add(struct events *events, json_t *event);
/* The text of a number that is still kept; NULL: it is not. */
const char *events_text(const struct events *events, uint64_t number);

#endif
