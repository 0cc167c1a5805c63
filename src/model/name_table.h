/* name_table.h - names to values for workers to look up: a table that another version of it shares
 * all it can with, so that one more name costs little however many there are.
 *
 * Open addressing, at most half full, in pages; a page that several tables have is copied before it
 * is changed. The whole hash stands beside the pointer, so that nearly no name is compared that
 * isn't the one; hashes are the caller's, and keyed, so that nobody can choose names that collide.
 *
 * Thread: one owner while it is changed; then immutable, read by any. Memory: names are borrowed
 * from the values, and these are held by reference where the table has a way to (struct
 * name_values), else borrowed. */
#ifndef MODEL_NAME_TABLE_H
#define MODEL_NAME_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* How values are counted; thread: any. */
struct name_values {
    void (*ref)(const void *value);
    void (*unref)(const void *value);
};

struct name_page;

struct name_table {
    const struct name_values *values; /* NULL: they are borrowed */
    struct name_page **pages; /* owned, a reference to each; NULL: none of its slots is used */
    size_t page_count;        /* a power of two, or 0 */
    size_t count;
};

/* Room for so many names; it grows. 0 or UV_ENOMEM. */
int name_table_init(struct name_table *table, const struct name_values *values, size_t count);
/* The same names and values, without copying them. 0 or UV_ENOMEM. */
int name_table_share(const struct name_table *from, struct name_table *ret);
/* A zeroed one is fine. Thread: any. */
void name_table_deinit(struct name_table *table);

/* A name that isn't there yet; one that is has two values then, and the first of them is found.
 * 0 or UV_ENOMEM. */
int name_table_put(struct name_table *table, uint64_t hash, struct str name, const void *value);
/* That very value, if it is there. 0 or UV_ENOMEM. */
int name_table_remove(struct name_table *table, uint64_t hash, const void *value);
/* NULL: none. Compares in a time that tells nothing of the names that there are. */
const void *name_table_find(const struct name_table *table, uint64_t hash, struct str name);

#endif
