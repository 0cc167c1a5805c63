/* preflight.h - what a node can find wrong with its surroundings before it touches anything of its
 * own.
 *
 * Thread: control, at start. */
#ifndef CONTROL_PREFLIGHT_H
#define CONTROL_PREFLIGHT_H

#include "base/error.h"

struct options;

/* Tries every address to listen on and the access log. 0, or a negative UV_E… with *err naming the
 * setting. */
int preflight_check(const struct options *options, struct error *err);

#endif
