#include "admin/plugins.h"

#include "admin/info.h"
#include "model/packed_row.h"
#include "model/plugin_schema.h"
#include "plugins/registry.h"

static json_t *texts(const char *const *list)
{
    json_t *out = json_array();
    for (; list && *list; list++)
        json_array_append_new(out, json_string(*list));
    return out;
}

json_t *admin_plugins_available(void)
{
    json_t *out = json_object();
    for (size_t i = 0; plugin_schemas[i]; i++) {
        const struct plugin_schema *schema = plugin_schemas[i];
        const struct plugin *plugin = plugins_find(str_of(schema->name));
        json_t *about = json_pack("{s:s, s:i, s:b}", "version", ADMIN_KONG_VERSION, "priority",
                                  schema->priority, "implemented", (int)(plugin != NULL));
        if (plugin && plugin->lacking)
            json_object_set_new(about, "not_implemented", texts(plugin->lacking));
        json_object_set_new(out, schema->name, about);
    }
    return out;
}

struct use {
    json_t *names; /* an object, for each counts once */
};

static int each_row(void *arg, const char *kind, const struct packed_row *row)
{
    struct use *use = arg;
    if (strcmp(kind, "plugins") != 0)
        return 0;
    json_t *name = packed_row_get(row, "name");
    json_object_set_new(use->names, json_string_value(name), json_true());
    json_decref(name);
    return 0;
}

json_t *admin_plugins_in_use(const struct config *config)
{
    struct use use = {.names = json_object()};
    config_each(config, each_row, &use);
    json_t *list = json_array();
    for (size_t i = 0; plugin_schemas[i]; i++)
        if (json_object_get(use.names, plugin_schemas[i]->name))
            json_array_append_new(list, json_string(plugin_schemas[i]->name));
    json_decref(use.names);
    return list;
}

void admin_plugins_enabled(struct admin_request *request)
{
    json_t *list = json_array();
    for (size_t i = 0; plugin_schemas[i]; i++)
        json_array_append_new(list, json_string(plugin_schemas[i]->name));
    admin_request_answer(request, 200, json_pack("{s:o}", "enabled_plugins", list));
}
