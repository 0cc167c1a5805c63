/* mailbox and timer_wheel: what rides on a uv loop. */
#include "base/mailbox.h"
#include "base/timer_wheel.h"

#include <stdlib.h>

#include "unit/test.h"

#define SENDERS 4
#define MAILS_EACH 2000

struct numbered {
    struct mail mail;
    int sender;
    int number;
};

struct receiver {
    struct mailbox box;
    int next[SENDERS];
    int total;
};

static void on_numbered(struct mail *mail, void *owner)
{
    struct receiver *receiver = owner;
    struct numbered *numbered = (struct numbered *)mail;
    assert_int_equal(numbered->number, receiver->next[numbered->sender]++);
    if (++receiver->total == SENDERS * MAILS_EACH)
        mailbox_close(&receiver->box);
    free(numbered);
}

struct sender {
    struct receiver *receiver;
    int index;
};

static void run_sender(void *arg)
{
    struct sender *sender = arg;
    for (int i = 0; i < MAILS_EACH; i++) {
        struct numbered *numbered = calloc(1, sizeof(*numbered));
        *numbered = (struct numbered){{.deliver = on_numbered}, sender->index, i};
        mailbox_post(&sender->receiver->box, &numbered->mail);
    }
}

TEST(mail_of_each_sender_arrives_whole_and_in_order)
{
    uv_loop_t loop;
    struct receiver receiver = {0};
    uv_thread_t threads[SENDERS];
    struct sender senders[SENDERS];
    uv_loop_init(&loop);
    mailbox_init(&receiver.box, &loop, &receiver);
    uv_ref((uv_handle_t *)&receiver.box.async); /* nothing else keeps this loop alive */
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&receiver, i};
        uv_thread_create(&threads[i], run_sender, &senders[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < SENDERS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(receiver.total, SENDERS * MAILS_EACH);
    assert_int_equal(uv_loop_close(&loop), 0);
}

struct fixture {
    uv_loop_t loop;
    struct timer_wheel wheel;
    struct timer_node nodes[4];
    int fired[4];
    int order;
};

static struct fixture *current;

static void on_due(struct timer_node *node)
{
    int index = (int)(node - current->nodes);
    current->fired[index] = ++current->order;
    assert_true(uv_now(&current->loop) >= node->due_ms);
    if (index == 2) /* a callback may disarm another due node, and arm itself again */
        timer_wheel_disarm(&current->wheel, &current->nodes[3]);
    if (index == 0 && current->order < 10)
        timer_wheel_arm(&current->wheel, node, 5);
}

static void setup(struct fixture *fixture)
{
    current = fixture;
    uv_loop_init(&fixture->loop);
    timer_wheel_init(&fixture->wheel, &fixture->loop, 2, fixture);
    for (int i = 0; i < 4; i++)
        timer_node_init(&fixture->nodes[i], on_due);
}

static void teardown(struct fixture *fixture)
{
    timer_wheel_close(&fixture->wheel);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

TEST(nodes_fire_in_order_and_not_before_their_time)
{
    struct fixture fixture = {0};
    setup(&fixture);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[0], 40);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[1], 10);
    fixture.order = 20; /* so that node 0 doesn't arm itself again */
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture.fired[1], 21);
    assert_int_equal(fixture.fired[0], 22);
    assert_int_equal(fixture.wheel.armed_count, 0);
    teardown(&fixture);
}

TEST(a_time_beyond_one_turn_of_the_wheel_waits_for_its_turn)
{
    struct fixture fixture = {.order = 20};
    setup(&fixture);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[1], 2 * TIMER_WHEEL_SLOTS + 50);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[0], 60);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture.fired[0], 21);
    assert_int_equal(fixture.fired[1], 22);
    teardown(&fixture);
}

TEST(callbacks_may_arm_and_disarm)
{
    struct fixture fixture = {0};
    setup(&fixture);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[2], 10);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[3], 10);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[0], 10);
    timer_wheel_arm(&fixture.wheel, &fixture.nodes[0], 12); /* moved, not doubled */
    timer_wheel_disarm(&fixture.wheel, &fixture.nodes[1]);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture.fired[3], 0);
    assert_int_equal(fixture.order, 10);
    teardown(&fixture);
}

RUN(T(mail_of_each_sender_arrives_whole_and_in_order),
    T(nodes_fire_in_order_and_not_before_their_time),
    T(a_time_beyond_one_turn_of_the_wheel_waits_for_its_turn), T(callbacks_may_arm_and_disarm))
