#include "control/kong.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "control/setting.h"

#define MARK "_WEIR_AS_KONG=1" /* not WEIR_…: it is no setting */
#define VALUE_MAX_BYTES 65536  /* of a value in a file */

bool kong_is_called(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
    return argv0 && strcmp(slash ? slash + 1 : argv0, "kong") == 0;
}

/* ---- the command line ---- */

static const char *command_of(const char *name)
{
    if (strcmp(name, "start") == 0 || strcmp(name, "docker-start") == 0)
        return "run";
    return name;
}

/* Flags of Kong's that ask for nothing here. */
static const struct {
    const char *name;
    bool has_value;
} ignored[] = {
    {"-p", true},   {"--prefix", true}, {"--nginx-conf", true}, {"--db-timeout", true},
    {"--v", false}, {"--vv", false},    {"--no-prompt", false},
};

static bool is_flag(const char *arg, const char *name)
{
    size_t len = strlen(name);
    return strncmp(arg, name, len) == 0 && (arg[len] == '\0' || arg[len] == '=');
}

/* How many arguments the flag at args[0] takes, if it is one to ignore; else 0. */
static size_t ignored_count(char *const *args)
{
    for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
        if (is_flag(args[0], ignored[i].name))
            return ignored[i].has_value && !strchr(args[0], '=') && args[1] ? 2 : 1;
    return 0;
}

int kong_translate(char *const *args, char ***ret)
{
    size_t count = 0, used;
    while (args[count])
        count++;
    char **ours = calloc(count + 2, sizeof(*ours));
    if (!ours)
        return UV_ENOMEM;
    count = 0;
    ours[count++] = (char *)command_of(args[0] ? args[0] : "help");
    for (args += args[0] != NULL; *args && strcmp(*args, "&&") != 0; args += used) {
        used = ignored_count(args);
        if (used > 0)
            continue;
        used = 1;
        if (strcmp(*args, "--run-migrations") == 0)
            ours[count++] = "--migrate=auto";
        else if (strcmp(*args, "--conf") == 0)
            ours[count++] = "--config";
        else
            ours[count++] = *args;
    }
    *ret = ours;
    return 0;
}

/* ---- the environment ---- */

static const char *find(char *const *environment, struct str name, const char *tail)
{
    size_t len = strlen(tail);
    for (; *environment; environment++)
        if (strncmp(*environment, name.ptr, name.len) == 0 &&
            strncmp(*environment + name.len, tail, len) == 0 &&
            (*environment)[name.len + len] == '=')
            return *environment + name.len + len + 1;
    return NULL;
}

static bool has(char *const *environment, const char *name)
{
    const char *value = find(environment, str_of(name), "");
    return value && value[0];
}

char **kong_mark_environment(char *const *environment)
{
    size_t count = 0;
    while (environment[count])
        count++;
    char **table = calloc(count + 2, sizeof(*table));
    if (!table)
        return NULL;
    memcpy(table, environment, count * sizeof(*table));
    table[count] = MARK;
    return table;
}

static bool kongs_apply(char *const *environment)
{
    if (has(environment, "WEIR_DATABASE") || has(environment, "WEIR_PG_HOST"))
        return false;
    return has(environment, "_WEIR_AS_KONG") || has(environment, "KONG_DATABASE") ||
           has(environment, "KONG_PG_HOST");
}

const char *kong_initial(const char *setting, char *const *environment)
{
    static const char *const initials[][2] = {
        {"database", "postgres"}, {"pg_user", "kong"}, {"pg_database", "kong"}};
    for (size_t i = 0; i < sizeof(initials) / sizeof(*initials); i++)
        if (strcmp(setting, initials[i][0]) == 0)
            return kongs_apply(environment) ? initials[i][1] : NULL;
    return NULL;
}

static int read_value(const char *source, const char *path, char **ret, struct error *err)
{
    char *text = malloc(VALUE_MAX_BYTES + 1);
    FILE *file = fopen(path, "re");
    int rc = text ? 0 : UV_ENOMEM;
    if (!file) {
        rc = uv_translate_sys_error(errno);
        error_set(err, source, "can't read %s: %s", path, uv_strerror(rc));
    }
    if (rc == 0) {
        size_t len = fread(text, 1, VALUE_MAX_BYTES + 1, file);
        if (ferror(file) || len > VALUE_MAX_BYTES || memchr(text, '\0', len)) {
            error_set(err, source,
                      "must name a file with one value of at most %d bytes; %s is none",
                      VALUE_MAX_BYTES, path);
            rc = UV_EINVAL;
        } else {
            while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
                len--;
            text[len] = '\0';
        }
    }
    if (file)
        fclose(file);
    if (rc) {
        free(text);
        return rc;
    }
    *ret = text;
    return 0;
}

/* A variable of its own that only ends like those that name files. */
static bool is_variable(const char *text)
{
    for (unsigned i = 0; i < setting_count; i++) {
        struct str names = str_of(settings[i].kong);
        while (names.len > 0)
            if (str_equal(str_cut(&names, ' '), str_of(text)))
                return true;
    }
    return false;
}

int kong_read_file_variable(char *const *environment, struct str name, const char *value,
                            char **ret, struct error *err)
{
    char source[96];
    const char *path = find(environment, name, "_FILE");
    *ret = NULL;
    if (!path || !path[0])
        return 0;
    snprintf(source, sizeof(source), "%.*s_FILE", STR_ARG(name));
    if (is_variable(source))
        return 0;
    if (value && value[0]) {
        error_set(err, source, "and %.*s are both set; one of them must go", STR_ARG(name));
        return UV_EINVAL;
    }
    return read_value(source, path, ret, err);
}
