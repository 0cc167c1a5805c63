#include "discovery/consul_entry.h"

#include <stdio.h>

#define DEFAULT_WEIGHT 1
#define MAX_WEIGHT 65535 /* Consul's own limit */
#define MAX_WHY_BYTES 120
#define MAX_NAME_BYTES 48 /* of each part of an entry's name in a complaint */
#define MAX_ADDRESS_KIND_BYTES 129

/* Consul's names of the checks that stand for maintenance; the second is followed by the id. */
#define NODE_MAINTENANCE "_node_maintenance"
#define SERVICE_MAINTENANCE "_service_maintenance:"

static struct str string_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR_EMPTY;
}

static bool has_nul(struct str s)
{
    return s.len > 0 && memchr(s.ptr, '\0', s.len);
}

/* Weights missing or out of range count as Consul's default: a weight alone is no reason to lose an
 * instance. */
static uint32_t weight_of(const json_t *service, const char *key, json_int_t least)
{
    const json_t *value = json_object_get(json_object_get(service, "Weights"), key);
    if (!json_is_integer(value))
        return DEFAULT_WEIGHT;
    json_int_t weight = json_integer_value(value);
    return weight >= least && weight <= MAX_WEIGHT ? (uint32_t)weight : DEFAULT_WEIGHT;
}

static enum discovered_status status_of(const json_t *check)
{
    struct str id = string_of(check, "CheckID");
    if (str_equal(id, STR(NODE_MAINTENANCE)) || str_starts_with(id, STR(SERVICE_MAINTENANCE)))
        return DISCOVERED_MAINTENANCE;
    struct str status = string_of(check, "Status");
    if (str_equal(status, STR("passing")))
        return DISCOVERED_PASSING;
    if (str_equal(status, STR("warning")))
        return DISCOVERED_WARNING;
    if (str_equal(status, STR("maintenance")))
        return DISCOVERED_MAINTENANCE;
    return DISCOVERED_CRITICAL; /* a status that we don't know is surely no good one */
}

/* One line, without what surrounds it, cut on a whole UTF-8 character. */
static int shorten(struct str text, size_t max)
{
    size_t len = 0;
    while (len < text.len && text.ptr[len] != '\n' && text.ptr[len] != '\r')
        len++;
    if (len > max) {
        len = max;
        while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
            len--;
    }
    return (int)len;
}

static struct str describe(const json_t *check, enum discovered_status status, char *text,
                           size_t size)
{
    struct str output = string_of(check, "Output");
    struct str notes = string_of(check, "Notes");
    struct str id = string_of(check, "CheckID");
    int len;
    if (status == DISCOVERED_PASSING)
        return STR_EMPTY;
    if (status == DISCOVERED_MAINTENANCE) {
        struct str reason = notes.len ? notes : output;
        len = snprintf(text, size, "maintenance%s%.*s", reason.len ? ": " : "",
                       shorten(reason, MAX_WHY_BYTES), reason.len ? reason.ptr : "");
    } else {
        len =
            snprintf(text, size, "check '%.*s' is %s%s%.*s", shorten(id, 64), id.len ? id.ptr : "",
                     status == DISCOVERED_WARNING ? "warning" : "critical", output.len ? ": " : "",
                     shorten(output, MAX_WHY_BYTES), output.len ? output.ptr : "");
    }
    return len > 0 ? str_make(text, (size_t)len < size ? (size_t)len : size - 1) : STR_EMPTY;
}

/* The worst of the node's and the service's checks; none is passing. */
static enum discovered_status worst_of(const json_t *checks, const json_t **ret_check)
{
    enum discovered_status worst = DISCOVERED_PASSING;
    size_t i;
    const json_t *check;
    *ret_check = NULL;
    json_array_foreach(checks, i, check)
    {
        enum discovered_status status = status_of(check);
        if (status > worst) {
            worst = status;
            *ret_check = check;
        }
    }
    return worst;
}

static bool has_own_check(const json_t *checks)
{
    size_t i;
    const json_t *check;
    json_array_foreach(checks, i, check)
    {
        if (string_of(check, "ServiceID").len > 0)
            return true;
    }
    return false;
}

static bool is_excluded(const json_t *service, const struct consul_view *view)
{
    size_t i;
    const json_t *tag;
    json_array_foreach(json_object_get(service, "Tags"), i, tag)
    {
        struct str text = str_make(json_string_value(tag), json_string_length(tag));
        for (size_t at = 0; at < view->excluded_count; at++)
            if (json_is_string(tag) && str_equal(text, view->excluded_tags[at]))
                return true;
    }
    return false;
}

