/* watch.h - `weir watch`: the events of a running node on a terminal, for as long as anybody looks.
 *
 * Thread: the process's own; blocks. Memory: none that outlives the call. */
#ifndef CONTROL_WATCH_H
#define CONTROL_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

struct node_client;

struct watch_options {
    const struct node_client *client; /* borrowed */
    bool is_json;                     /* each event as it came, a line each */
    bool has_after;                   /* begin behind that event; else with what happens next */
    uint64_t after;
    FILE *out;
};

/* Follows the node's events, over its restarts too, until the process is told to end or nobody
 * reads `out` any more. The exit code: 1 when the node could not be reached at first. */
int watch_main(const struct watch_options *options);

int watch_help(struct buf *out);

/* One event, as JSON, as a line for people without its newline; colours by ANSI codes if
 * `is_colour`. Control characters of the event's come out as '?'. What is no event is printed as it
 * is. 0 or a negative UV_E…. */
int watch_format(const char *json, bool is_colour, struct buf *out);

#endif
