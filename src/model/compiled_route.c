#include "model/compiled_route.h"

#include <stdlib.h>
#include <string.h>

#include "model/compiled_service.h"
#include "model/config.h"
#include "model/consumers.h"
#include "model/row.h"

/* --- the block --- */

/* Room for arrays, which come first, and for texts. */
struct room {
    size_t arrays;
    size_t texts;
};

struct packer {
    char *array;
    char *text;
};

static void measure_list(const json_t *list, struct room *room)
{
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value)
    {
        room->arrays += sizeof(struct str);
        room->texts += json_string_length(value) + 1;
    }
}

static void measure_headers(const json_t *headers, struct room *room)
{
    const char *name;
    json_t *values;
    json_object_foreach((json_t *)headers, name, values)
    {
        room->arrays += sizeof(struct route_header);
        room->texts += strlen(name) + 1;
        measure_list(values, room);
    }
}

static void measure_peers(const json_t *peers, struct room *room)
{
    room->arrays += json_array_size(peers) * sizeof(struct route_peer);
}

static struct room measure(const json_t *row)
{
    static const char *const lists[] = {"methods", "hosts", "paths", "snis"};
    struct room room = {.texts = row_text(row, "name").len + 1};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        measure_list(json_object_get(row, lists[i]), &room);
    measure_headers(json_object_get(row, "headers"), &room);
    measure_peers(json_object_get(row, "sources"), &room);
    measure_peers(json_object_get(row, "destinations"), &room);
    return room;
}

/* Terminated, for those who want a C string. */
static struct str pack(struct packer *packer, struct str s)
{
    char *copy = packer->text;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    packer->text += s.len + 1;
    return str_make(copy, s.len);
}

static struct str pack_lower(struct packer *packer, struct str s)
{
    struct str copy = pack(packer, s);
    for (size_t i = 0; i < copy.len; i++)
        ((char *)copy.ptr)[i] = str_lower_char(copy.ptr[i]);
    return copy;
}

static const struct str *pack_list(struct packer *packer, const json_t *list, bool lower,
                                   uint32_t *ret_count)
{
    size_t count = json_array_size(list);
    if (count == 0)
        return NULL;
    struct str *items = (struct str *)(void *)packer->array;
    packer->array += count * sizeof(*items);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        struct str text = str_make(json_string_value(value), json_string_length(value));
        items[i] = lower ? pack_lower(packer, text) : pack(packer, text);
    }
    *ret_count = (uint32_t)count;
    return items;
}

/* What is no address fits none but the unspecified one, rather than any. Their alignment is less
 * than the other arrays': they come last. */
static const struct route_peer *pack_peers(struct packer *packer, const json_t *list,
                                           uint32_t *ret_count)
{
    size_t count = json_array_size(list);
    if (count == 0)
        return NULL;
    struct route_peer *peers = (struct route_peer *)(void *)packer->array;
    packer->array += count * sizeof(*peers);
    for (size_t i = 0; i < count; i++) {
        const json_t *element = json_array_get(list, i);
        struct str ip = row_text(element, "ip");
        const json_t *port = json_object_get(element, "port");
        peers[i] = (struct route_peer){.has_range = ip.len > 0,
                                       .has_port = json_is_number(port),
                                       .port = (uint16_t)json_number_value(port)};
        if (ip.len > 0 && !cidr_read_range(ip, &peers[i].range))
            peers[i].range = (struct cidr_range){.bits = 128};
    }
    *ret_count = (uint32_t)count;
    return peers;
}

/* --- the fields --- */

uint32_t protocol_bit(struct str name)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } protocols[] = {
        {"http", PROTOCOL_HTTP},
        {"https", PROTOCOL_HTTPS},
        {"grpc", PROTOCOL_GRPC},
        {"grpcs", PROTOCOL_GRPCS},
        {"tcp", PROTOCOL_TCP},
        {"tls", PROTOCOL_TLS},
        {"tls_passthrough", PROTOCOL_TLS_PASSTHROUGH},
        {"udp", PROTOCOL_UDP},
    };
    for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
        if (str_equal(name, str_of(protocols[i].name)))
            return protocols[i].bit;
    return 0;
}

