#include "discovery/consul_bell.h"

#include <stdlib.h>
#include <string.h>

#include "discovery/bell_line.h"
#include "discovery/consul_path.h"

#define BELLS_MAX 4 /* each takes two connections; datacenters beyond take turns */
#define BUCKETS 1024
#define TICK_MS 250
#define ROUND_PER_TICK 8 /* 32 a second */
#define AUDIT_MS 300000
#define CATALOG_PREFIX "/v1/catalog/services?"
#define CHECKS_PREFIX "/v1/health/state/any?"

struct consul_bell {
    struct list node; /* in the company's */
    struct consul *consul;
    struct bell_line checks, services;
    unsigned open_handles;
    char *scope; /* owned */
    uint32_t member_count;
    struct list members[BUCKETS]; /* by key */
    struct list rota;             /* of those that listen: the first was rung the longest ago */
    struct list checkless;        /* the same, of services that have no checks: none is told */
    uint64_t round_ms;            /* who was last rung before is rung again; 0: nobody need be */
    uv_timer_t tick;
};

static bool is_tuned(const struct consul_bell *bell)
{
    return bell->checks.is_tuned && bell->services.is_tuned;
}

static struct list *bucket_of(struct consul_bell *bell, uint64_t key)
{
    return &bell->members[(key ^ key >> 32) % BUCKETS];
}

static struct bell_member *member_of(struct list *node)
{
    return LIST_ENTRY(node, struct bell_member, node);
}

uint64_t consul_bell_key(const struct bell_member *member, struct str name)
{
    return bell_table_key(&member->bell->checks.table, name);
}

/* --- rings --- */

static void ring_all(struct consul_bell *bell, bool (*is_meant)(struct bell_member *, uint64_t),
                     uint64_t key)
{
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_EACH(node, &bell->members[i])
        {
            struct bell_member *member = member_of(node);
            if (!is_meant || is_meant(member, key))
                member->ring(member);
        }
}

static bool is_on_node(struct bell_member *member, uint64_t key)
{
    return member->is_on(member, key);
}

static void on_ring(void *arg, enum bell_subject subject, uint64_t key)
{
    struct consul_bell *bell = arg;
    if (!is_tuned(bell))
        return; /* all are rung when it is */
    if (subject == BELL_NODE) {
        ring_all(bell, is_on_node, key);
        return;
    }
    LIST_EACH(node, bucket_of(bell, key))
    {
        if (member_of(node)->key == key)
            member_of(node)->ring(member_of(node));
    }
}

/* Whom the list of checks names at all. */
static void note_checks(struct consul_bell *bell)
{
    const struct bell_rows *rows = &bell->checks.table.known;
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_EACH(node, &bell->members[i])
        {
            member_of(node)->has_check = false;
        }
    for (uint32_t i = 0; i < rows->count; i++)
        if (rows->items[i].subject == BELL_SERVICE)
            LIST_EACH(node, bucket_of(bell, rows->items[i].key))
            {
                if (member_of(node)->key == rows->items[i].key)
                    member_of(node)->has_check = true;
            }
}

static void on_answer(struct bell_line *line, bool is_first, bool is_newer)
{
    struct consul_bell *bell = line->arg;
    if (!line->is_catalog)
        note_checks(bell);
    else if (is_newer)
        bell->round_ms = uv_now(consul_loop(bell->consul)) + 1;
    if (is_first && is_tuned(bell))
        ring_all(bell, NULL, 0);
}

static void on_lost(struct bell_line *line)
{
    struct consul_bell *bell = line->arg;
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_EACH(node, &bell->members[i])
        {
            member_of(node)->on_lost(member_of(node));
        }
}

/* --- rounds --- */

void consul_bell_unlisten(struct bell_member *member)
{
    list_remove(&member->rota);
}

void consul_bell_listen(struct bell_member *member)
{
    struct consul_bell *bell = member->bell;
    list_remove(&member->rota);
    list_push_back(member->has_check ? &bell->rota : &bell->checkless, &member->rota);
    member->listened_ms = uv_now(consul_loop(bell->consul));
}

