#include "control/config_events.h"

static void tell(struct events *events, const char *entity, const json_t *row, const char *id,
                 const char *op, const char *by)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    events_add(events, json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s}", "type", "config.changed",
                                 "entity", entity, "id", id, "name", name, "op", op, "by", by));
}

void config_events_commit(struct events *events, const struct config_change *change)
{
    for (size_t i = 0; i < change->count && i < CONFIG_EVENTS_MAX_ROWS; i++) {
        const struct config_op *op = &change->ops[i];
        tell(events, op->entity->name, op->row, json_string_value(json_object_get(op->row, "id")),
             op->kind == CONFIG_PUT ? "put" : "remove", "this node");
    }
    if (change->count > CONFIG_EVENTS_MAX_ROWS)
        config_events_more(events, change->count - CONFIG_EVENTS_MAX_ROWS, "this node");
}

void config_events_row(struct events *events, const struct config *config, const char *kind,
                       const char *id)
{
    const struct entity *entity = entity_find(str_of(kind));
    const json_t *row = entity ? config_get(config, entity, str_of(id)) : NULL;
    tell(events, kind, row, id, row ? "put" : "remove", "another node");
}

void config_events_more(struct events *events, size_t count, const char *by)
{
    events_add(events, json_pack("{s:s, s:I, s:s}", "type", "config.changed", "more",
                                 (json_int_t)count, "by", by));
}

void config_events_published(struct events *events, const struct snapshot *snapshot,
                             uint64_t build_ns)
{
    events_add(events, json_pack("{s:s, s:I, s:I, s:I, s:f}", "type", "config.published", "version",
                                 (json_int_t)snapshot->version, "services",
                                 (json_int_t)snapshot->service_count, "routes",
                                 (json_int_t)snapshot->route_count, "build_ms",
                                 (double)(build_ns / 1000) / 1000.0));
}

void config_events_failed(struct events *events, const struct error *err)
{
    events_add(events, json_pack("{s:s, s:s, s:s}", "type", "config.failed", "at", err->field,
                                 "why", err->sentence));
}

void config_events_state(struct events *events, const char *state)
{
    events_add(events, json_pack("{s:s, s:s}", "type", "node.state", "state", state));
}
