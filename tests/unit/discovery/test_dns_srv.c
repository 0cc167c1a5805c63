#include "unit/test.h"

#include "discovery/dns_srv.h"

static struct discovered_list *list;
static const char *asked = "web.test";

static void list_of(struct dns_service *items, unsigned count)
{
    const struct resolver_services services = {.items = items, .count = count, .ttl_s = 10};
    assert_int_equal(dns_srv_list(&services, str_of(asked), &list), 0);
}

static int teardown(void **state)
{
    (void)state;
    discovered_list_destroy(list);
    list = NULL;
    return 0;
}

TEST(all_priorities_are_there)
{
    list_of((struct dns_service[]){{"a.test", 80, 2, 1}, {"b.test", 81, 1, 1}}, 2);
    assert_int_equal(list->count, 2);
    assert_int_equal(list->items[0].priority, 2);
    assert_int_equal(list->items[1].priority, 1);
    assert_int_equal(list->items[1].port, 81);
    assert_int_equal(list->items[1].address.any.sa_family, AF_UNSPEC);
}

TEST(a_service_of_another_domain_has_its_addresses_there)
{
    struct dns_service corp = {"0a000001.addr.dc1.corp", 80, 1, 1};
    list_of(&corp, 1);
    assert_int_equal(list->items[0].address.any.sa_family, AF_UNSPEC);
    discovered_list_destroy(list);
    asked = "users.service.corp";
    list_of(&corp, 1);
    asked = "web.test";
    assert_true(str_equal(list->items[0].host, STR("10.0.0.1")));
}

TEST(a_weight_of_nothing_is_a_tenth_of_the_smallest)
{
    list_of((struct dns_service[]){{"a.test", 80, 1, 0}, {"b.test", 80, 1, 3}}, 2);
    assert_int_equal(list->items[0].weight, 3);
    assert_int_equal(list->items[1].weight, 30);
    discovered_list_destroy(list);
    list_of((struct dns_service[]){{"a.test", 80, 1, 0}, {"b.test", 80, 1, 20}}, 2);
    assert_int_equal(list->items[0].weight, 2);
    assert_int_equal(list->items[1].weight, 20);
}

TEST(consuls_names_of_addresses_are_decoded)
{
    list_of((struct dns_service[]){{"0a000001.addr.dc1.consul", 80, 1, 5},
                                   {"FD000000000000000000000000000001.addr.dc1.consul", 81, 1, 1},
                                   {"0a00000x.addr.dc1.consul", 82, 1, 1},
                                   {"0a000001.addr.example", 83, 1, 1}},
            4);
    assert_int_equal(list->count, 4);
    unsigned addresses = 0;
    for (uint32_t i = 0; i < list->count; i++)
        addresses += list->items[i].address.any.sa_family != AF_UNSPEC;
    assert_int_equal(addresses, 2);
    assert_true(str_equal(list->items[2].host, STR("10.0.0.1")));
    assert_int_equal(list->items[2].weight, 5);
    assert_true(str_equal(list->items[3].host, STR("fd00::1")));
}

TEST(a_weight_of_nothing_is_the_smallest_share)
{
    list_of((struct dns_service[]){{"a.test", 80, 1, 0}}, 1);
    assert_int_equal(list->items[0].weight, 1);
}

TEST(a_dot_says_that_there_is_no_service)
{
    list_of((struct dns_service[]){{".", 0, 0, 0}, {"", 0, 0, 0}}, 2);
    assert_int_equal(list->count, 0);
}

#define TL(name) cmocka_unit_test_teardown(name, teardown)

RUN(TL(all_priorities_are_there), TL(a_service_of_another_domain_has_its_addresses_there),
    TL(a_weight_of_nothing_is_a_tenth_of_the_smallest), TL(consuls_names_of_addresses_are_decoded),
    TL(a_weight_of_nothing_is_the_smallest_share), TL(a_dot_says_that_there_is_no_service))
