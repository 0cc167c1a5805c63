/* pg_setup.h - what comes before a connection is used: at start one that blocks, which migrates,
 * checks and loads; then the statements that each link begins with.
 *
 * Thread: the loop's. Memory: the boot connection is the engine's. */
#ifndef STORE_PG_SETUP_H
#define STORE_PG_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

struct error;
struct postgres;
struct store;
struct store_settings;

/* Connects, and sees to it that the schema is what this binary knows. Blocks. 0 with store->boot,
 * or a negative UV_E… with *err. */
int pg_setup_boot(struct postgres *store, const struct store_settings *settings, struct error *err);
/* store_load_all, over the boot connection. */
int pg_setup_load_all(struct store *base,
                      int (*row)(void *arg, const char *kind, const char *id, const char *body),
                      void *arg, struct error *err);

/* For pg_link_events; `arg` is the engine. */
bool pg_setup_writer(void *arg, PGconn *conn);
bool pg_setup_reader(void *arg, PGconn *conn);
int pg_setup_check(void *arg, const PGresult *result, char *why, size_t why_size);

#endif
