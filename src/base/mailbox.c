#include "base/mailbox.h"

#include <stddef.h>

void mailbox_drain(struct mailbox *mailbox)
{
    struct mail *mail = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (mail) {
        struct mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    while (oldest) {
        struct mail *next = oldest->next; /* deliver may free it */
        oldest->deliver(oldest, mailbox->owner);
        oldest = next;
    }
}

static void on_async(uv_async_t *async)
{
    mailbox_drain(async->data);
}

int mailbox_init(struct mailbox *mailbox, uv_loop_t *loop, void *owner)
{
    atomic_init(&mailbox->newest, NULL);
    mailbox->owner = owner;
    int rc = uv_async_init(loop, &mailbox->async, on_async);
    if (rc)
        return rc;
    mailbox->async.data = mailbox;
    uv_unref((uv_handle_t *)&mailbox->async);
    return 0;
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &newest, mail,
                                                    memory_order_release, memory_order_relaxed));
    if (!newest) /* else a wake-up is under way already */
        uv_async_send(&mailbox->async);
}

void mailbox_close(struct mailbox *mailbox)
{
    mailbox_drain(mailbox);
    uv_close((uv_handle_t *)&mailbox->async, NULL);
}
