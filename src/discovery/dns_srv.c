#include "discovery/dns_srv.h"

#include <stdio.h>

#include <uv.h> /* error codes and addresses as text */

#define TEXT_MAX_BYTES 64
#define ZERO_SHARE 10 /* a weight of 0 is so small a part of the smallest other */

static bool read_bytes(struct str hex, uint8_t *bytes)
{
    for (size_t i = 0; i < hex.len / 2; i++) {
        uint64_t byte;
        if (!str_hex_to_u64(str_make(hex.ptr + 2 * i, 2), &byte))
            return false;
        bytes[i] = (uint8_t)byte;
    }
    return true;
}

static struct str last_label(struct str name)
{
    size_t start = name.len;
    while (start > 0 && name.ptr[start - 1] != '.')
        start--;
    return str_make(name.ptr + start, name.len - start);
}

/* Whether `name` holds the label "service", as names of Consul's services do. */
static bool is_of_service(struct str name)
{
    while (name.ptr)
        if (str_equal_nocase(str_cut(&name, '.'), STR("service")))
            return true;
    return false;
}

/* "<8 or 32 hex digits>.addr.<dc>.<domain>" to the address as text; any other name stays a name. */
static struct str host_of(struct str name, struct str asked, char text[TEXT_MAX_BYTES])
{
    struct str rest = name;
    struct str hex = str_cut(&rest, '.');
    uint8_t bytes[16];
    bool is_v4 = hex.len == 8, is_v6 = hex.len == 32;
    if ((!is_v4 && !is_v6) || !str_equal_nocase(str_cut(&rest, '.'), STR("addr")) ||
        rest.len == 0 || !read_bytes(hex, bytes))
        return name;
    struct str domain = last_label(rest);
    if (asked.len > 1 && asked.ptr[asked.len - 1] == '.')
        asked.len--;
    bool is_consuls = str_equal_nocase(domain, STR("consul")) ||
                      (is_of_service(asked) && str_equal_nocase(domain, last_label(asked)));
    if (!is_consuls || uv_inet_ntop(is_v4 ? AF_INET : AF_INET6, bytes, text, TEXT_MAX_BYTES))
        return name;
    return str_of(text);
}

/* RFC 2782 gives weight 0 a very small share. Weights are made larger where that can't be said in
 * whole numbers. */
struct scale {
    uint32_t factor, zero;
};

static struct scale find_scale(const struct resolver_services *services)
{
    uint32_t smallest = 0;
    bool has_zero = false;
    for (unsigned i = 0; i < services->count; i++) {
        uint32_t weight = services->items[i].weight;
        has_zero |= weight == 0;
        if (weight > 0 && (smallest == 0 || weight < smallest))
            smallest = weight;
    }
    if (!has_zero || smallest == 0)
        return (struct scale){1, 1};
    uint32_t factor = smallest % ZERO_SHARE == 0 ? 1 : ZERO_SHARE;
    return (struct scale){factor, smallest * factor / ZERO_SHARE};
}

int dns_srv_list(const struct resolver_services *services, struct str asked,
                 struct discovered_list **ret)
{
    struct discovered_list *list;
    int rc = discovered_list_create(&list);
    if (rc)
        return rc;
    const struct scale scale = find_scale(services);
    for (unsigned i = 0; i < services->count; i++) {
        const struct dns_service *service = &services->items[i];
        struct str name = str_of(service->host);
        if (name.len == 0 || str_equal(name, STR(".")))
            continue; /* the root says that the service is not offered (RFC 2782) */
        char text[TEXT_MAX_BYTES];
        uint32_t weight = service->weight > 0 ? service->weight * scale.factor : scale.zero;
        const struct discovered item = {.host = host_of(name, asked, text),
                                        .port = service->port,
                                        .priority = service->priority,
                                        .weight = weight,
                                        .weight_warning = weight};
        if ((rc = discovered_list_add(list, &item))) {
            discovered_list_destroy(list);
            return rc;
        }
    }
    discovered_list_seal(list);
    *ret = list;
    return 0;
}
