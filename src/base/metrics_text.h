/* metrics_text.h - metrics as Prometheus reads them (text format 0.0.4), family by family.
 *
 * Thread: any. Memory: owns its buffer. */
#ifndef BASE_METRICS_TEXT_H
#define BASE_METRICS_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "base/str.h"

#define METRICS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_label {
    const char *name;
    struct str value; /* any bytes: escaped, and those that are no UTF-8 replaced by '?' */
};

struct metrics_text {
    struct buf buf;
    const char *family; /* borrowed: the one that lines belong to */
    bool has_failed;    /* memory was short: the text is of no use */
};

void metrics_text_init(struct metrics_text *text);
void metrics_text_deinit(struct metrics_text *text);

enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* Begins a family. `name` is borrowed until the next one, `help` during the call. */
void metrics_text_family(struct metrics_text *text, const char *name, enum metrics_kind kind,
                         const char *help);
/* One line of it. No two lines of a family may have the same labels. */
void metrics_text_count(struct metrics_text *text, const struct metrics_label *labels,
                        unsigned label_count, uint64_t value);
void metrics_text_real(struct metrics_text *text, const struct metrics_label *labels,
                       unsigned label_count, double value);
/* All lines of one histogram. `cells` are METRICS_CELLS(shape.count) sums, `unit` what one of its
 * values is in the family's unit: 1e-6 where microseconds are told in seconds. */
void metrics_text_histogram(struct metrics_text *text, const struct metrics_label *labels,
                            unsigned label_count, struct metrics_shape shape, const uint64_t *cells,
                            double unit);

#endif
