#include "health/checker.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/random.h"

#define MAX_CURL_PROBES 256 /* at once, all pools together */
#define JITTER_PERCENT 20

struct checker {
    uv_loop_t *loop;
    struct timer_wheel *wheel; /* borrowed */
    checker_result_cb on_result;
    struct curl_loop *curl; /* NULL until the first probe that needs it */
    struct map by_key;      /* of struct prober */
    struct random_state random;
    void (*closed)(void *arg);
    void *closed_arg;
};

/*   at rest (timer) --due--> waiting (on a quota's list) --a place--> probing (probe) --> at rest
 */
struct prober {
    struct checker *checker;
    char *key;                   /* owned */
    struct target_state *target; /* referenced */
    struct health_rules *rules;  /* referenced */
    struct list watches;         /* never empty */
    struct timer_node timer;
    struct list waiting;
    struct check_quota *quota; /* where it waits or is counted as under way */
    struct probe *probe;       /* under way, or NULL */
};

static void go_on(struct check_quota *quota);

/* --- intervals --- */

static uint32_t interval_ms(const struct prober *prober)
{
    uint32_t least = 0;
    LIST_EACH(link, (struct list *)(uintptr_t)&prober->watches)
    {
        const struct check_watch *watch = LIST_ENTRY(link, struct check_watch, link);
        uint32_t ms = watch->is_out ? prober->rules->unhealthy_interval_ms
                                    : prober->rules->healthy_interval_ms;
        if (ms > 0 && (least == 0 || ms < least))
            least = ms;
    }
    return least;
}

static uint64_t jitter(struct checker *checker, uint32_t ms)
{
    uint64_t spread = (uint64_t)ms * JITTER_PERCENT * 2 / 100;
    return ms - spread / 2 + (spread ? random_next(&checker->random) % (spread + 1) : 0);
}

static void rest(struct prober *prober)
{
    uint32_t ms = interval_ms(prober);
    if (ms == 0)
        timer_wheel_disarm(prober->checker->wheel, &prober->timer);
    else
        timer_wheel_arm(prober->checker->wheel, &prober->timer, jitter(prober->checker, ms));
}

/* --- probing --- */

static void stop(struct prober *prober)
{
    struct check_quota *quota = prober->quota;
    timer_wheel_disarm(prober->checker->wheel, &prober->timer);
    list_remove(&prober->waiting);
    prober->quota = NULL;
    if (!prober->probe)
        return;
    probe_cancel(prober->probe);
    prober->probe = NULL;
    quota->in_flight--;
    go_on(quota);
}

static void on_probed(void *arg, const struct probe_result *result)
{
    struct prober *prober = arg;
    struct check_quota *quota = prober->quota;
    prober->probe = NULL;
    prober->quota = NULL;
    quota->in_flight--;
    rest(prober);
    LIST_EACH(link, &prober->watches)
    prober->checker->on_result(LIST_ENTRY(link, struct check_watch, link), result);
    go_on(quota);
}

static int start_by_curl(struct prober *prober)
{
    struct checker *checker = prober->checker;
    int rc = checker->curl ? 0 : curl_loop_create(checker->loop, MAX_CURL_PROBES, &checker->curl);
    if (rc)
        return rc;
    return (prober->rules->type == CHECK_HTTPS ? probe_start_https : probe_start_grpc)(
        checker->curl, prober->rules, prober->target, on_probed, prober, &prober->probe);
}

static void start_probe(struct prober *prober)
{
    bool is_plain = prober->rules->type == CHECK_TCP || prober->rules->type == CHECK_HTTP;
    int rc = is_plain ? probe_start_plain(prober->checker->loop, prober->rules, prober->target,
                                          on_probed, prober, &prober->probe)
                      : start_by_curl(prober);
    if (rc) { /* no memory: the next time, perhaps */
        prober->quota = NULL;
        rest(prober);
        return;
    }
    prober->quota->in_flight++;
}

static void go_on(struct check_quota *quota)
{
    while (quota->in_flight < quota->limit && !list_is_empty(&quota->waiting)) {
        struct prober *prober = LIST_ENTRY(quota->waiting.next, struct prober, waiting);
        list_remove(&prober->waiting);
        start_probe(prober);
    }
}