static uint32_t protocols_of(const json_t *row)
{
    uint32_t protocols = 0;
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(row, "protocols"), i, name)
    {
        protocols |= protocol_bit(str_of(json_string_value(name)));
    }
    return protocols;
}

static void pack_headers(struct packer *packer, const json_t *headers, struct route *route)
{
    const char *name;
    json_t *values;
    size_t count = json_object_size(headers);
    if (count == 0)
        return;
    struct route_header *list = (struct route_header *)(void *)packer->array;
    packer->array += count * sizeof(*list);
    route->headers = list;
    json_object_foreach((json_t *)headers, name, values)
    {
        struct route_header *header = &list[route->header_count++];
        const char *first = json_string_value(json_array_get(values, 0));
        bool is_regex = json_array_size(values) == 1 && first && strncmp(first, "~*", 2) == 0;
        *header = (struct route_header){.name = pack_lower(packer, str_of(name))};
        header->values = pack_list(packer, values, !is_regex, &header->value_count);
    }
}

static void fill(struct compiled_route *compiled, struct packer *packer, const json_t *row)
{
    struct route *route = &compiled->route;
    *route = (struct route){
        .id = str_make(packed_row_id(compiled->row), compiled->row->id_len),
        .name = pack(packer, row_text(row, "name")),
        .protocols = protocols_of(row),
        .https_redirect_status_code =
            (uint32_t)row_number("routes", row, "https_redirect_status_code"),
        .strip_path = json_is_true(json_object_get(row, "strip_path")),
        .preserve_host = json_is_true(json_object_get(row, "preserve_host")),
        .path_handling_v1 = str_equal(row_text(row, "path_handling"), STR("v1")),
        .regex_priority = row_number("routes", row, "regex_priority"),
        /* Of two that match the same the older one wins: the one that is written by hand. */
        .created_at = config_is_made(row) ? INT64_MAX : row_number("routes", row, "created_at"),
    };
    route->methods =
        pack_list(packer, json_object_get(row, "methods"), false, &route->method_count);
    route->hosts = pack_list(packer, json_object_get(row, "hosts"), true, &route->host_count);
    route->paths = pack_list(packer, json_object_get(row, "paths"), false, &route->path_count);
    route->snis = pack_list(packer, json_object_get(row, "snis"), true, &route->sni_count);
    pack_headers(packer, json_object_get(row, "headers"), route);
    route->sources = pack_peers(packer, json_object_get(row, "sources"), &route->source_count);
    route->destinations =
        pack_peers(packer, json_object_get(row, "destinations"), &route->destination_count);
    compiled->has_service = row_text(json_object_get(row, "service"), "id").len > 0;
}

struct compiled_route *compiled_route_create(const struct packed_row *packed, const json_t *row)
{
    struct room room = measure(row);
    struct compiled_route *compiled = malloc(sizeof(*compiled) + room.arrays + room.texts);
    if (!compiled)
        return NULL;
    struct packer packer = {.array = (char *)(compiled + 1)};
    packer.text = packer.array + room.arrays;
    atomic_init(&compiled->refs, 1);
    compiled->row = packed_row_ref(packed);
    compiled->service = NULL;
    fill(compiled, &packer, row);
    return compiled;
}

struct compiled_route *compiled_route_ref(struct compiled_route *compiled)
{
    atomic_fetch_add_explicit(&compiled->refs, 1, memory_order_relaxed);
    return compiled;
}

void compiled_route_unref(struct compiled_route *compiled)
{
    if (!compiled || atomic_fetch_sub_explicit(&compiled->refs, 1, memory_order_acq_rel) != 1)
        return;
    compiled_service_unref(compiled->service);
    packed_row_unref(compiled->row);
    free(compiled);
}
