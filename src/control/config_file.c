#include "control/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <uv.h>

#include "control/commit.h"
#include "control/config_text.h"
#include "control/options.h"
#include "model/declarative.h"

static const char usage[] =
    "Usage: weir config export FILE [settings of run]\n"
    "       weir config import [--dry-run] FILE [settings of run]\n"
    "       weir config validate FILE\n"
    "\n"
    "  export    write all configuration into a new file: JSON where it is called ….json, else "
    "YAML\n"
    "            (-: YAML, on standard output)\n"
    "  import    take a file (-: standard input) into the database, all of it or nothing. What "
    "it\n"
    "            changes is printed first; what it doesn't name stays\n"
    "            --dry-run: prints that, and changes nothing\n"
    "  validate  check a file by itself, without a database\n"
    "\n"
    "Files are Kong's, with _format_version 3.0, and decK's.\n";

enum command { COMMAND_EXPORT, COMMAND_IMPORT, COMMAND_VALIDATE };

struct session {
    uv_loop_t loop;
    struct store *store;
    struct config *config;
    bool is_closed;
};

static void on_closed(void *arg)
{
    ((struct session *)arg)->is_closed = true;
}

static void close_session(struct session *session)
{
    if (session->store)
        store_close(session->store, on_closed, session);
    uv_run(&session->loop, UV_RUN_DEFAULT);
    uv_loop_close(&session->loop);
    config_destroy(session->config);
}

static int take_row(void *arg, const char *kind, const char *id, const char *body)
{
    return config_load(arg, kind, id, body);
}

/* Everything that the database holds, in memory. */
static int open_session(struct session *session, const struct options *options, struct error *err)
{
    struct store_settings settings;
    options_store_settings(options, &settings);
    *session = (struct session){.store = NULL};
    if (settings.engine == STORE_MEMORY) {
        error_set(err, "", "there is no database (it is off); POST the file to /config");
        return UV_EINVAL;
    }
    int rc = uv_loop_init(&session->loop);
    if (rc)
        return rc;
    rc = config_create(&session->config);
    if (rc == 0)
        rc = store_open(&session->loop, &settings, &session->store, err);
    if (rc == 0)
        rc = store_load_all(session->store, take_row, session->config, err);
    if (rc < 0)
        close_session(session);
    return rc;
}

/* ---- export ---- */

static bool ends_with(const char *path, const char *end)
{
    return str_ends_with(str_of(path), str_of(end));
}

static int write_file(const char *text, const char *path, struct error *err)
{
    bool is_stdout = strcmp(path, "-") == 0;
    FILE *out = is_stdout ? stdout : fopen(path, "wxe"); /* never over what is there */
    int failed = !out || fputs(text, out) == EOF || fflush(out) != 0;
    int rc = failed ? uv_translate_sys_error(errno) : 0;
    if (out && !is_stdout && fclose(out) != 0 && rc == 0)
        rc = uv_translate_sys_error(errno);
    if (rc < 0)
        error_set(err, path, "can't be written: %s", uv_strerror(rc));
    return rc;
}