/* The service's address of that kind, the service's, the node's of that kind, the node's. The first
 * may bring a port. */
static void read_address(const json_t *node, const json_t *service, struct str kind,
                         struct str *ret_host, const json_t **ret_port)
{
    char key[MAX_ADDRESS_KIND_BYTES] = "";
    if (kind.len < sizeof(key) && kind.len > 0) {
        memcpy(key, kind.ptr, kind.len);
        key[kind.len] = '\0';
    }
    const json_t *tagged = json_object_get(json_object_get(service, "TaggedAddresses"), key);
    *ret_port = json_object_get(service, "Port");
    *ret_host = key[0] ? string_of(tagged, "Address") : STR_EMPTY;
    if (ret_host->len > 0 && json_integer_value(json_object_get(tagged, "Port")) > 0)
        *ret_port = json_object_get(tagged, "Port");
    if (ret_host->len == 0)
        *ret_host = string_of(service, "Address");
    if (ret_host->len == 0 && key[0])
        *ret_host = string_of(json_object_get(node, "TaggedAddresses"), key);
    if (ret_host->len == 0)
        *ret_host = string_of(node, "Address");
}

/* The service's zone before the node's; what was written as meta data before Consul's own field. */
static struct str zone_of(const json_t *node, const json_t *service)
{
    const json_t *owners[] = {service, node};
    for (int i = 0; i < 2; i++) {
        struct str zone = string_of(json_object_get(owners[i], "Meta"), "zone");
        if (zone.len == 0)
            zone = string_of(json_object_get(owners[i], "Locality"), "Zone");
        if (zone.len > 0 && !has_nul(zone))
            return zone;
    }
    return STR_EMPTY;
}

/* NULL, or what is wrong with the entry. */
static const char *read_parts(const json_t *entry, const struct consul_view *view,
                              struct discovered *item, const json_t **ret_check)
{
    const json_t *node = json_object_get(entry, "Node");
    const json_t *service = json_object_get(entry, "Service");
    if (!json_is_object(service))
        return "an entry has no Service";

    item->instance = string_of(service, "ID");
    if (item->instance.len == 0)
        return "an entry has no Service.ID";
    item->node = string_of(node, "Node");
    item->datacenter = string_of(node, "Datacenter");
    item->zone = zone_of(node, service);
    const json_t *port;
    read_address(node, service, view->tagged_address, &item->host, &port);
    if (item->host.len == 0)
        return "an entry has no address";
    if (has_nul(item->instance) || has_nul(item->node) || has_nul(item->host))
        return "an entry's name holds a NUL";

    if (port && !json_is_integer(port))
        return "a port is no number";
    if (json_integer_value(port) < 0 || json_integer_value(port) > UINT16_MAX)
        return "a port is out of range";
    item->port = (uint16_t)json_integer_value(port);

    item->weight = weight_of(service, "Passing", 1);
    item->weight_warning = weight_of(service, "Warning", 0);

    const json_t *checks = json_object_get(entry, "Checks");
    if (checks && !json_is_array(checks) && !json_is_null(checks))
        return "an entry's Checks are no array";
    item->status = worst_of(checks, ret_check);
    return NULL;
}

const char *consul_entry_read(const json_t *entry, const struct consul_view *view,
                              char why[CONSUL_ENTRY_WHY_BYTES], struct discovered *ret,
                              bool *ret_counts)
{
    struct discovered item = {0};
    const json_t *check;
    const char *wrong = read_parts(entry, view, &item, &check);
    if (wrong)
        return wrong;
    *ret_counts = !is_excluded(json_object_get(entry, "Service"), view);
    item.why = describe(check, item.status, why, CONSUL_ENTRY_WHY_BYTES);
    if (view->require_service_check && item.status < DISCOVERED_CRITICAL &&
        !has_own_check(json_object_get(entry, "Checks"))) {
        item.status = DISCOVERED_CRITICAL;
        item.why = STR("it has no check of its own yet");
    }
    *ret = item;
    return NULL;
}

void consul_entry_name(const json_t *entry, uint32_t number, char *text, size_t size)
{
    struct str node = string_of(json_object_get(entry, "Node"), "Node");
    struct str id = string_of(json_object_get(entry, "Service"), "ID");
    if (has_nul(node) || has_nul(id) || node.len + id.len == 0)
        snprintf(text, size, "entry %u", number);
    else
        snprintf(text, size, "%.*s/%.*s", shorten(node, MAX_NAME_BYTES), node.len ? node.ptr : "",
                 shorten(id, MAX_NAME_BYTES), id.len ? id.ptr : "");
}
