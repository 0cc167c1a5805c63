/* kong.h - what makes a compose file written for Kong work as it is: Kong's command name, its
 * defaults where they are not ours, and variables whose value is in a file, as its image reads
 * them.
 *
 * What its variables mean is in setting.c's table. Thread: the process's first. */
#ifndef CONTROL_KONG_H
#define CONTROL_KONG_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

/* Whether a program called `argv0` was started as "kong". */
bool kong_is_called(const char *argv0);

/* Translates Kong's command line, without its argv[0], to ours: `start` and `docker-start` are run,
 * flags that mean nothing here are left out, and what follows a "&&" (which a compose file without
 * a shell passes on) too. 0 and in *ret a vector that ends with NULL, whose texts are argv's own or
 * constant and which the caller frees, or UV_ENOMEM. */
int kong_translate(char *const *args, char ***ret);

/* A copy of the environment with the mark that makes Kong's defaults apply; the caller frees the
 * table, its texts are the old ones' own. NULL when memory is short. */
char **kong_mark_environment(char *const *environment);

/* Kong's default for the setting where it is another than ours and Kong's apply: to who calls us
 * kong, or has a Kong variable, but none of ours, that says where the database is. NULL: ours
 * holds. */
const char *kong_initial(const char *setting, char *const *environment);

/* The value of the variable `name` from the file that <name>_FILE names, without the ends of line
 * behind it. 0 and in *ret a text that the caller frees, or NULL when there is no such variable;
 * UV_ENOMEM; or an error with *err, also when both variables are set (`value`: of the plain one,
 * NULL when it isn't). */
int kong_read_file_variable(char *const *environment, struct str name, const char *value,
                            char **ret, struct error *err);

#endif
