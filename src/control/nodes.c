#include "control/nodes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "control/node_id.h"
#include "store/store.h"

#define HEARTBEAT_MS 1000
#define LIVE_MS 5000         /* without a heartbeat for that long a node is not waited for */
#define WAITING_MS 5         /* between two looks at the others while a write waits for them */
#define TOUCH_GAP_MS 10      /* many changes in a row make one heartbeat */
#define BEHIND_MAX_BYTES 900 /* of a header */

struct waiting {
    struct list link;
    uint64_t sequence;
    uint64_t deadline_ms; /* of the loop's clock */
    nodes_wait_cb done;
    void *arg;
};

struct asking {
    struct list link;
    nodes_list_cb done;
    void *arg;
};

struct known {
    char *id; /* owned, as the others */
    char *host;
    char *version;
    char *state;
    uint64_t sequence;
    int64_t started_at_ms;
    uint64_t seen_ms; /* when its last heartbeat was, by the loop's clock */
};

struct nodes {
    struct nodes_settings settings;
    uv_timer_t timer;
    char host[256];
    int64_t started_at_ms;
    uint64_t beaten_ms; /* the last heartbeat's time by the loop's clock */
    bool is_beating;    /* the store has one under way */
    bool is_touched;    /* another one is due when it is back */
    bool is_alone;      /* the engine has one node */
    bool is_stopped;
    struct known *known; /* owned */
    size_t known_count;
    struct list waits;
    struct list askers;  /* answered by the heartbeat that begins next */
    struct list answers; /* answered by the one under way */
};

/* ---- what is known ---- */

static void forget(struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->known_count; i++) {
        free(nodes->known[i].id);
        free(nodes->known[i].host);
        free(nodes->known[i].version);
        free(nodes->known[i].state);
    }
    free(nodes->known);
    nodes->known = NULL;
    nodes->known_count = 0;
}

static void learn(struct nodes *nodes, const struct store_node *list, size_t count)
{
    forget(nodes);
    nodes->known = calloc(count + 1, sizeof(*nodes->known));
    uint64_t now_ms = uv_now(nodes->settings.loop);
    for (size_t i = 0; nodes->known && i < count; i++) {
        struct known *node = &nodes->known[nodes->known_count];
        node->id = strdup(list[i].id);
        node->host = strdup(list[i].host);
        node->version = strdup(list[i].version);
        node->state = strdup(list[i].state);
        node->sequence = list[i].sequence;
        node->started_at_ms = list[i].started_at_ms;
        node->seen_ms = now_ms > list[i].age_ms ? now_ms - list[i].age_ms : 0;
        nodes->known_count++;
        if (!node->id || !node->host || !node->version || !node->state) {
            log_crit("memory is short");
            forget(nodes);
            return;
        }
    }
}

static bool is_self(const struct nodes *nodes, const struct known *node)
{
    return strcmp(node->id, nodes->settings.id->text) == 0;
}

static uint64_t age_ms(const struct nodes *nodes, const struct known *node)
{
    return uv_now(nodes->settings.loop) - node->seen_ms;
}

static struct store_node describe_self(const struct nodes *nodes)
{
    return (struct store_node){
        .id = nodes->settings.id->text,
        .host = nodes->host,
        .version = WEIR_VERSION,
        .state = nodes->settings.state(nodes->settings.owner),
        .sequence = store_sequence(nodes->settings.store),
        .started_at_ms = nodes->started_at_ms,
    };
}

static json_t *node_body(const struct store_node *node, uint64_t newest, bool is_own)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:I, s:b, s:b}", "id", node->id, "host",
                     node->host, "version", node->version, "state", node->state, "sequence",
                     (json_int_t)node->sequence, "lag", (json_int_t)(newest - node->sequence),
                     "started_at", (double)node->started_at_ms / 1000.0, "last_seen_ms",
                     (json_int_t)node->age_ms, "is_live", (int)(is_own || node->age_ms < LIVE_MS),
                     "is_self", (int)is_own);
}

