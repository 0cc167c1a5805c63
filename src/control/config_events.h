/* config_events.h - what GET /events says of the configuration and of this node's state.
 *
 *     {"type": "config.changed", "entity": "services", "id": "…", "name": "users", "op": "put",
 *      "by": "this node"}
 *     {"type": "config.published", "version": 7, "services": 3, "routes": 5, "build_ms": 1.25}
 *     {"type": "config.failed", "at": "routes", "why": "…"}
 *     {"type": "node.state", "state": "degraded"}
 *
 * No value of a row but its name is told.
 *
 * Thread: control. Memory: none. */
#ifndef CONTROL_CONFIG_EVENTS_H
#define CONTROL_CONFIG_EVENTS_H

#include "base/error.h"
#include "health/events.h"
#include "model/config.h"
#include "model/snapshot.h"

/* Rows of one commit that are told one by one; of a larger one its size is told. */
#define CONFIG_EVENTS_MAX_ROWS 50

/* A commit of this node's, which is in the configuration. */
void config_events_commit(struct events *events, const struct config_change *change);
/* A row that another node has changed; it is in the configuration, or gone from it. */
void config_events_row(struct events *events, const struct config *config, const char *kind,
                       const char *id);
/* So many rows more than were told have changed. */
void config_events_more(struct events *events, size_t count, const char *by);
void config_events_published(struct events *events, const struct snapshot *snapshot,
                             uint64_t build_ns);
void config_events_failed(struct events *events, const struct error *err);
void config_events_state(struct events *events, const char *state);

#endif
