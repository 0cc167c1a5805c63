/* config_file.h - `weir config export`, `import` and `validate`: all configuration as one file,
 * YAML or JSON, in Kong's declarative format (model/declarative.h).
 *
 * An import is one transaction: what the file says is created or changed, everything else stays.
 * What it changes is printed, before it does.
 *
 * Thread: the process's first. */
#ifndef CONTROL_CONFIG_FILE_H
#define CONTROL_CONFIG_FILE_H

#include "base/error.h"

/* Carries out what args (after "config", ending with NULL) and the settings say. Returns the exit
 * code, or -1 with *err. */
int config_file_main(char *const *args, char *const *environment, struct error *err);

#endif
