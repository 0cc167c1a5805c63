#include "control/file_config.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "base/log.h"
#include "control/config_text.h"
#include "control/options.h"

/* The text that the settings name; *ret NULL: none. */
static int load_text(const struct options *options, char **ret, size_t *ret_len, struct error *err)
{
    *ret = NULL;
    *ret_len = 0;
    if (options->declarative_config)
        return config_text_load(options->declarative_config, ret, ret_len, err);
    if (!options->declarative_config_string)
        return 0;
    *ret = strdup(options->declarative_config_string);
    *ret_len = *ret ? strlen(*ret) : 0;
    return *ret ? 0 : UV_ENOMEM;
}

static const char *name_of(const struct options *options)
{
    return options->declarative_config ? options->declarative_config
                                       : "WEIR_DECLARATIVE_CONFIG_STRING";
}

static int read_and_plan(struct file_config *file, const char *text, size_t len,
                         const struct config *config, struct config_change *change,
                         struct error *err)
{
    struct declarative *declarative = NULL;
    struct declarative_counts counts;
    struct declarative_problems problems = {0};
    int rc = declarative_read(text, len, &declarative, &problems);
    if (rc == 0)
        rc = declarative_plan(declarative, config, true, change, &counts, &problems);
    if (problems.count > 0)
        config_text_report(&problems, name_of(file->options), err);
    declarative_problems_deinit(&problems);
    declarative_destroy(declarative);
    return rc;
}

int file_config_load(struct file_config *file, const struct options *options, struct config *config,
                     struct error *err)
{
    declarative_hash("", 0, file->hash);
    declarative_hash("", 0, file->own_hash);
    if (options->database != STORE_MEMORY)
        return 0;
    file->options = options;
    char *text;
    size_t len;
    struct config_change change = {0};
    int rc = load_text(options, &text, &len, err);
    if (rc || !text)
        return rc;
    rc = read_and_plan(file, text, len, config, &change, err);
    if (rc == 0) {
        config_apply(config, &change);
        declarative_hash(text, len, file->hash);
        declarative_hash(text, len, file->own_hash);
    }
    config_change_deinit(&change);
    free(text);
    return rc;
}

/* ---- again ---- */

struct reload {
    struct config_write write; /* first: a write is its reload */
    struct file_config *file;
    struct declarative *declarative;
    struct declarative_problems problems;
    char hash[DECLARATIVE_HASH_BYTES];
};

static void log_problems(const struct declarative_problems *problems, const char *path)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct declarative_problem *problem = &problems->list[i];
        log_error("the configuration's file is wrong; what it said before stays in force",
                  LOG_CSTR("file", path), LOG_INT("line", problem->line),
                  LOG_CSTR("where", problem->where ? problem->where : ""),
                  LOG_CSTR("why", problem->sentence ? problem->sentence : ""));
    }
}

static void reload_destroy(struct reload *reload)
{
    config_change_deinit(&reload->write.change);
    declarative_problems_deinit(&reload->problems);
    declarative_destroy(reload->declarative);
    free(reload);
}

static int plan(struct config_write *write, const struct config *config)
{
    struct reload *reload = (struct reload *)(void *)write;
    struct declarative_counts counts;
    config_change_deinit(&write->change);
    declarative_problems_deinit(&reload->problems);
    return declarative_plan(reload->declarative, config, true, &write->change, &counts,
                            &reload->problems);
}

static void done(struct config_write *write, int rc)
{
    struct reload *reload = (struct reload *)(void *)write;
    const char *path = name_of(reload->file->options);
    if (rc == 0) {
        memcpy(reload->file->hash, reload->hash, sizeof(reload->hash));
        memcpy(reload->file->own_hash, reload->hash, sizeof(reload->hash));
        log_notice("configuration read anew", LOG_CSTR("file", path),
                   LOG_CSTR("hash", reload->hash));
    } else if (reload->problems.count > 0) {
        log_problems(&reload->problems, path);
    } else {
        log_error("configuration was not read anew", LOG_CSTR("file", path),
                  LOG_CSTR("why", uv_strerror(rc)));
    }
    reload_destroy(reload);
}

void file_config_reload(struct file_config *file, config_submit_cb submit, void *control)
{
    if (!file->options || !file->options->declarative_config)
        return;
    char *text = NULL;
    size_t len = 0;
    struct error err = {.sentence = "out of memory"};
    struct reload *reload = calloc(1, sizeof(*reload));
    int rc = reload ? load_text(file->options, &text, &len, &err) : UV_ENOMEM;
    if (rc == 0)
        rc = declarative_read(text, len, &reload->declarative, &reload->problems);
    if (rc == 0) {
        reload->file = file;
        reload->write.plan = plan;
        reload->write.done = done;
        declarative_hash(text, len, reload->hash);
        submit(control, &reload->write);
    } else if (reload && reload->problems.count > 0) {
        log_problems(&reload->problems, name_of(file->options));
    } else {
        log_error("configuration was not read anew", LOG_CSTR("file", name_of(file->options)),
                  LOG_CSTR("why", err.sentence));
    }
    if (rc && reload)
        reload_destroy(reload);
    free(text);
}

bool file_config_is_in_force(const struct file_config *file)
{
    return strcmp(file->hash, file->own_hash) == 0;
}
