#include "control/plugin_notice.h"

#include "base/log.h"
#include "model/config.h"
#include "model/row.h"
#include "plugins/registry.h"

#define NOTICE "a plugin is configured that does nothing yet"
#define NOTICE_OF_PART "a plugin's configuration asks for what it does not do yet"

static bool is_on(const char *kind, const json_t *row)
{
    return strcmp(kind, "plugins") == 0 && !json_is_false(json_object_get(row, "enabled"));
}

/* The part of its configuration that isn't carried out; NULL: none, or nothing of it is. */
static const char *lack_of(const json_t *row)
{
    const struct plugin *plugin = plugins_find(row_text(row, "name"));
    return plugin && plugin->lacks ? plugin->lacks(json_object_get(row, "config")) : NULL;
}

static void notice(const json_t *row)
{
    const char *lack = lack_of(row);
    if (!plugins_is_implemented(row_text(row, "name")))
        log_warn(NOTICE, LOG_STR("plugin", row_text(row, "name")),
                 LOG_STR("id", row_text(row, "id")));
    else if (lack)
        log_warn(NOTICE_OF_PART, LOG_STR("plugin", row_text(row, "name")), LOG_CSTR("part", lack),
                 LOG_STR("id", row_text(row, "id")));
}

void plugin_notice_change(const struct config_change *change)
{
    for (size_t i = 0; i < change->count; i++) {
        const struct config_op *op = &change->ops[i];
        if (op->kind == CONFIG_PUT && is_on(op->entity->name, op->row))
            notice(op->row);
    }
}

static int count_row(void *arg, const json_t *row)
{
    json_t *counts = arg;
    if (config_is_made(row) || !is_on("plugins", row))
        return 0;
    if (plugins_is_implemented(row_text(row, "name"))) {
        notice(row);
        return 0;
    }
    const char *name = json_string_value(json_object_get(row, "name"));
    json_int_t count = json_integer_value(json_object_get(counts, name));
    json_object_set_new(counts, name, json_integer(count + 1));
    return 0;
}

void plugin_notice_all(const struct config *config)
{
    json_t *counts = json_object();
    const char *name;
    json_t *count;
    config_walk(config, entity_find(STR("plugins")), count_row, counts);
    json_object_foreach(counts, name, count)
        log_warn(NOTICE, LOG_CSTR("plugin", name), LOG_INT("count", json_integer_value(count)));
    json_decref(counts);
}
