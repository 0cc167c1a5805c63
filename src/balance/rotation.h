/* rotation.h - the default, for pools that nobody described: turns as in round-robin, but a target
 * that lags behind the others is stepped over.
 *
 * It lags when it has clearly more exchanges under way than one of the next on the wheel, has been
 * silent for long with something to do, or is avoided as an outlier (outlier.h). While nothing
 * lags, this is round-robin to the letter.
 *
 * Thread: the picking worker's. Memory: none. */
#ifndef BALANCE_ROTATION_H
#define BALANCE_ROTATION_H

#include "balance/choice.h"

const struct endpoint *rotation_pick(const struct choice *choice);

#endif
