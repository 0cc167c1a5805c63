#include "control/descriptors.h"

#include "../test.h"

static void expect(struct descriptor_shares shares, uint32_t clients, uint32_t idle_upstreams)
{
    assert_int_equal(shares.clients, clients);
    assert_int_equal(shares.idle_upstreams, idle_upstreams);
}

TEST(clients_get_what_targets_and_the_node_itself_leave)
{
    expect(descriptors_divide(1048576, 2, 0, 512), (1048576 - 512 - 1024) / 4, 512);
    expect(descriptors_divide(65536, 1, 0, 512), (65536 - 512 - 512) / 2, 512);
}

TEST(a_wish_is_obeyed_where_it_can_be)
{
    expect(descriptors_divide(1048576, 4, 10000, 512), 2500, 512);
    expect(descriptors_divide(4096, 1, 100000, 512), (4096 - 512 - 512) / 2, 512);
}

TEST(few_descriptors_are_shared_fairly)
{
    struct descriptor_shares shares = descriptors_divide(1024, 4, 0, 512);
    uint32_t used = 4 * (2 * shares.clients + shares.idle_upstreams);
    assert_in_range(used, 700, 1024 - 256);
    assert_true(shares.idle_upstreams > 0);
    expect(descriptors_divide(8, 64, 0, 512), 1, 1);
    expect(descriptors_divide(1048576, 2, 0, 0), (1048576 - 512) / 4, 0);
}

RUN(T(clients_get_what_targets_and_the_node_itself_leave), T(a_wish_is_obeyed_where_it_can_be),
    T(few_descriptors_are_shared_fairly))
