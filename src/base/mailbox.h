/* mailbox.h - messages from any thread to the one loop that owns the box.
 *
 * A message is an object with a `struct mail` in it; its deliver function runs on the owner's loop,
 * in the order of posting (per sender), and then owns the object. Posting never blocks and never
 * allocates.
 *
 * Thread: mailbox_post from any; the rest on the owner's loop. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <stdatomic.h>

#include <uv.h>

struct mail;
/* `owner` is the box's. Runs on its loop, between other callbacks. */
typedef void (*mail_deliver_cb)(struct mail *mail, void *owner);

struct mail {
    struct mail *next;
    mail_deliver_cb deliver;
};

struct mailbox {
    uv_async_t async;
    _Atomic(struct mail *) newest; /* a stack; the owner takes it whole and turns it round */
    void *owner;
};

/* 0 or a negative UV_E…. The box doesn't keep the loop alive. */
int mailbox_init(struct mailbox *mailbox, uv_loop_t *loop, void *owner);
void mailbox_post(struct mailbox *mailbox, struct mail *mail);
/* Delivers at once what is in the box: for the owner, before it stops. */
void mailbox_drain(struct mailbox *mailbox);
/* Ends the uv handle; nobody may post from here on. */
void mailbox_close(struct mailbox *mailbox);

#endif
