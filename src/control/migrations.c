#include "control/migrations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

#include "base/str.h"
#include "control/options.h"
#include "store/migrations.h"

#define LOCK_TIMEOUT_S 60

static const char usage[] =
    "Usage: weir migrations COMMAND [-y] [-q] [--lock-timeout SECONDS] [settings of run]\n"
    "\n"
    "  bootstrap  set the database up; does nothing where that was done\n"
    "  up         bring a database that is behind up to date\n"
    "  list       name the migrations; exits with 3 when the database must be set up, 5 when it "
    "is\n"
    "             behind, 0 when it is up to date\n"
    "  status     the same as JSON, always exits with 0\n"
    "  reset      remove all configuration; asks, unless -y is given\n"
    "\n"
    "All may be run by several nodes at once: one does the work while the others wait, for\n"
    "--lock-timeout seconds (default: 60).\n";

struct request {
    struct store_settings settings;
    int lock_timeout_s;
    bool is_quiet;
    bool is_confirmed;
};

static void say(const struct request *request, const char *text)
{
    if (!request->is_quiet)
        puts(text);
}

/* Takes our own flags out of `args`; what is left goes to flags[], which has room for all. */
static int take_flags(char *const *args, char **flags, struct request *request, struct error *err)
{
    size_t count = 0;
    for (; *args; args++) {
        const char *arg = *args;
        uint64_t seconds;
        if (strcmp(arg, "-y") == 0 || strcmp(arg, "--yes") == 0) {
            request->is_confirmed = true;
        } else if (strcmp(arg, "-q") == 0 || strcmp(arg, "--quiet") == 0) {
            request->is_quiet = true;
        } else if (strcmp(arg, "-f") == 0 || strcmp(arg, "--force") == 0) {
            continue; /* nothing is ever half done, so that there is nothing to force */
        } else if (strncmp(arg, "--lock-timeout", 14) == 0 && (arg[14] == '=' || !arg[14])) {
            const char *value = arg[14] ? arg + 15 : args[1];
            if (!value || !str_to_u64(str_of(value), &seconds) || seconds == 0 || seconds > 86400) {
                error_set(err, "--lock-timeout", "must be 1 to 86400 seconds");
                return UV_EINVAL;
            }
            request->lock_timeout_s = (int)seconds;
            args += !arg[14];
        } else {
            flags[count++] = *args;
        }
    }
    flags[count] = NULL;
    return 0;
}

/* ---- the commands ---- */

static int refuse_ahead(int version, int count, struct error *err)
{
    error_set(err, "",
              "the database is ahead: its shape is %d, this weir knows %d: run a newer weir",
              version, count);
    return -1;
}

static int bootstrap(const struct request *request, struct error *err)
{
    int version;
    if (migrations_up(&request->settings, request->lock_timeout_s, &version, err) < 0)
        return -1;
    say(request, version > 0 ? "Database already bootstrapped" : "Database is up-to-date");
    return 0;
}

static int up(const struct request *request, struct error *err)
{
    int version, count = migrations_count(request->settings.engine);
    if (migrations_status(&request->settings, &version, err) < 0)
        return -1;
    if (version == 0) {
        error_set(err, "", "the database has not been set up: run `weir migrations bootstrap`");
        return -1;
    }
    if (migrations_up(&request->settings, request->lock_timeout_s, &version, err) < 0)
        return -1;
    if (version == count)
        say(request, "Database is already up-to-date");
    else if (!request->is_quiet)
        printf("%d migrations processed\nDatabase is up-to-date\n", count - version);
    return 0;
}