static void on_due(struct timer_node *node)
{
    struct prober *prober = LIST_ENTRY(node, struct prober, timer);
    prober->quota = LIST_ENTRY(prober->watches.next, struct check_watch, link)->quota;
    list_push_back(&prober->quota->waiting, &prober->waiting);
    go_on(prober->quota);
}

/* --- probers --- */

static void destroy_prober(struct prober *prober)
{
    stop(prober);
    map_remove(&prober->checker->by_key, str_of(prober->key));
    target_state_unref(prober->target);
    health_rules_unref(prober->rules);
    free(prober->key);
    free(prober);
}

static int make_prober(struct checker *checker, char *key, struct health_rules *rules,
                       struct target_state *target, struct prober **ret)
{
    struct prober *prober = calloc(1, sizeof(*prober));
    if (!prober || map_put(&checker->by_key, str_of(key), prober, NULL)) {
        free(prober);
        return UV_ENOMEM;
    }
    prober->checker = checker;
    prober->key = key;
    prober->target = target_state_ref(target);
    prober->rules = health_rules_ref(rules);
    list_init(&prober->watches);
    list_init(&prober->waiting);
    timer_node_init(&prober->timer, on_due);
    *ret = prober;
    return 0;
}

int checker_watch(struct checker *checker, struct check_watch *watch, struct check_quota *quota,
                  struct health_rules *rules, struct target_state *target)
{
    char *key;
    if (asprintf(&key, "%s|%s|%s", target->name, target->host, rules->probe_key) < 0)
        return UV_ENOMEM;
    struct prober *prober = map_get(&checker->by_key, str_of(key));
    if (prober) {
        free(key);
    } else if (make_prober(checker, key, rules, target, &prober)) {
        free(key);
        return UV_ENOMEM;
    }
    watch->prober = prober;
    watch->quota = quota;
    list_push_back(&prober->watches, &watch->link);
    if (!prober->quota && !list_is_linked(&prober->timer.link) && interval_ms(prober) > 0)
        timer_wheel_arm(checker->wheel, &prober->timer, 0); /* the first time at once */
    return 0;
}

void checker_unwatch(struct check_watch *watch)
{
    struct prober *prober = watch->prober;
    if (!prober)
        return;
    watch->prober = NULL;
    list_remove(&watch->link);
    if (list_is_empty(&prober->watches)) {
        destroy_prober(prober);
        return;
    }
    if (prober->quota != watch->quota)
        return;
    /* Its place was the leaving pool's: it asks anew, in another's. */
    stop(prober);
    timer_wheel_arm(prober->checker->wheel, &prober->timer, 0);
}

void checker_set_out(struct check_watch *watch, bool is_out)
{
    bool is_news = watch->is_out != is_out;
    watch->is_out = is_out;
    /* One that waits or is under way rests by the new interval when it has ended. */
    if (is_news && watch->prober && !watch->prober->quota)
        rest(watch->prober);
}

/* --- the whole --- */

void check_quota_init(struct check_quota *quota)
{
    *quota = (struct check_quota){.limit = 1};
    list_init(&quota->waiting);
}

int checker_create(uv_loop_t *loop, struct timer_wheel *wheel, checker_result_cb on_result,
                   struct checker **ret)
{
    struct checker *checker = calloc(1, sizeof(*checker));
    if (!checker)
        return UV_ENOMEM;
    checker->loop = loop;
    checker->wheel = wheel;
    checker->on_result = on_result;
    random_init(&checker->random);
    *ret = checker;
    return 0;
}

static void on_curl_closed(void *arg)
{
    struct checker *checker = arg;
    void (*closed)(void *) = checker->closed;
    void *closed_arg = checker->closed_arg;
    map_deinit(&checker->by_key);
    free(checker);
    closed(closed_arg);
}

void checker_close(struct checker *checker, void (*closed)(void *arg), void *arg)
{
    checker->closed = closed;
    checker->closed_arg = arg;
    if (checker->curl)
        curl_loop_close(checker->curl, on_curl_closed, checker);
    else
        on_curl_closed(checker);
}
