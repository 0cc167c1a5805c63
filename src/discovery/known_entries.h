/* known_entries.h - finds what an entry of Consul's answer was read to the last time by its bytes,
 * so that of a large pool only what has changed is parsed.
 *
 * Thread: one owner. Memory: an index of four bytes an instance and more; borrows the list. */
#ifndef DISCOVERY_KNOWN_ENTRIES_H
#define DISCOVERY_KNOWN_ENTRIES_H

#include "base/siphash.h"
#include "discovery/source.h"

struct known_entries {
    struct siphash_key key;
    struct discovered_list *const *list; /* where the list at hand is found; it may be NULL */
    const struct discovered_list *indexed;
    uint32_t *slots; /* owned; an item's number plus 1, by fingerprint; 0: free */
    uint32_t mask;   /* how many there are, less 1 */
};

/* `list` is looked at with every search and may change between them. */
void known_entries_init(struct known_entries *known, struct discovered_list *const *list);
void known_entries_deinit(struct known_entries *known);
/* Of an entry's bytes; never 0. */
uint64_t known_entries_fingerprint(const struct known_entries *known, struct str bytes);
/* The item that was read from the same bytes, or NULL. Borrowed from the list. */
const struct discovered *known_entries_find(struct known_entries *known, uint64_t fingerprint);

#endif
