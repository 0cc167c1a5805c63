/* file_config.h - the configuration of a node without a database: a file (or a text) says all of
 * it, at start and again when the node is told to reload.
 *
 * Thread: control. */
#ifndef CONTROL_FILE_CONFIG_H
#define CONTROL_FILE_CONFIG_H

#include <stdbool.h>

#include "base/error.h"
#include "model/config.h"
#include "model/declarative.h"

struct options;

struct file_config {
    const struct options *options;     /* NULL: the node has a database */
    char hash[DECLARATIVE_HASH_BYTES]; /* of what the node was told last; POST /config sets it */
    char own_hash[DECLARATIVE_HASH_BYTES]; /* of what the file said when it was read last */
};

/* Before the first snapshot is built: takes what the settings name into the configuration, which is
 * empty. 0, or a negative UV_E… with *err (further problems are printed). Does nothing where there
 * is a database, or nothing is named. */
int file_config_load(struct file_config *file, const struct options *options, struct config *config,
                     struct error *err);

/* Reads the file again; what is wrong with it is logged, and changes nothing. */
void file_config_reload(struct file_config *file, config_submit_cb submit, void *control);

/* Whether another process that reads the file has what this one has. */
bool file_config_is_in_force(const struct file_config *file);

#endif