static json_t *list_body(const struct nodes *nodes)
{
    struct store_node self = describe_self(nodes);
    uint64_t newest = self.sequence;
    bool has_self = false;
    json_t *list = json_array();
    for (size_t i = 0; i < nodes->known_count; i++)
        if (nodes->known[i].sequence > newest)
            newest = nodes->known[i].sequence;
    for (size_t i = 0; i < nodes->known_count; i++) {
        const struct known *known = &nodes->known[i];
        struct store_node node = {
            .id = known->id,
            .host = known->host,
            .version = known->version,
            .state = known->state,
            .sequence = known->sequence,
            .started_at_ms = known->started_at_ms,
            .age_ms = age_ms(nodes, known),
        };
        bool is_own = is_self(nodes, known);
        has_self = has_self || is_own;
        json_array_append_new(list, node_body(is_own ? &self : &node, newest, is_own));
    }
    if (!has_self)
        json_array_append_new(list, node_body(&self, newest, true));
    return list;
}

static void answer(struct nodes *nodes, struct list *askers)
{
    struct list now;
    list_init(&now);
    LIST_EACH(link, askers)
    {
        list_remove(link);
        list_push_back(&now, link);
    }
    LIST_EACH(link, &now)
    {
        struct asking *asking = LIST_ENTRY(link, struct asking, link);
        list_remove(link);
        asking->done(asking->arg, list_body(nodes));
        free(asking);
    }
}

/* ---- waiting for all ---- */

static bool is_behind(const struct nodes *nodes, const struct known *node, uint64_t sequence)
{
    return !is_self(nodes, node) && age_ms(nodes, node) < LIVE_MS && node->sequence < sequence;
}

/* Who keeps `sequence` from being everywhere; empty: nobody. */
static void list_behind(const struct nodes *nodes, uint64_t sequence, char *text, size_t size)
{
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < nodes->known_count; i++) {
        const struct known *node = &nodes->known[i];
        if (!is_behind(nodes, node, sequence) || len >= size)
            continue;
        int added = snprintf(text + len, size - len, "%s%s (%s)", len > 0 ? ", " : "", node->id,
                             node->host);
        len += added > 0 ? (size_t)added : 0;
    }
}

/* Answers the waits that are over; is_fresh: the others have just been looked at. */
static void end_waits(struct nodes *nodes, bool is_fresh, bool is_last)
{
    char behind[BEHIND_MAX_BYTES];
    LIST_EACH(link, &nodes->waits)
    {
        struct waiting *waiting = LIST_ENTRY(link, struct waiting, link);
        bool is_over = is_last || uv_now(nodes->settings.loop) >= waiting->deadline_ms;
        list_behind(nodes, waiting->sequence, behind, sizeof(behind));
        bool is_everywhere = is_fresh && behind[0] == '\0';
        if (!is_everywhere && !is_over)
            continue;
        if (!is_everywhere && behind[0] == '\0')
            snprintf(behind, sizeof(behind), "unknown");
        list_remove(link);
        waiting->done(waiting->arg, is_everywhere ? NULL : behind);
        free(waiting);
    }
}

/* ---- heartbeats ---- */

static void beat(struct nodes *nodes);

static void on_timer(uv_timer_t *timer)
{
    struct nodes *nodes = timer->data;
    end_waits(nodes, false, false);
    beat(nodes);
}

/* When to beat next. A touch is never answered at once: the store tells of a change before it
 * counts it as told. */
static void schedule(struct nodes *nodes)
{
    if (nodes->is_stopped)
        return;
    uint64_t in_ms = HEARTBEAT_MS;
    if (!list_is_empty(&nodes->waits)) {
        in_ms = WAITING_MS;
    } else if (nodes->is_touched && !nodes->is_beating) {
        uint64_t since_ms = uv_now(nodes->settings.loop) - nodes->beaten_ms;
        in_ms = since_ms < TOUCH_GAP_MS ? TOUCH_GAP_MS - since_ms : 0;
    }
    uv_timer_start(&nodes->timer, on_timer, in_ms, 0);
}

static void on_nodes(void *arg, int rc, const struct store_node *list, size_t count)
{
    struct nodes *nodes = arg;
    nodes->is_beating = false;
    nodes->is_alone = rc == UV_ENOTSUP;
    if (rc == 0)
        learn(nodes, list, count);
    answer(nodes, &nodes->answers);
    end_waits(nodes, rc == 0 || nodes->is_alone, nodes->is_stopped);
    schedule(nodes);
}

