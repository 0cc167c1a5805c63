/* config_text.h - declarative files as people meet them: on disk, and as lines of what is wrong
 * with them and of what they change.
 *
 * Thread: control. */
#ifndef CONTROL_CONFIG_TEXT_H
#define CONTROL_CONFIG_TEXT_H

#include <stdio.h>

#include "base/error.h"
#include "model/declarative.h"

/* All of a file (-: standard input), of at most 64 MiB; owned. 0 or a negative UV_E… with *err. */
int config_text_load(const char *path, char **ret, size_t *ret_len, struct error *err);
/* Reads the file's entities; problems are printed as config_text_report does. */
int config_text_read(const char *path, struct declarative **ret, struct error *err);

/* Prints each problem on standard error, "kong.yml:12: services "orders": port: …", all but the
 * last of them as further lines; and says in *err how it ended. */
void config_text_report(const struct declarative_problems *problems, const char *path,
                        struct error *err);

/* A line for each entity: "+ services orders", "~ routes r: paths, hosts", "- …". Names of fields,
 * no values: some are secret. */
void config_text_print_change(FILE *out, const struct config *config,
                              const struct config_change *change);

#endif