static int list(const struct request *request, struct error *err)
{
    int version, count = migrations_count(request->settings.engine);
    if (migrations_status(&request->settings, &version, err) < 0)
        return -1;
    if (version > count)
        return refuse_ahead(version, count, err);
    for (int i = 0; !request->is_quiet && i < count; i++)
        printf("%s  %d  %s\n", i < version ? "executed" : "new     ", i + 1,
               migrations_name(request->settings.engine, i));
    if (version == 0) {
        say(request, "Database needs bootstrapping; run `weir migrations bootstrap`");
        return MIGRATIONS_NEEDS_BOOTSTRAP;
    }
    if (version < count) {
        say(request, "New migrations available; run `weir migrations up`");
        return MIGRATIONS_NEEDS_UP;
    }
    say(request, "Database is up-to-date");
    return MIGRATIONS_CURRENT;
}

static int add_migrations(json_t *object, const char *key, enum store_engine_kind engine, int from,
                          int to)
{
    json_t *names = json_array();
    for (int i = from; i < to; i++)
        json_array_append_new(names, json_string(migrations_name(engine, i)));
    return json_object_set_new(object, key, names);
}

static int status(const struct request *request, struct error *err)
{
    enum store_engine_kind engine = request->settings.engine;
    int version, count = migrations_count(engine);
    if (migrations_status(&request->settings, &version, err) < 0)
        return -1;
    const char *state = version == 0      ? "needs_bootstrap"
                        : version < count ? "behind"
                        : version > count ? "ahead"
                                          : "up_to_date";
    json_t *object = json_pack("{s:s, s:s, s:i, s:i}", "database",
                               engine == STORE_POSTGRES ? "postgres" : "sqlite", "state", state,
                               "version", version, "version_of_this_weir", count);
    int done = version < count ? version : count;
    char *text = NULL;
    if (object && add_migrations(object, "executed_migrations", engine, 0, done) == 0 &&
        add_migrations(object, "new_migrations", engine, done, count) == 0)
        text = json_dumps(object, JSON_INDENT(2));
    json_decref(object);
    if (!text) {
        error_set(err, "", "out of memory");
        return -1;
    }
    puts(text);
    free(text);
    return 0;
}

static int reset(const struct request *request, struct error *err)
{
    char answer[8] = "";
    if (!request->is_confirmed) {
        if (!isatty(STDIN_FILENO)) {
            error_set(err, "-y", "is needed to remove all configuration where nobody can be asked");
            return -1;
        }
        printf("Remove all configuration for good? [y/N] ");
        fflush(stdout);
        if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
            puts("Nothing was removed");
            return 1;
        }
    }
    if (migrations_reset(&request->settings, err) < 0)
        return -1;
    say(request, "Database successfully reset");
    return 0;
}

static int finish(const struct request *request, struct error *err)
{
    (void)err;
    say(request, "No pending migrations to finish");
    return 0;
}

static const struct {
    const char *name;
    int (*carry_out)(const struct request *request, struct error *err);
} commands[] = {
    {"bootstrap", bootstrap}, {"up", up},         {"list", list},
    {"status", status},       {"finish", finish}, {"reset", reset},
};

int migrations_main(char *const *args, char *const *environment, struct error *err)
{
    const char *name = args[0] ? args[0] : "help";
    size_t i = 0, count = 0;
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    while (i < sizeof(commands) / sizeof(*commands) && strcmp(name, commands[i].name) != 0)
        i++;
    if (i == sizeof(commands) / sizeof(*commands)) {
        error_set(
            err, name,
            "is not a command of migrations; it must be bootstrap, up, list, status or reset");
        return -1;
    }

    while (args[count])
        count++;
    struct request request = {.lock_timeout_s = LOCK_TIMEOUT_S};
    struct options options;
    int code = -1;
    char **flags = calloc(count + 1, sizeof(*flags));
    if (!flags) {
        error_set(err, "", "out of memory");
        return -1;
    }
    if (take_flags(args + 1, flags, &request, err) == 0 &&
        options_init(&options, flags, environment, err) == 0) {
        options_store_settings(&options, &request.settings);
        code = commands[i].carry_out(&request, err);
        options_deinit(&options);
    }
    free(flags);
    return code;
}
