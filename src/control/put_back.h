/* put_back.h - a write of all configuration as it is in memory, for a database that has come back
 * without any.
 *
 * Thread: control. Memory: one heap object, which ends with its done(). */
#ifndef CONTROL_PUT_BACK_H
#define CONTROL_PUT_BACK_H

#include "model/config.h"

typedef void (*put_back_cb)(void *arg, int rc);

/* The write to submit; rc of done as config_write's. NULL: memory is short. */
struct config_write *put_back_create(put_back_cb done, void *arg);

#endif
