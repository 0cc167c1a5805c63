#include "unit/test.h"

#include <stdio.h>

#include "discovery/host.h"

TEST(hosts_mean_what_they_look_like)
{
    static const struct {
        const char *text;
        enum host_kind kind;
        const char *name, *service, *tag, *datacenter;
    } table[] = {
        {"10.0.0.1", HOST_ADDRESS, "", "", "", ""},
        {"::1", HOST_ADDRESS, "", "", "", ""},
        {"[fd00::1]", HOST_ADDRESS, "", "", "", ""},
        {"localhost", HOST_DNS, "localhost", "", "", ""},
        {"LocalHost.", HOST_DNS, "LocalHost", "", "", ""},
        {"example.com", HOST_DNS, "example.com", "", "", ""},
        {"example.com.", HOST_DNS, "example.com", "", "", ""},
        {"10.0.0.256", HOST_DNS, "10.0.0.256", "", "", ""},
        {"users", HOST_EITHER, "users", "users", "", ""},
        {"my_users-2", HOST_EITHER, "my_users-2", "my_users-2", "", ""},
        {"users.service.consul", HOST_CONSUL, "users.service.consul", "users", "", ""},
        {"users.service.consul.", HOST_CONSUL, "users.service.consul", "users", "", ""},
        {"Users.SERVICE.Consul", HOST_CONSUL, "Users.SERVICE.Consul", "Users", "", ""},
        {"v2.users.service.consul", HOST_CONSUL, "v2.users.service.consul", "users", "v2", ""},
        {"users.service.dc1.consul", HOST_CONSUL, "users.service.dc1.consul", "users", "", "dc1"},
        {"v2.users.service.dc1.consul", HOST_CONSUL, "v2.users.service.dc1.consul", "users", "v2",
         "dc1"},
        {"v2.1.users.service.consul", HOST_CONSUL, "v2.1.users.service.consul", "users", "v2.1",
         ""},
        {"_users._v2.service.consul", HOST_CONSUL, "_users._v2.service.consul", "users", "v2", ""},
        {"_users._tcp.service.dc1.consul", HOST_CONSUL, "_users._tcp.service.dc1.consul", "users",
         "", "dc1"},
        {"n1.node.consul", HOST_DNS, "n1.node.consul", "", "", ""},
        {"service.consul", HOST_DNS, "service.consul", "", "", ""},
        {".service.consul", HOST_DNS, ".service.consul", "", "", ""},
        {"v2..service.consul", HOST_DNS, "v2..service.consul", "", "", ""},
        {".users.service.consul", HOST_DNS, ".users.service.consul", "", "", ""},
        {"users.service.example", HOST_DNS, "users.service.example", "", "", ""},
        {"consul", HOST_EITHER, "consul", "consul", "", ""},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct host host;
        host_classify(str_of(table[i].text), &host);
        if (host.kind != table[i].kind || !str_equal(host.name, str_of(table[i].name)) ||
            !str_equal(host.service, str_of(table[i].service)) ||
            !str_equal(host.tag, str_of(table[i].tag)) ||
            !str_equal(host.datacenter, str_of(table[i].datacenter)))
            fail_msg("'%s' means kind %d, name '%.*s', service '%.*s', tag '%.*s', dc '%.*s'",
                     table[i].text, (int)host.kind, STR_ARG(host.name), STR_ARG(host.service),
                     STR_ARG(host.tag), STR_ARG(host.datacenter));
    }
}

/* As "service tag dc ns ap peer", "-" for nothing; NULL: that is no name of Consul's. */
TEST(consuls_names_may_say_where_to_look)
{
    static const struct {
        const char *text, *meaning;
    } table[] = {
        {"web.service.dc2.dc.consul", "web - dc2 - - -"},
        {"web.service.east.ns.consul", "web - - east - -"},
        {"web.service.east.ns.blue.ap.dc2.dc.consul", "web - dc2 east blue -"},
        {"v2.web.service.blue.ap.consul.", "web v2 - - blue -"},
        {"v2.web.service.other.peer.consul", "web v2 - - - other"},
        {"web.service.East.NS.other.Peer.CONSUL", "web - - East - other"},
        {"_web._v2.service.east.ns.dc2.dc.consul", "web v2 dc2 east - -"},
        {"web.service.east.dc2.consul", "web - dc2 east - -"},
        {"web.service.dc.consul", "web - dc - - -"},
        {"web.service.east.ns.dc.consul", NULL},
        {"service.service.dc1.consul", "service - dc1 - - -"},
        {"web.service.a.b.c.consul", NULL},
        {"web.service.a.ns.b.ns.consul", NULL},
        {"web.service.east.ns.dc2.consul", NULL},
        {"web.service..ns.consul", NULL},
        {"web.service.dc1..consul", NULL},
        {"web.connect.consul", NULL},
        {"web.virtual.consul", NULL},
        {"web.query.consul", NULL},
        {"0a000001.addr.dc1.consul", NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct host host;
        host_classify(str_of(table[i].text), &host);
        const struct str parts[] = {host.service,   host.tag,       host.datacenter,
                                    host.namespace, host.partition, host.peer};
        char meaning[256] = "";
        for (size_t at = 0; at < 6; at++)
            snprintf(meaning + strlen(meaning), sizeof(meaning) - strlen(meaning), "%s%.*s",
                     at ? " " : "", parts[at].len ? (int)parts[at].len : 1,
                     parts[at].len ? parts[at].ptr : "-");
        if ((host.kind == HOST_CONSUL) != (table[i].meaning != NULL) ||
            strcmp(meaning, table[i].meaning ? table[i].meaning : "- - - - - -") != 0)
            fail_msg("'%s' is kind %d and means %s", table[i].text, (int)host.kind, meaning);
    }
}

RUN(T(hosts_mean_what_they_look_like), T(consuls_names_may_say_where_to_look))
