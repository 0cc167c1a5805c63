/* cli.h - the commands of the binary: run, health, migrations, config, version, help.
 *
 * Thread: the process's first. */
#ifndef CONTROL_CLI_H
#define CONTROL_CLI_H

/* Carries out the command that the arguments name, with `environment` as environ. Returns the
 * process's exit code: 0 is success, 1 any failure, which has been printed as one line on standard
 * error; `migrations list` has codes of its own. */
int cli_main(int argc, char *const *argv, char *const *environment);

#endif
