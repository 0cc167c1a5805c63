/* migrations.h - the shape of an engine's data, for the command line: seen, brought up to date,
 * removed. A node that starts does what it needs by store_open.
 *
 * Thread: any; all calls block. */
#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H

#include "store/store.h"

/* Shape i + 1 is what step i leaves behind. */
int migrations_count(enum store_engine_kind engine);
const char *migrations_name(enum store_engine_kind engine, int index);

/* *ret_version gets the shape of the data; 0: there is none. 0, or a negative UV_E… with *err as
 * from store_open. Changes nothing. */
int migrations_status(const struct store_settings *settings, int *ret_version, struct error *err);

/* Takes the missing steps; *ret_from gets the shape before. Safe to call from several nodes at
 * once: waits at most lock_timeout_s for others. UV_ENOTSUP: the data is ahead of this binary. */
int migrations_up(const struct store_settings *settings, int lock_timeout_s, int *ret_from,
                  struct error *err);

/* Removes all configuration for good, and what holds it. */
int migrations_reset(const struct store_settings *settings, struct error *err);

#endif
