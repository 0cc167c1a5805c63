/* tally.h - counts by a short text that is not known beforehand, such as the reason of a refusal.
 * The first TALLY_ROWS texts have a count of their own, all others share one.
 *
 * Thread: one writer; readers on any thread. Memory: embedded; zeroed it is ready. */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/str.h"

#define TALLY_ROWS 64
#define TALLY_TEXT_BYTES 80 /* with its terminator; texts are cut */

struct tally_row {
    char text[TALLY_TEXT_BYTES]; /* constant once count is not 0 */
    uint32_t code;               /* counted apart too, such as a status */
    metrics_cell count;
};

struct tally {
    struct tally_row rows[TALLY_ROWS];
    _Atomic uint32_t row_count;
    metrics_cell others;
};

void tally_count(struct tally *tally, uint32_t code, struct str text);

/* Adds what `from` has counted, on any thread, to *sum, which is the caller's own. */
void tally_add(struct tally *sum, const struct tally *from);

#endif
