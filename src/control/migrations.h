/* migrations.h - `weir migrations …`: the database's shape from the command line, with the words
 * and exit codes that scripts know from Kong.
 *
 * Thread: the process's first. */
#ifndef CONTROL_MIGRATIONS_H
#define CONTROL_MIGRATIONS_H

#include "base/error.h"

/* What `list` exits with; 1 is any failure. */
enum migrations_exit {
    MIGRATIONS_CURRENT = 0,
    MIGRATIONS_NEEDS_BOOTSTRAP = 3,
    MIGRATIONS_NEEDS_UP = 5,
};

/* Carries out what args (after "migrations", ending with NULL) and the settings say. Returns the
 * exit code, or -1 with *err. */
int migrations_main(char *const *args, char *const *environment, struct error *err);

#endif
