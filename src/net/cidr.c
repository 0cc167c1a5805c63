#include "net/cidr.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "net/ip.h"

#define MAPPED_BITS 96

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool cidr_is_v4(const struct cidr_address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static void map_v4(const void *bytes, struct cidr_address *ret)
{
    memcpy(ret->bytes, mapped_prefix, sizeof(mapped_prefix));
    memcpy(ret->bytes + sizeof(mapped_prefix), bytes, 4);
}

void cidr_take_address(const struct sockaddr *from, struct cidr_address *ret)
{
    if (from->sa_family == AF_INET6)
        memcpy(ret->bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof(ret->bytes));
    else
        map_v4(&((const struct sockaddr_in *)from)->sin_addr, ret);
}

bool cidr_read_address(struct str text, struct cidr_address *ret)
{
    union ip_address address;
    if (!ip_parse(text, 0, &address))
        return false;
    cidr_take_address((const struct sockaddr *)&address, ret);
    return true;
}

bool cidr_read_range(struct str text, struct cidr_range *ret)
{
    struct str mask = text;
    struct str address = str_cut(&mask, '/');
    uint64_t bits = 128;
    if (!cidr_read_address(address, &ret->address))
        return false;
    bool is_short = cidr_is_v4(&ret->address) && !memchr(address.ptr, ':', address.len);
    if (mask.ptr && (!str_to_u64(mask, &bits) || bits > (is_short ? 32 : 128)))
        return false;
    if (mask.ptr && is_short)
        bits += MAPPED_BITS;
    ret->bits = (uint8_t)bits;
    return true;
}

static unsigned count_items(struct str text)
{
    unsigned count = 0;
    while (text.ptr) {
        str_cut(&text, ',');
        count++;
    }
    return count;
}

int cidr_set_init(struct cidr_set *set, struct str text, struct str *ret_bad)
{
    unsigned most = count_items(text);
    *set = (struct cidr_set){0};
    *ret_bad = text;
    if (most > CIDR_MAX_RANGES)
        return UV_EINVAL;
    set->ranges = calloc(most ? most : 1, sizeof(*set->ranges));
    if (!set->ranges)
        return UV_ENOMEM;
    while (text.len > 0) {
        struct str item = str_trim(str_cut(&text, ','));
        *ret_bad = item;
        if (str_equal(item, STR("unix:"))) {
            set->has_unix = true;
        } else if (cidr_read_range(item, &set->ranges[set->count])) {
            set->count++;
        } else {
            cidr_set_deinit(set);
            return UV_EINVAL;
        }
    }
    return 0;
}

void cidr_set_deinit(struct cidr_set *set)
{
    free(set->ranges);
    *set = (struct cidr_set){0};
}

bool cidr_range_has(const struct cidr_range *range, const struct cidr_address *address)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(range->address.bytes, address->bytes, whole) != 0)
        return false;
    if (rest == 0)
        return true;
    unsigned shift = 8 - rest;
    return range->address.bytes[whole] >> shift == address->bytes[whole] >> shift;
}

bool cidr_set_has(const struct cidr_set *set, const struct cidr_address *address)
{
    for (unsigned i = 0; i < set->count; i++)
        if (cidr_range_has(&set->ranges[i], address))
            return true;
    return false;
}
