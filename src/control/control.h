/* control.h - the node's one thread that owns the truth: it starts the workers, takes
 * configuration and discovery in, publishes snapshots, and stops it all.
 *
 * Thread: the process's first. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

struct options;

/* Runs the node until it is told to stop. Returns the process's exit code; what kept it from
 * starting has been printed. */
int control_run(const struct options *options);

#endif