static int export_all(struct session *session, const char *path, struct error *err)
{
    json_t *file = declarative_export(session->config);
    char *text = NULL;
    if (file && ends_with(path, ".json"))
        text = json_dumps(file, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    else if (file)
        text = declarative_to_yaml(file);
    int rc = text ? write_file(text, path, err) : UV_ENOMEM;
    free(text);
    json_decref(file);
    return rc;
}

/* ---- import ---- */

struct import {
    struct config_write write; /* first: a write is its import */
    const struct declarative *file;
    const char *path;
    struct declarative_problems problems;
    struct declarative_counts counts;
    bool is_dry;
    bool is_told; /* what it changes has been printed */
    int rc;
    bool is_done;
};

static int plan_import(struct config_write *write, const struct config *config)
{
    struct import *import = (struct import *)(void *)write;
    config_change_deinit(&write->change);
    declarative_problems_deinit(&import->problems);
    int rc = declarative_plan(import->file, config, false, &write->change, &import->counts,
                              &import->problems);
    if (rc == 0 && !import->is_told)
        config_text_print_change(stdout, config, &write->change);
    import->is_told = true;
    if (rc == 0 && import->is_dry)
        config_change_deinit(&write->change);
    return rc;
}

static void on_import_done(struct config_write *write, int rc)
{
    struct import *import = (struct import *)(void *)write;
    import->rc = rc;
    import->is_done = true;
}

static void publish_nothing(void *control, const struct config_change *change)
{
    (void)control, (void)change;
}

static void explain(int rc, struct error *err)
{
    const char *why =
        rc == UV_EEXIST ? "another entity has a name of the file"
        : rc == UV_ENOENT
            ? "an entity that is referred to is neither in the file nor in the database"
            : uv_strerror(rc);
    error_set(err, "", "nothing was imported: %s", why);
}

static int commit_import(struct session *session, struct import *import, struct error *err)
{
    struct committer *committer = NULL;
    int rc = committer_create(session->config, session->store, publish_nothing, NULL, &committer);
    if (rc)
        return rc;
    committer_submit(committer, &import->write);
    while (!import->is_done)
        uv_run(&session->loop, UV_RUN_ONCE);
    committer_destroy(committer);
    if (import->rc && import->problems.count > 0)
        config_text_report(&import->problems, import->path, err);
    else if (import->rc)
        explain(import->rc, err);
    return import->rc;
}

static int import_all(struct session *session, const struct declarative *file, const char *path,
                      bool is_dry, struct error *err)
{
    struct import import = {.write = {.plan = plan_import, .done = on_import_done},
                            .file = file,
                            .path = path,
                            .is_dry = is_dry};
    int rc = commit_import(session, &import, err);
    if (rc == 0)
        printf("%s: %zu created, %zu changed, %zu unchanged\n",
               is_dry ? "nothing was imported; it would be" : "imported", import.counts.created,
               import.counts.changed, import.counts.unchanged);
    config_change_deinit(&import.write.change);
    declarative_problems_deinit(&import.problems);
    return rc;
}

/* ---- validate ---- */

static int validate(const struct declarative *file, const char *path, struct error *err)
{
    struct config *nothing = NULL;
    struct config_change change = {0};
    struct declarative_counts counts;
    struct declarative_problems problems = {0};
    int rc = config_create(&nothing);
    if (rc == 0)
        rc = declarative_plan(file, nothing, true, &change, &counts, &problems);
    if (problems.count > 0)
        config_text_report(&problems, path, err);
    if (rc == 0)
        printf("parse successful: %zu entities\n", counts.created);
    declarative_problems_deinit(&problems);
    config_change_deinit(&change);
    config_destroy(nothing);
    return rc;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    enum command command;
} commands[] = {
    {"export", COMMAND_EXPORT},     {"db_export", COMMAND_EXPORT}, {"db-export", COMMAND_EXPORT},
    {"import", COMMAND_IMPORT},     {"db_import", COMMAND_IMPORT}, {"db-import", COMMAND_IMPORT},
    {"validate", COMMAND_VALIDATE}, {"parse", COMMAND_VALIDATE},
};

static int find_command(const char *name, enum command *ret, struct error *err)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0) {
            *ret = commands[i].command;
            return 0;
        }
    error_set(err, name, "is not a command of config; it must be export, import or validate");
    return UV_EINVAL;
}

static int with_database(enum command command, const struct declarative *file, const char *path,
                         bool is_dry, char *const *flags, char *const *environment,
                         struct error *err)
{
    struct options options;
    struct session session;
    int rc = options_init(&options, flags, environment, err);
    if (rc < 0)
        return rc;
    log_set_level(LOG_WARN); /* what is printed is the file, or the difference */
    rc = open_session(&session, &options, err);
    if (rc == 0) {
        rc = command == COMMAND_EXPORT ? export_all(&session, path, err)
                                       : import_all(&session, file, path, is_dry, err);
        close_session(&session);
    }
    options_deinit(&options);
    return rc;
}

int config_file_main(char *const *args, char *const *environment, struct error *err)
{
    const char *name = args[0] ? args[0] : "help";
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    enum command command;
    if (find_command(name, &command, err))
        return -1;
    args++;
    bool is_dry = *args && strcmp(*args, "--dry-run") == 0;
    args += is_dry;
    const char *path = *args;
    if (!path || strncmp(path, "--", 2) == 0) {
        error_set(err, name, "needs a file");
        return -1;
    }
    args++;
    if (!is_dry && *args && strcmp(*args, "--dry-run") == 0) {
        is_dry = true;
        args++;
    }
    if (is_dry && command != COMMAND_IMPORT) {
        error_set(err, "--dry-run", "is a flag of import");
        return -1;
    }
    struct declarative *file = NULL;
    int rc = command == COMMAND_EXPORT ? 0 : config_text_read(path, &file, err);
    if (rc == 0 && command == COMMAND_VALIDATE)
        rc = validate(file, path, err);
    else if (rc == 0)
        rc = with_database(command, file, path, is_dry, args, environment, err);
    declarative_destroy(file);
    return rc < 0 ? -1 : 0;
}
