#include "discovery/bell_table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <uv.h> /* error codes only */

#define ROWS_MIN 64
#define NAME_MAX_BYTES 512 /* longer names are told apart by their beginning, and length */

void bell_table_init(struct bell_table *table)
{
    *table = (struct bell_table){.siphash_key = siphash_random_key()};
}

static void free_rows(struct bell_rows *rows)
{
    free(rows->items);
    *rows = (struct bell_rows){0};
}

void bell_table_forget(struct bell_table *table)
{
    free_rows(&table->known);
    free(table->slots);
    table->slots = NULL;
    table->has_known = false;
}

void bell_table_deinit(struct bell_table *table)
{
    bell_table_forget(table);
    free_rows(&table->fresh);
    json_pieces_deinit(&table->pieces);
}

uint64_t bell_table_key(const struct bell_table *table, struct str name)
{
    char lower[NAME_MAX_BYTES];
    size_t len = name.len < sizeof(lower) ? name.len : sizeof(lower);
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)tolower((unsigned char)name.ptr[i]);
    return siphash(&table->siphash_key, str_make(lower, len)) + name.len;
}

static int add(struct bell_table *table, const struct bell_row *row)
{
    struct bell_rows *rows = &table->fresh;
    if (rows->count >= BELL_ENTRIES_MAX)
        return UV_EPROTO;
    if (rows->count == rows->capacity) {
        uint32_t capacity = rows->capacity ? rows->capacity * 2 : ROWS_MIN;
        struct bell_row *items = realloc(rows->items, capacity * sizeof(*items));
        if (!items)
            return UV_ENOMEM;
        rows->items = items;
        rows->capacity = capacity;
    }
    rows->items[rows->count++] = *row;
    return 0;
}

static struct bell_row *find(const struct bell_table *table, uint64_t fingerprint)
{
    if (!table->slots)
        return NULL;
    for (uint32_t at = (uint32_t)fingerprint & table->mask; table->slots[at];
         at = (at + 1) & table->mask) {
        struct bell_row *row = &table->known.items[table->slots[at] - 1];
        if (row->fingerprint == fingerprint)
            return row;
    }
    return NULL;
}

static int add_known(struct bell_table *table, struct bell_row *row)
{
    row->is_seen = true;
    return add(table, row);
}

static int add_new(struct bell_table *table, uint64_t fingerprint, enum bell_subject subject,
                   uint64_t key)
{
    struct bell_row row = {.fingerprint = fingerprint, .key = key, .subject = subject};
    return add(table, &row);
}

static struct str text_of(const json_t *entry, const char *key)
{
    const json_t *value = json_object_get(entry, key);
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : (struct str){0};
}

static int on_piece(void *arg, struct str piece, enum json_piece_fault fault)
{
    struct bell_table *table = arg;
    if (fault)
        return 0; /* the service's own answer will say what is wrong with it */
    uint64_t fingerprint = siphash(&table->siphash_key, piece);
    struct bell_row *same = find(table, fingerprint);
    if (same)
        return add_known(table, same);
    json_t *entry =
        json_loadb(piece.ptr ? piece.ptr : "", piece.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    struct str service = text_of(entry, "ServiceName"), node = text_of(entry, "Node");
    int rc = 0;
    if (service.len > 0)
        rc = add_new(table, fingerprint, BELL_SERVICE, bell_table_key(table, service));
    else if (node.len > 0)
        rc = add_new(table, fingerprint, BELL_NODE, bell_table_key(table, node));
    json_decref(entry);
    return rc;
}

void bell_table_begin(struct bell_table *table)
{
    json_pieces_deinit(&table->pieces);
    json_pieces_init(&table->pieces, on_piece, table);
    table->fresh.count = 0;
    table->error = 0;
    for (uint32_t i = 0; i < table->known.count; i++)
        table->known.items[i].is_seen = false;
}

void bell_table_feed(struct bell_table *table, struct str bytes)
{
    if (!table->error)
        table->error = json_pieces_feed(&table->pieces, bytes);
}

static int build_index(struct bell_table *table)
{
    const struct bell_rows *rows = &table->known;
    uint32_t size = ROWS_MIN;
    while (size < rows->count * 2)
        size *= 2;
    free(table->slots);
    table->slots = calloc(size, sizeof(*table->slots));
    table->mask = size - 1;
    if (!table->slots)
        return UV_ENOMEM;
    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t at = (uint32_t)rows->items[i].fingerprint & table->mask;
        while (table->slots[at] &&
               rows->items[table->slots[at] - 1].fingerprint != rows->items[i].fingerprint)
            at = (at + 1) & table->mask;
        table->slots[at] = i + 1;
    }
    return 0;
}

/* An old row that was not seen is gone; a fresh one that was not among the old is new. */
static void ring_unseen(const struct bell_rows *rows, bell_cb ring, void *arg)
{
    for (uint32_t i = 0; i < rows->count; i++)
        if (!rows->items[i].is_seen)
            ring(arg, (enum bell_subject)rows->items[i].subject, rows->items[i].key);
}

static int turn_over(struct bell_table *table, bell_cb ring, void *arg)
{
    struct bell_rows old = table->known;
    bool had_known = table->has_known;
    table->known = table->fresh;
    table->fresh = (struct bell_rows){0};
    int rc = build_index(table);
    table->has_known = rc == 0;
    if (had_known) {
        ring_unseen(&old, ring, arg);
        ring_unseen(&table->known, ring, arg);
    }
    free_rows(&old);
    return rc;
}

int bell_table_end(struct bell_table *table, bell_cb ring, void *arg)
{
    if (table->error == UV_ENOMEM)
        return UV_ENOMEM;
    if (table->error || !json_pieces_is_whole(&table->pieces))
        return UV_EINVAL;
    return turn_over(table, ring, arg);
}

/* Consul says tags in any order. */
static uint64_t hash_tags(const struct bell_table *table, const json_t *tags)
{
    uint64_t sum = json_array_size(tags);
    size_t i;
    const json_t *tag;
    json_array_foreach(tags, i, tag) if (json_is_string(tag)) sum +=
        siphash(&table->siphash_key, str_make(json_string_value(tag), json_string_length(tag)));
    return sum;
}

int bell_table_take_catalog(struct bell_table *table, struct str body, bell_cb ring, void *arg)
{
    json_t *services = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_ALLOW_NUL, NULL);
    const char *name;
    json_t *tags;
    int rc = json_is_object(services) ? 0 : UV_EINVAL;
    bell_table_begin(table);
    if (!rc)
        json_object_foreach(services, name, tags)
        {
            uint64_t key = bell_table_key(table, str_of(name));
            uint64_t words[2] = {key, hash_tags(table, tags)};
            uint64_t fingerprint =
                siphash(&table->siphash_key, str_make((const char *)words, sizeof(words)));
            struct bell_row *same = find(table, fingerprint);
            rc = same ? add_known(table, same) : add_new(table, fingerprint, BELL_SERVICE, key);
            if (rc)
                break;
        }
    json_decref(services);
    if (rc)
        return rc == UV_ENOMEM ? UV_ENOMEM : UV_EINVAL;
    return turn_over(table, ring, arg);
}
