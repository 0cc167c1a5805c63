#include "model/name_table.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <uv.h> /* error codes only */

#define PAGE_SLOTS 64 /* two kilobytes: what a change of one name copies */

struct name_slot {
    uint64_t hash;
    struct str name;
    const void *value; /* NULL: free */
};

struct name_page {
    _Atomic uint32_t refs;
    struct name_slot slots[PAGE_SLOTS];
};

/* ---- pages ---- */

static void page_unref(const struct name_table *table, struct name_page *page)
{
    if (!page || atomic_fetch_sub_explicit(&page->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; table->values && i < PAGE_SLOTS; i++)
        if (page->slots[i].value)
            table->values->unref(page->slots[i].value);
    free(page);
}

/* A page that nobody else has, in the place of what is there. NULL: no memory. */
static struct name_page *own_page(struct name_table *table, size_t index)
{
    struct name_page *page = table->pages[index];
    if (page && atomic_load_explicit(&page->refs, memory_order_acquire) == 1)
        return page;
    struct name_page *own = calloc(1, sizeof(*own));
    if (!own)
        return NULL;
    if (page)
        memcpy(own->slots, page->slots, sizeof(own->slots));
    atomic_init(&own->refs, 1);
    for (size_t i = 0; page && table->values && i < PAGE_SLOTS; i++)
        if (own->slots[i].value)
            table->values->ref(own->slots[i].value);
    page_unref(table, page);
    table->pages[index] = own;
    return own;
}

/* ---- slots ---- */

static size_t mask_of(const struct name_table *table)
{
    return table->page_count * PAGE_SLOTS - 1;
}

/* NULL: it is free. */
static const struct name_slot *slot_at(const struct name_table *table, size_t at)
{
    const struct name_page *page = table->pages[at / PAGE_SLOTS];
    const struct name_slot *slot = page ? &page->slots[at % PAGE_SLOTS] : NULL;
    return slot && slot->value ? slot : NULL;
}

/* Of a page that nobody else has. */
static void set_slot(struct name_table *table, size_t at, struct name_slot slot)
{
    table->pages[at / PAGE_SLOTS]->slots[at % PAGE_SLOTS] = slot;
}

/* ---- tables ---- */

static int make_pages(struct name_table *table, size_t count)
{
    table->page_count = 1;
    while (table->page_count * PAGE_SLOTS < count * 2)
        table->page_count *= 2;
    table->pages = calloc(table->page_count, sizeof(struct name_page *));
    return table->pages ? 0 : UV_ENOMEM;
}

int name_table_init(struct name_table *table, const struct name_values *values, size_t count)
{
    *table = (struct name_table){.values = values};
    return make_pages(table, count);
}

int name_table_share(const struct name_table *from, struct name_table *ret)
{
    *ret = *from;
    ret->pages = calloc(from->page_count, sizeof(struct name_page *));
    if (!ret->pages) {
        *ret = (struct name_table){.values = from->values};
        return UV_ENOMEM;
    }
    for (size_t i = 0; i < from->page_count; i++) {
        ret->pages[i] = from->pages[i];
        if (ret->pages[i])
            atomic_fetch_add_explicit(&ret->pages[i]->refs, 1, memory_order_relaxed);
    }
    return 0;
}

void name_table_deinit(struct name_table *table)
{
    for (size_t i = 0; table->pages && i < table->page_count; i++)
        page_unref(table, table->pages[i]);
    free(table->pages);
    *table = (struct name_table){0};
}

static int grow(struct name_table *table)
{
    struct name_table larger = {.values = table->values};
    int rc = make_pages(&larger, table->count * 2);
    for (size_t at = 0; rc == 0 && at <= mask_of(table); at++) {
        const struct name_slot *slot = slot_at(table, at);
        if (slot)
            rc = name_table_put(&larger, slot->hash, slot->name, slot->value);
    }
    if (rc) {
        name_table_deinit(&larger);
        return rc;
    }
    name_table_deinit(table);
    *table = larger;
    return 0;
}

int name_table_put(struct name_table *table, uint64_t hash, struct str name, const void *value)
{
    int rc = (table->count + 1) * 2 > table->page_count * PAGE_SLOTS ? grow(table) : 0;
    if (rc)
        return rc;
    size_t at = hash & mask_of(table);
    while (slot_at(table, at))
        at = (at + 1) & mask_of(table);
    if (!own_page(table, at / PAGE_SLOTS))
        return UV_ENOMEM;
    set_slot(table, at, (struct name_slot){hash, name, value});
    if (table->values)
        table->values->ref(value);
    table->count++;
    return 0;
}

/* All pages from there to the next free slot. */
static int own_run(struct name_table *table, size_t at)
{
    for (; slot_at(table, at); at = (at + 1) & mask_of(table))
        if (!own_page(table, at / PAGE_SLOTS))
            return UV_ENOMEM;
    return 0;
}

/* Entries that had stepped over the gap move up, so that no search stops too early. */
static void close_gap(struct name_table *table, size_t gap)
{
    size_t mask = mask_of(table);
    const struct name_slot *slot;
    for (size_t at = (gap + 1) & mask; (slot = slot_at(table, at)); at = (at + 1) & mask) {
        size_t steps = (at - slot->hash) & mask;
        if (steps < ((at - gap) & mask))
            continue; /* its own place is behind the gap */
        set_slot(table, gap, *slot);
        gap = at;
    }
    set_slot(table, gap, (struct name_slot){0});
}

int name_table_remove(struct name_table *table, uint64_t hash, const void *value)
{
    if (table->count == 0)
        return 0;
    size_t mask = mask_of(table), at = hash & mask;
    const struct name_slot *slot;
    while ((slot = slot_at(table, at)) && slot->value != value)
        at = (at + 1) & mask;
    if (!slot)
        return 0;
    int rc = own_run(table, at);
    if (rc)
        return rc;
    close_gap(table, at);
    table->count--;
    if (table->values)
        table->values->unref(value);
    return 0;
}

const void *name_table_find(const struct name_table *table, uint64_t hash, struct str name)
{
    if (table->count == 0)
        return NULL;
    size_t mask = mask_of(table);
    const struct name_slot *slot;
    for (size_t at = hash & mask; (slot = slot_at(table, at)); at = (at + 1) & mask)
        if (slot->hash == hash && slot->name.len == name.len &&
            (name.len == 0 || CRYPTO_memcmp(slot->name.ptr, name.ptr, name.len) == 0))
            return slot->value;
    return NULL;
}
