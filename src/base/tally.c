#include "base/tally.h"

#include <string.h>

static struct tally_row *find(struct tally *tally, uint32_t code, struct str text)
{
    uint32_t count = atomic_load_explicit(&tally->row_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        struct tally_row *row = &tally->rows[i];
        if (row->code == code && memcmp(row->text, text.ptr, text.len) == 0 &&
            row->text[text.len] == '\0')
            return row;
    }
    return NULL;
}

/* The text first, then the number of rows: who reads that many sees whole texts. */
static struct tally_row *add_row(struct tally *tally, uint32_t code, struct str text)
{
    uint32_t count = atomic_load_explicit(&tally->row_count, memory_order_relaxed);
    if (count == TALLY_ROWS)
        return NULL;
    struct tally_row *row = &tally->rows[count];
    memcpy(row->text, text.ptr, text.len);
    row->text[text.len] = '\0';
    row->code = code;
    atomic_store_explicit(&tally->row_count, count + 1, memory_order_release);
    return row;
}

static void count(struct tally *tally, uint32_t code, struct str text, uint64_t by)
{
    if (text.len >= TALLY_TEXT_BYTES)
        text.len = TALLY_TEXT_BYTES - 1;
    if (text.len == 0)
        text = STR("none");
    struct tally_row *row = find(tally, code, text);
    if (!row)
        row = add_row(tally, code, text);
    metrics_add(row ? &row->count : &tally->others, by);
}

void tally_count(struct tally *tally, uint32_t code, struct str text)
{
    count(tally, code, text, 1);
}

void tally_add(struct tally *sum, const struct tally *from)
{
    uint32_t rows = atomic_load_explicit(&from->row_count, memory_order_acquire);
    for (uint32_t i = 0; i < rows; i++)
        count(sum, from->rows[i].code, str_of(from->rows[i].text),
              metrics_read(&from->rows[i].count));
    metrics_add(&sum->others, metrics_read(&from->others));
}
