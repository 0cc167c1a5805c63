#include "health/pool_orders.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

static void free_items(struct health_order *items, size_t count)
{
    for (size_t i = 0; items && i < count; i++) {
        free((char *)(uintptr_t)items[i].key.ptr);
        free((char *)(uintptr_t)items[i].token.ptr);
        free((char *)(uintptr_t)items[i].host.ptr);
        free((char *)(uintptr_t)items[i].address.ptr);
        free((char *)(uintptr_t)items[i].instance.ptr);
    }
    free(items);
}

void pool_orders_deinit(struct pool_orders *orders)
{
    free_items(orders->items, orders->count);
    *orders = (struct pool_orders){0};
}

/* In place. */
static bool own(struct str *text)
{
    text->ptr = str_dup(*text);
    return text->ptr != NULL;
}

static bool copy(const struct health_order *from, struct health_order *to)
{
    *to = *from;
    bool is_good = own(&to->key);
    is_good = own(&to->token) && is_good; /* all of them, so that all may be freed */
    is_good = own(&to->host) && is_good;
    is_good = own(&to->address) && is_good;
    return own(&to->instance) && is_good;
}

static bool is_old(const struct health_order *items, size_t count, const struct health_order *order)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(items[i].key, order->key))
            return str_equal(items[i].token, order->token);
    return false;
}

static bool is_same(const struct pool_orders *orders, const struct health_order *items,
                    size_t count)
{
    if (!orders->is_known || orders->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!str_equal(orders->items[i].token, items[i].token))
            return false;
    return true;
}

int pool_orders_set(struct pool_orders *orders, const struct health_order *items, size_t count,
                    void (*fresh)(void *arg, const struct health_order *order), void *arg)
{
    if (is_same(orders, items, count))
        return 0;
    struct health_order *copies = calloc(count + 1, sizeof(*copies));
    bool is_good = copies != NULL;
    for (size_t i = 0; is_good && i < count; i++)
        is_good = copy(&items[i], &copies[i]);
    if (!is_good) {
        free_items(copies, count);
        return UV_ENOMEM;
    }
    struct pool_orders before = *orders;
    *orders = (struct pool_orders){copies, count, true};
    for (int is_single = 0; before.is_known && is_single <= 1; is_single++)
        for (size_t i = 0; i < count; i++)
            if ((copies[i].address.len > 0) == is_single &&
                !is_old(before.items, before.count, &copies[i]))
                fresh(arg, &copies[i]);
    pool_orders_deinit(&before);
    return 0;
}

bool health_order_is_about(const struct health_order *order, const struct target_state *target)
{
    if (order->host.len > 0 ? !target_state_is_at(target, order->host, order->port)
                            : !str_equal(order->instance, str_of(target->instance)))
        return false;
    return order->address.len == 0 || str_equal(order->address, str_of(target->name));
}

const struct health_order *pool_orders_find(const struct pool_orders *orders,
                                            const struct target_state *target)
{
    const struct health_order *found = NULL;
    for (size_t i = 0; i < orders->count; i++) {
        const struct health_order *order = &orders->items[i];
        if (health_order_is_about(order, target) && (!found || order->address.len > 0))
            found = order;
    }
    return found;
}
