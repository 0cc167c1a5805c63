/* saved.h - the last known targets of sources, kept in a file of the data folder for a start while
 * Consul is away; and in memory those of sources that nobody uses any more, for when they are used
 * again while it is.
 *
 * A change is written a second later, by a thread of libuv's pool, to a new file that then takes
 * the place of the old one.
 *
 * Thread: the control loop. Memory: owns what it has read, until the source has spoken itself. What
 * is to be written, or is kept, is text at once: as a tree it would be several times what is known.
 */
#ifndef DISCOVERY_SAVED_H
#define DISCOVERY_SAVED_H

#include <jansson.h>
#include <uv.h>

#include "discovery/source.h"

struct saved;

/* Tells saved_put of each source. */
typedef void (*saved_collect_cb)(void *owner);

/* Reads what is there; a file that makes no sense is logged and not used. It is written again every
 * `renew_ms` (0: an hour), so that what never changes does not grow old. 0 or UV_ENOMEM. */
int saved_create(uv_loop_t *loop, const char *data_dir, saved_collect_cb collect, void *owner,
                 uint64_t renew_ms, struct saved **ret);
/* Something has changed. */
void saved_touch(struct saved *saved);
/* What is due is collected now; it is written to the end before saved_close calls back. */
void saved_flush(struct saved *saved);
void saved_close(struct saved *saved, void (*closed)(void *arg), void *arg);

/* The targets that a source had, unless they are older than a week; the caller owns the list. NULL:
 * none. */
struct discovered_list *saved_find(struct saved *saved, struct str key);
/* The source is about to be closed: what it knows is kept for saved_find, for six hours, unless it
 * is too much for that (10,000 sources, 16 MiB): then the oldest goes. */
void saved_keep(struct saved *saved, const struct source *source);
/* Each source that at the start had targets which claim routes, by its key, unless it is older than
 * that. */
void saved_each_claiming(const struct saved *saved, void (*on_key)(void *arg, struct str key),
                         void *arg);
/* Within saved_collect_cb: writes what the source knows now, or what was read of it. */
void saved_put(struct saved *saved, const struct source *source);

#endif
