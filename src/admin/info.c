#include "admin/info.h"

#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "admin/plugins.h"
#include "admin/server.h"
#include "discovery/registry.h"
#include "store/store.h"

#define MAX_SCALE 20

static json_t *worker_pids(unsigned count)
{
    json_t *pids = json_array(); /* threads of one process, but clients count them here */
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(pids, json_integer(getpid()));
    return pids;
}

void admin_info_root(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    char hostname[256] = "";
    size_t size = sizeof(hostname);
    uv_os_gethostname(hostname, &size);
    json_t *body = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i}, s:{s:i, s:o}, s:{s:o, s:o}, s:{s:s}}", "version",
        ADMIN_KONG_VERSION, "edition", "community", "tagline", "Welcome to kong", "hostname",
        hostname, "node_id", node->node_id, "timers", "running", 0, "pending", 0, "pids", "master",
        (int)getpid(), "workers", worker_pids(node->worker_count), "plugins", "available_on_server",
        admin_plugins_available(), "enabled_in_cluster", admin_plugins_in_use(node->config), "weir",
        "version", WEIR_VERSION);
    json_object_set_new(body, "configuration",
                        node->settings ? json_incref((json_t *)node->settings) : json_object());
    admin_request_answer(request, 200, body);
}

bool admin_info_format_bytes(size_t bytes, struct str unit, unsigned scale, char *text, size_t size)
{
    static const struct {
        char unit;
        double divisor;
        const char *name;
    } units[] = {{'k', 1024.0, "KiB"}, {'m', 1048576.0, "MiB"}, {'g', 1073741824.0, "GiB"}};
    char letter = '\0';
    if (unit.len == 1)
        letter = str_lower_char(unit.ptr[0]);
    if (unit.len == 0 || letter == 'b') {
        snprintf(text, size, "%zu", bytes);
        return true;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].unit != letter)
            continue;
        snprintf(text, size, "%.*f %s", (int)(scale < MAX_SCALE ? scale : MAX_SCALE),
                 (double)bytes / units[i].divisor, units[i].name);
        return true;
    }
    return false;
}

/* The scale argument; false when it is no number or negative. */
static bool parse_scale(struct admin_request *request, unsigned *ret)
{
    struct str text;
    *ret = 2;
    if (!admin_request_query(request, "scale", &text))
        return true;
    struct str terminated = arena_copy(&request->arena, text);
    char *end = NULL;
    double scale = terminated.len > 0 ? strtod(terminated.ptr, &end) : -1;
    if (terminated.len == 0 || *end != '\0' || !(scale >= 0))
        return false;
    *ret = scale < MAX_SCALE ? (unsigned)scale : MAX_SCALE;
    return true;
}

static bool format_memory(struct admin_request *request, char *text, size_t size)
{
    struct str unit = STR("m");
    unsigned scale;
    admin_request_query(request, "unit", &unit);
    if (!parse_scale(request, &scale)) {
        admin_request_answer_message(request, 400, "scale must be equal or greater than 0");
        return false;
    }
    size_t resident = 0;
    uv_resident_set_memory(&resident);
    if (admin_info_format_bytes(resident, unit, scale, text, size))
        return true;
    json_t *shown = json_stringn(unit.ptr, unit.len); /* NULL: no UTF-8 */
    json_t *message = json_sprintf("invalid unit '%s' (expected 'k/K', 'm/M', or 'g/G')",
                                   shown ? json_string_value(shown) : "");
    json_decref(shown);
    admin_request_answer(request, 400, json_pack("{s:o}", "message", message));
    return false;
}

/* Kong lists its Lua machines' memory here; a weir process has one, and its resident set is what an
 * operator wants to know. */
void admin_info_status(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    char memory[64];
    if (!format_memory(request, memory, sizeof(memory)))
        return;
    bool is_reachable = node->store && store_is_reachable(node->store);
    json_t *server = node->server_counters ? node->server_counters(node->control) : NULL;
    json_t *discovery = node->registry ? registry_status(node->registry) : NULL;
    json_t *cluster = node->cluster ? node->cluster->status(node->control) : NULL;
    json_t *body = json_pack("{s:{s:[{s:s, s:i}], s:{}}, s:o, s:{s:s, s:i, s:o, s:o}}", "memory",
                             "workers_lua_vms", "http_allocated_gc", memory, "pid", (int)getpid(),
                             "lua_shared_dicts", "server", server ? server : json_object(), "weir",
                             "version", WEIR_VERSION, "workers", (int)node->worker_count,
                             "discovery", discovery ? discovery : json_object(), "configuration",
                             cluster ? cluster : json_object());
    if (node->config_hash)
        json_object_set_new(body, "configuration_hash", json_string(node->config_hash));
    else
        json_object_set_new(body, "database", json_pack("{s:b}", "reachable", (int)is_reachable));
    admin_request_answer(request, 200, body);
}
