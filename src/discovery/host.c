#include "discovery/host.h"

#include "net/ip.h"

static struct str up_to(struct str s, size_t len)
{
    return str_make(s.ptr, len);
}

/* Cuts the part after the last dot off *rest; all of it when there is no dot. */
static struct str cut_last_label(struct str *rest)
{
    size_t start = rest->len;
    while (start > 0 && rest->ptr[start - 1] != '.')
        start--;
    struct str label = str_make(rest->ptr + start, rest->len - start);
    *rest = up_to(*rest, start > 0 ? start - 1 : 0);
    return label;
}

/* "_name._tag": RFC 2782's way to say it; Consul takes "_tcp" for no tag. */
static bool read_rfc2782(struct str rest, struct host *host)
{
    struct str service = str_cut(&rest, '.');
    if (service.len < 2 || service.ptr[0] != '_' || rest.len < 2 || rest.ptr[0] != '_')
        return false;
    host->service = str_make(service.ptr + 1, service.len - 1);
    host->tag =
        str_equal_nocase(rest, STR("_tcp")) ? STR_EMPTY : str_make(rest.ptr + 1, rest.len - 1);
    return true;
}

/* "….ns", "….ap", "….dc", "….peer": where the value of the label before goes; NULL: another label.
 */
static struct str *find_place(struct host *host, struct str kind)
{
    const struct {
        struct str kind;
        struct str *value;
    } places[] = {{STR("ns"), &host->namespace},
                  {STR("ap"), &host->partition},
                  {STR("dc"), &host->datacenter},
                  {STR("peer"), &host->peer}};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (str_equal_nocase(kind, places[i].kind))
            return places[i].value;
    return NULL;
}

/* What stands between "service" and "consul", from its end on: "<namespace>.ns.<datacenter>.dc" and
 * the like in any order, or the older "<datacenter>" and "<namespace>.<datacenter>". */
static bool read_places(struct str *rest, struct host *host)
{
    struct str plain[2]; /* the last first */
    unsigned plain_count = 0;
    for (;;) {
        struct str label = cut_last_label(rest);
        if (str_equal_nocase(label, STR("service")))
            break;
        struct str left = *rest, value = cut_last_label(&left);
        struct str *place = find_place(host, label);
        /* A datacenter may be called "dc": then no value stands before it. */
        if (place && plain_count == 0 && !str_equal_nocase(value, STR("service"))) {
            if (place->len > 0 || value.len == 0)
                return false;
            *place = value;
            *rest = left;
        } else if (plain_count < 2 && label.len > 0) {
            plain[plain_count++] = label;
        } else {
            return false;
        }
    }
    if (plain_count > 0 && (host->datacenter.len || host->peer.len || host->partition.len))
        return false;
    if (plain_count > 1 && host->namespace.len)
        return false;
    if (plain_count > 0)
        host->datacenter = plain[0];
    if (plain_count > 1)
        host->namespace = plain[1];
    return true;
}

static bool read_consul_name(struct str rest, struct host *host)
{
    if (!str_equal_nocase(cut_last_label(&rest), STR("consul")) || !read_places(&rest, host))
        return false;
    if (read_rfc2782(rest, host))
        return true;
    host->service = cut_last_label(&rest);
    host->tag = rest; /* a tag may hold dots */
    return host->service.len > 0 && (rest.len > 0 || host->service.ptr == host->name.ptr);
}

void host_classify(struct str text, struct host *ret)
{
    struct host host = {.kind = HOST_DNS};
    if (ip_parse(text, 0, &host.address)) {
        host.kind = HOST_ADDRESS;
        *ret = host;
        return;
    }
    if (text.len > 1 && text.ptr[text.len - 1] == '.')
        text.len--;
    host.name = text;
    if (read_consul_name(text, &host)) {
        host.kind = HOST_CONSUL;
    } else {
        host = (struct host){.kind = HOST_DNS, .name = text};
        bool has_dot = text.len > 0 && memchr(text.ptr, '.', text.len);
        if (!has_dot && !str_equal_nocase(text, STR("localhost"))) {
            host.kind = HOST_EITHER;
            host.service = text;
        }
    }
    *ret = host;
}
