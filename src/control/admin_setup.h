/* admin_setup.h - what the settings of the Admin API's safety amount to: whom it lets in (guard.h),
 * and a word in the log when it can be reached from elsewhere.
 *
 * Thread: control, at start. Memory: owns what it made; borrows the options. */
#ifndef CONTROL_ADMIN_SETUP_H
#define CONTROL_ADMIN_SETUP_H

#include "base/error.h"

struct admin_guard;
struct options;

struct admin_setup {
    struct admin_guard *guard; /* owned */
};

/* 0, or a negative UV_E… with *err, whose field is the setting's variable. */
int admin_setup_init(struct admin_setup *setup, const struct options *options, struct error *err);
void admin_setup_deinit(struct admin_setup *setup); /* zeroed is fine */

#endif