/* True when there was one whose turn it is. */
static bool ring_next(struct consul_bell *bell, struct list *rota)
{
    if (list_is_empty(rota))
        return false;
    struct bell_member *member = LIST_ENTRY(rota->next, struct bell_member, rota);
    uint64_t now_ms = uv_now(consul_loop(bell->consul));
    uint64_t audit_ms = consul_patience(bell->consul)->audit_ms;
    if (member->listened_ms >= bell->round_ms &&
        now_ms - member->listened_ms < (audit_ms ? audit_ms : AUDIT_MS))
        return false;
    list_remove(&member->rota);
    member->ring(member);
    return true;
}

static void on_tick(uv_timer_t *timer)
{
    struct consul_bell *bell = timer->data;
    if (!is_tuned(bell))
        return;
    for (unsigned i = 0; i < ROUND_PER_TICK; i++)
        if (!ring_next(bell, &bell->checkless) && !ring_next(bell, &bell->rota))
            break;
}

/* --- opening and closing --- */

static void free_bell(struct consul_bell *bell)
{
    free(bell->scope);
    free(bell);
}

static void handle_closed(struct consul_bell *bell)
{
    if (--bell->open_handles == 0)
        free_bell(bell);
}

static void on_line_closed(struct bell_line *line)
{
    handle_closed(line->arg);
}

static void on_tick_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void close_bell(struct consul_bell *bell)
{
    list_remove(&bell->node);
    bell_line_close(&bell->checks, on_line_closed);
    bell_line_close(&bell->services, on_line_closed);
    uv_close((uv_handle_t *)&bell->tick, on_tick_closed);
}

static char *path_of_checks(const char *scope)
{
    struct buf path;
    buf_init(&path, CONSUL_PATH_MAX_BYTES);
    int rc = buf_printf(&path, CHECKS_PREFIX "%s", scope + strlen(CATALOG_PREFIX));
    char *text = rc ? NULL : str_dup(buf_str(&path));
    buf_deinit(&path);
    return text;
}

static int open_bell(struct consul *consul, const char *scope, struct consul_bell **ret)
{
    static const struct bell_listener listener = {on_ring, on_answer, on_lost};
    struct consul_bell *bell = calloc(1, sizeof(*bell));
    if (!bell)
        return UV_ENOMEM;
    bell->consul = consul;
    list_init(&bell->rota);
    list_init(&bell->checkless);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&bell->members[i]);
    if (!(bell->scope = strdup(scope)) ||
        bell_line_open(&bell->checks, consul, path_of_checks(scope), false, &listener, bell)) {
        free_bell(bell);
        return UV_ENOMEM;
    }
    uv_timer_init(consul_loop(consul), &bell->tick);
    bell->tick.data = bell;
    uv_timer_start(&bell->tick, on_tick, TICK_MS, TICK_MS);
    bell->open_handles = 3;
    list_push_back(consul_bells(consul), &bell->node);
    if (bell_line_open(&bell->services, consul, strdup(scope), true, &listener, bell)) {
        bell->open_handles = 2;
        list_remove(&bell->node);
        bell_line_close(&bell->checks, on_line_closed);
        uv_close((uv_handle_t *)&bell->tick, on_tick_closed);
        return UV_ENOMEM;
    }
    *ret = bell;
    return 0;
}

static int find_bell(struct consul *consul, const char *scope, struct consul_bell **ret)
{
    unsigned count = 0;
    LIST_EACH(node, consul_bells(consul))
    {
        *ret = LIST_ENTRY(node, struct consul_bell, node);
        if (strcmp((*ret)->scope, scope) == 0)
            return 0;
        count++;
    }
    return count < BELLS_MAX ? open_bell(consul, scope, ret) : UV_EMFILE;
}

int consul_bell_join(struct consul *consul, struct bell_member *member, const char *scope,
                     struct str service)
{
    if (member->bell)
        return 0;
    if (strstr(scope, "peer=")) /* the list of checks is the cluster's own */
        return UV_EMFILE;
    struct consul_bell *bell;
    int rc = find_bell(consul, scope, &bell);
    if (rc)
        return rc;
    member->bell = bell;
    member->key = consul_bell_key(member, service);
    list_push_back(bucket_of(bell, member->key), &member->node);
    bell->member_count++;
    return 0;
}

void consul_bell_leave(struct bell_member *member)
{
    struct consul_bell *bell = member->bell;
    if (!bell)
        return;
    list_remove(&member->node);
    list_remove(&member->rota);
    member->bell = NULL;
    if (--bell->member_count == 0)
        close_bell(bell);
}

bool consul_bell_is_tuned(const struct bell_member *member)
{
    return member->bell && is_tuned(member->bell);
}
