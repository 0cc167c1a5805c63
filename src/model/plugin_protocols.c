#include "model/plugin_protocols.h"

#include "model/config_find.h"
#include "model/config_table.h"
#include "model/entities.h"

static bool intersects(const json_t *some, const json_t *others)
{
    for (size_t i = 0; i < json_array_size(some); i++)
        for (size_t j = 0; j < json_array_size(others); j++)
            if (json_equal(json_array_get(some, i), json_array_get(others, j)))
                return true;
    return false;
}

static void check_route(const json_t *route, const json_t *protocols, struct violation *violation)
{
    if (route && !intersects(json_object_get(route, "protocols"), protocols))
        violation_add(violation, "protocols", "must match the associated route's protocols");
}

static void check_service(const struct config *config, const struct config_change *change,
                          const char *id, const json_t *protocols, struct violation *violation)
{
    const struct row_set *set = table_children(config_table(config, &route_entity), "service", id);
    size_t count = 0;
    for (size_t i = 0; set && i < set->count; i++) {
        const json_t *route =
            config_find_id(config, change, &route_entity, str_of(packed_row_id(set->rows[i])));
        if (route && intersects(json_object_get(route, "protocols"), protocols))
            return;
        count += route != NULL;
    }
    if (count > 0)
        violation_add(violation, "protocols",
                      "must match the protocols of at least one route pointing to this Plugin's "
                      "service");
}

void plugin_check_protocols(const struct config *config, const struct config_change *change,
                            const json_t *row, struct violation *violation)
{
    const json_t *protocols = json_object_get(row, "protocols");
    const char *route = row_foreign_id(row, "route");
    const char *service = row_foreign_id(row, "service");
    if (route)
        check_route(config_find_id(config, change, &route_entity, str_of(route)), protocols,
                    violation);
    else if (service)
        check_service(config, change, service, protocols, violation);
}
