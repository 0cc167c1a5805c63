/* plugin_compile.h - from plugins' rows to the chain of each route: of every plugin the most
 * specific row, in order of priority.
 *
 * Thread: control. Memory: chains hang on the snapshot's arena. */
#ifndef CONTROL_PLUGIN_COMPILE_H
#define CONTROL_PLUGIN_COMPILE_H

#include "base/arena.h"
#include "model/config.h"
#include "model/snapshot.h"

struct plugin_compiler;

/* 0 or UV_ENOMEM. Borrows all. */
int plugin_compiler_create(const struct config *config, struct arena *arena,
                           struct plugin_compiler **ret);
void plugin_compiler_destroy(struct plugin_compiler *compiler); /* NULL is fine */

/* Sets the route's plugins; NULL where none run. 0 or UV_ENOMEM. */
int plugin_compile_route(struct plugin_compiler *compiler, struct route *route);

#endif
