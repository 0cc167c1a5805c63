#include "discovery/source.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes and its clock */

#include "net/ip.h"

#define ARENA_BLOCK_BYTES 4096

int discovered_list_create(struct discovered_list **ret)
{
    struct discovered_list *list = calloc(1, sizeof(*list));
    if (!list)
        return UV_ENOMEM;
    arena_init(&list->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    *ret = list;
    return 0;
}

void discovered_list_destroy(struct discovered_list *list)
{
    if (!list)
        return;
    arena_deinit(&list->arena);
    free(list->items);
    free(list);
}

static int grow(struct discovered_list *list)
{
    uint32_t capacity = list->capacity ? list->capacity * 2 : 8;
    struct discovered *items = realloc(list->items, capacity * sizeof(*items));
    if (!items)
        return UV_ENOMEM;
    list->items = items;
    list->capacity = capacity;
    return 0;
}

/* What the one before has too, such as the datacenter, is one text for both. */
static bool copy_str(struct arena *arena, struct str *s, struct str before)
{
    if (s->len == 0) {
        *s = STR_EMPTY;
        return true;
    }
    if (str_equal(*s, before)) {
        *s = before;
        return true;
    }
    *s = arena_copy(arena, *s);
    return s->ptr != NULL;
}

int discovered_list_add(struct discovered_list *list, const struct discovered *item)
{
    if (list->count == list->capacity && grow(list))
        return UV_ENOMEM;
    struct discovered *copy = &list->items[list->count];
    const struct discovered *before = list->count ? copy - 1 : &(struct discovered){0};
    *copy = *item;
    if (!copy_str(&list->arena, &copy->host, before->host) ||
        !copy_str(&list->arena, &copy->instance, before->instance) ||
        !copy_str(&list->arena, &copy->node, before->node) ||
        !copy_str(&list->arena, &copy->datacenter, before->datacenter) ||
        !copy_str(&list->arena, &copy->routes, before->routes) ||
        !copy_str(&list->arena, &copy->zone, before->zone) ||
        !copy_str(&list->arena, &copy->why, before->why))
        return UV_ENOMEM;
    if (copy->address.any.sa_family == AF_UNSPEC)
        ip_parse(copy->host, copy->port, &copy->address);
    list->count++;
    return 0;
}

static int compare_str(struct str a, struct str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

int discovered_compare(const struct discovered *a, const struct discovered *b)
{
    int order = compare_str(a->datacenter, b->datacenter);
    if (!order)
        order = compare_str(a->node, b->node);
    if (!order)
        order = compare_str(a->instance, b->instance);
    if (!order)
        order = compare_str(a->host, b->host);
    if (!order)
        order = (int)a->port - (int)b->port;
    if (!order)
        order = ip_compare(&a->address, &b->address);
    return order;
}

static int compare(const void *left, const void *right)
{
    const struct discovered *a = left, *b = right;
    int order = discovered_compare(a, b);
    if (!order)
        order = (int)a->status - (int)b->status;
    if (!order)
        order = (int)a->priority - (int)b->priority;
    if (!order)
        order = compare_str(a->routes, b->routes);
    if (!order)
        order = (a->weight > b->weight) - (a->weight < b->weight);
    if (!order)
        order = (a->weight_warning > b->weight_warning) - (a->weight_warning < b->weight_warning);
    if (!order)
        order = compare_str(a->zone, b->zone);
    return order;
}

/* A list may live for days. */
static void give_room_back(struct discovered_list *list)
{
    struct discovered *items = list->count > 0 && list->count < list->capacity
                                   ? realloc(list->items, list->count * sizeof(*items))
                                   : NULL;
    if (!items)
        return;
    list->items = items;
    list->capacity = list->count;
}

void discovered_list_seal(struct discovered_list *list)
{
    give_room_back(list);
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare);
}

bool discovered_list_equal(const struct discovered_list *a, const struct discovered_list *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (compare(&a->items[i], &b->items[i]) != 0)
            return false;
    return true;
}

uint32_t discovered_list_count_usable(const struct discovered_list *list)
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < list->count; i++)
        usable += list->items[i].status <= DISCOVERED_WARNING;
    return usable;
}

int source_init(struct source *source, enum source_kind kind, struct str name,
                struct source_owner *owner, void (*close)(struct source *source))
{
    source->kind = kind;
    source->owner = owner;
    source->close = close;
    source->name = str_dup(name);
    return source->name ? 0 : UV_ENOMEM;
}

void source_publish(struct source *source, enum source_state state, struct discovered_list *list)
{
    bool is_same = state == source->state && (!list || discovered_list_equal(list, source->last));
    bool is_heard = source->is_silent && source->silent_since_ms == 0;
    bool is_awaited = is_heard || (is_same && source->is_doubted);
    if (is_heard)
        source->is_silent = source->is_replaced = false;
    source->is_repeated = is_same;
    source->is_doubted = false;
    if (source->is_closing || is_same) {
        discovered_list_destroy(list);
        if (is_awaited && !source->is_closing)
            source->owner->on_news(source->owner, source);
        return;
    }
    discovered_list_destroy(source->last);
    source->last = list;
    source->state = state;
    if (list && list->count > 0)
        source->had_targets = true;
    source->account.changes++;
    source->account.changed_ms = source->account.answered_ms;
    source->owner->on_news(source->owner, source);
}

void source_note_read(struct source *source)
{
    source->account.reads++;
}

void source_account_answer(struct source_account *account, uint64_t now_ms)
{
    account->wake_ups++;
    account->answered_ms = now_ms;
}

void source_account_error(struct source_account *account, const char *why, uint64_t now_ms)
{
    account->errors++;
    account->failed_ms = now_ms;
    snprintf(account->last_error, SOURCE_ERROR_BYTES, "%s", why);
}

void source_note_answer(struct source *source, uint64_t now_ms)
{
    source_account_answer(&source->account, now_ms);
    source->account.heard_ns = uv_hrtime();
    source->silent_since_ms = 0;
}

void source_note_silence(struct source *source, uint64_t now_ms)
{
    if (source->silent_since_ms == 0)
        source->silent_since_ms = now_ms;
}

void source_note_error(struct source *source, const char *why, uint64_t now_ms)
{
    source_account_error(&source->account, why, now_ms);
}

void source_tell(struct source *source, const char *type, const char *why)
{
    if (!source->owner->on_event || source->is_closing)
        return;
    json_t *text = json_string(why);
    source->owner->on_event(source->owner,
                            json_pack("{s:s, s:s, s:s, s:o}", "type", type, "source",
                                      source->kind == SOURCE_CONSUL ? "consul" : "dns", "name",
                                      source->name, "why",
                                      text ? text : json_string("(not printable)")));
}

void source_free(struct source *source)
{
    struct source_owner *owner = source->owner;
    discovered_list_destroy(source->last);
    free(source->name);
    free(source->key);
    free(source);
    owner->on_closed(owner);
}

void source_close(struct source *source)
{
    if (source->is_closing)
        return;
    source->is_closing = true;
    source->close(source);
}