/* The process that had this node's id has ended: from here on this one is called so. */
static void claim_id(struct nodes *nodes)
{
    char before[UUID_TEXT_BYTES];
    memcpy(before, nodes->settings.id->text, sizeof(before));
    struct store_node leaving = {.id = before};
    if (node_id_claim(nodes->settings.id))
        store_heartbeat(nodes->settings.store, &leaving, NULL, NULL);
}

static void beat(struct nodes *nodes)
{
    if (nodes->is_stopped)
        return;
    if (!nodes->is_beating) {
        claim_id(nodes);
        nodes->is_beating = true;
        nodes->is_touched = false;
        nodes->beaten_ms = uv_now(nodes->settings.loop);
        LIST_EACH(link, &nodes->askers)
        {
            list_remove(link);
            list_push_back(&nodes->answers, link);
        }
        struct store_node self = describe_self(nodes);
        store_heartbeat(nodes->settings.store, &self, on_nodes, nodes);
    }
    if (nodes->is_beating)
        schedule(nodes); /* for deadlines, should the store take its time */
}

void nodes_touch(struct nodes *nodes)
{
    if (!nodes || nodes->is_stopped || nodes->is_alone || nodes->is_touched)
        return;
    nodes->is_touched = true;
    if (!nodes->is_beating) /* else on_nodes sees to it */
        schedule(nodes);
}

void nodes_list(struct nodes *nodes, nodes_list_cb done, void *arg)
{
    struct asking *asking = nodes->is_stopped ? NULL : calloc(1, sizeof(*asking));
    if (!asking) {
        done(arg, list_body(nodes));
        return;
    }
    asking->done = done;
    asking->arg = arg;
    list_push_back(&nodes->askers, &asking->link);
    if (nodes->is_beating)
        nodes->is_touched = true;
    beat(nodes);
}

void nodes_wait(struct nodes *nodes, uint64_t sequence, uint64_t limit_ms, nodes_wait_cb done,
                void *arg)
{
    struct waiting *waiting = nodes->is_stopped ? NULL : calloc(1, sizeof(*waiting));
    if (!waiting) {
        done(arg, "unknown");
        return;
    }
    uv_update_time(nodes->settings.loop);
    *waiting = (struct waiting){.sequence = sequence,
                                .deadline_ms = uv_now(nodes->settings.loop) + limit_ms,
                                .done = done,
                                .arg = arg};
    list_push_back(&nodes->waits, &waiting->link);
    beat(nodes);
}

/* ---- life ---- */

int nodes_create(const struct nodes_settings *settings, struct nodes **ret)
{
    struct nodes *nodes = calloc(1, sizeof(*nodes));
    if (!nodes)
        return UV_ENOMEM;
    nodes->settings = *settings;
    list_init(&nodes->waits);
    list_init(&nodes->askers);
    list_init(&nodes->answers);
    size_t size = sizeof(nodes->host);
    uv_os_gethostname(nodes->host, &size);
    uv_timeval64_t now;
    uv_gettimeofday(&now);
    nodes->started_at_ms = now.tv_sec * 1000 + now.tv_usec / 1000;
    int rc = uv_timer_init(settings->loop, &nodes->timer);
    if (rc) {
        free(nodes);
        return rc;
    }
    nodes->timer.data = nodes;
    *ret = nodes;
    beat(nodes);
    return 0;
}

void nodes_stop(struct nodes *nodes)
{
    if (!nodes || nodes->is_stopped)
        return;
    nodes->is_stopped = true;
    uv_close((uv_handle_t *)&nodes->timer, NULL);
    answer(nodes, &nodes->askers);
    if (!nodes->is_beating)
        answer(nodes, &nodes->answers);
    end_waits(nodes, false, true);
    struct store_node leaving = {.id = nodes->settings.id->text};
    if (!nodes->is_alone)
        store_heartbeat(nodes->settings.store, &leaving, NULL, NULL);
}

void nodes_destroy(struct nodes *nodes)
{
    if (!nodes)
        return;
    assert(nodes->is_stopped);
    answer(nodes, &nodes->answers); /* a heartbeat that never came back */
    forget(nodes);
    free(nodes);
}
