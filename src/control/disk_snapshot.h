/* disk_snapshot.h - the configuration in a file of the data folder, for a start without the
 * database.
 *
 *     weir snapshot 1 <sequence> <rows>
 *     <kind> TAB <id> TAB <row as JSON>
 *     …
 *
 * Written by libuv's pool a moment after the last of some changes, aside, and moved into place once
 * it is on the disk: what is there is whole.
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_DISK_SNAPSHOT_H
#define CONTROL_DISK_SNAPSHOT_H

#include <stdint.h>

#include <uv.h>

#include "base/error.h"

struct config;
struct disk_snapshot;

/* Borrows config, which must live until disk_snapshot_destroy. 0, or a negative UV_E…. */
int disk_snapshot_create(uv_loop_t *loop, const char *data_dir, const struct config *config,
                         struct disk_snapshot **ret);
/* The configuration has changed; `sequence` says up to what. NULL is fine. */
void disk_snapshot_touch(struct disk_snapshot *snapshot, uint64_t sequence);
/* Writes what is not written, and then keeps the loop alive no longer. NULL is fine. */
void disk_snapshot_stop(struct disk_snapshot *snapshot);
/* After disk_snapshot_stop, when the loop has ended. */
void disk_snapshot_destroy(struct disk_snapshot *snapshot);

/* Runs row() for every row of the file. Blocks: for start-up. 0, UV_ENOENT: there is none; or a
 * negative UV_E…, both with *err; stops early with what `row` returns when that is not 0. */
int disk_snapshot_load(const char *data_dir,
                       int (*row)(void *arg, const char *kind, const char *id, const char *body),
                       void *arg, struct error *err);

#endif
