#include "net/dns_zone.h"

#include <stdlib.h>
#include <string.h>

static struct dns_channel_settings channel_settings(const struct dns_zone *zone, bool is_over_tcp)
{
    return (struct dns_channel_settings){
        .servers = zone->servers,
        .resolv_conf = zone->resolv_conf,
        .port = zone->servers ? 0 : zone->resolv_conf_port,
        .is_over_tcp = is_over_tcp,
        .is_bare = zone->name != NULL,
    };
}

int dns_zone_open(struct dns_zone *zone, struct str name, struct str servers,
                  const struct dns_channel *blank)
{
    zone->usual = zone->over_tcp = *blank;
    if ((name.len && !(zone->name = str_dup(name))) ||
        (servers.len && !(zone->servers = str_dup(servers))))
        return UV_ENOMEM;
    struct dns_channel_settings settings = channel_settings(zone, false);
    int rc = dns_channel_open(&zone->usual, &settings);
    settings.is_over_tcp = true;
    return rc ? rc : dns_channel_open(&zone->over_tcp, &settings);
}

void dns_zone_start(struct dns_zone *zone)
{
    dns_channel_start(&zone->usual);
    dns_channel_start(&zone->over_tcp);
}

int dns_zone_reopen(struct dns_zone *zone)
{
    struct dns_channel_settings settings = channel_settings(zone, false);
    int rc = dns_channel_reopen(&zone->usual, &settings);
    settings.is_over_tcp = true;
    return rc ? rc : dns_channel_reopen(&zone->over_tcp, &settings);
}

void dns_zone_close(struct dns_zone *zone)
{
    dns_channel_close(&zone->usual);
    dns_channel_close(&zone->over_tcp);
}

void dns_zone_deinit(struct dns_zone *zone)
{
    free(zone->name);
    free(zone->servers);
}

bool dns_zone_holds(const struct dns_zone *zone, struct str name)
{
    struct str suffix = str_of(zone->name);
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len < suffix.len ||
        !str_equal_nocase(str_make(name.ptr + name.len - suffix.len, suffix.len), suffix))
        return false;
    return name.len == suffix.len || name.ptr[name.len - suffix.len - 1] == '.';
}

bool dns_zone_cut(struct str *rest, struct str *name, struct str *servers)
{
    *name = str_trim(str_cut(rest, '='));
    if (!rest->ptr)
        return false;
    const char *start = rest->ptr;
    size_t used = 0;
    while (rest->ptr && (used == 0 || !memchr(rest->ptr, '=', strcspn(rest->ptr, ",")))) {
        struct str server = str_cut(rest, ',');
        used = (size_t)(server.ptr + server.len - start);
    }
    *servers = str_trim(str_make(start, used));
    if (name->len > 0 && name->ptr[0] == '.')
        *name = str_make(name->ptr + 1, name->len - 1);
    return name->len > 0 && servers->len > 0;
}
