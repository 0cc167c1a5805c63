#include "discovery/consul_watch_read.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "discovery/consul_path.h"
#include "discovery/consul_watch_follow.h"
#include "discovery/consul_watch_trouble.h"

#define PLAIN_TIMEOUT_MS 10000 /* an agent without leader holds a query for 7 s; 3 s to answer */
#define FIRST_ANSWER_MS 1000   /* after that users of a new watch need not wait for it any longer */
#define BURST 5 /* reads at once, then one each period: also a broken server is not hammered */
#define PERIOD_MS 250
#define IDLE_PERIOD_MS 1000 /* where answers come again and again without news */
#define IDLE_RUN 20
/* An answer of moderate size that brought news earns the next one five times as soon: a rolling
 * restart is a row of changes, and each of them matters at once. */
#define NEWS_MAX_BYTES ((size_t)256 * 1024)
#define NEWS_BURST 25
#define NEWS_PERIOD_MS 50

/* A read that is to confirm another asks for a quorum, and has to be quick the first time. */
#define CONFIRM_TIMEOUT_MS 300
#define STALL_BYTES_PER_S 1000L /* an answer slower than this for STALL_S is given up */
#define STALL_S 5L
#define BODY_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define AUDIT_MS 300000 /* a read without index now and then, whatever the index says */

static const char *const phase_names[] = {"waiting", "reading", "parked", "listening", "closed"};

void consul_watch_turn_to(struct consul_watch *watch, enum watch_phase phase)
{
    assert(watch->phase != WATCH_CLOSED);
    log_debug("consul watch", LOG_CSTR("service", watch->source.name),
              LOG_CSTR("phase", phase_names[phase]), LOG_INT("index", watch->index));
    watch->phase = phase;
}

static void on_delay_over(uv_timer_t *timer);
static void on_first_answer_late(uv_timer_t *timer);

void consul_watch_plan_audit(struct consul_watch *watch)
{
    uint64_t audit_ms = consul_patience(watch->consul)->audit_ms;
    if (audit_ms == 0)
        audit_ms = AUDIT_MS;
    watch->audit_ms = consul_watch_now(watch) + audit_ms - audit_ms / 5 +
                      random_next(&watch->backoff.random) % (audit_ms * 2 / 5 + 1);
}

/* What follows watch->path. */
static void print_arguments(const struct consul_watch *watch, unsigned wait_ms, char *text,
                            size_t size)
{
    static const char *const views[] = {"stale", "", "consistent", "consistent"};
    bool is_cached = watch->is_cached && watch->kind == READ_FOLLOW;
    int len = snprintf(text, size, "%s%s", views[watch->kind], is_cached ? "&cached" : "");
    if (watch->asked_index > 0)
        snprintf(text + len, size - (size_t)len, "&index=%llu&wait=%u%s",
                 (unsigned long long)watch->asked_index, wait_ms % 1000 ? wait_ms : wait_ms / 1000,
                 wait_ms % 1000 ? "ms" : "s");
}

static long timeout_of(const struct consul_watch *watch, unsigned wait_ms)
{
    if (watch->kind >= READ_CONFIRM && !watch->is_holding)
        return CONFIRM_TIMEOUT_MS;
    /* Consul adds up to a sixteenth to the wait, and may hold the query while it elects. */
    return PLAIN_TIMEOUT_MS + (watch->asked_index > 0 ? (long)wait_ms * 17 / 16 : 0);
}

/* A query may block for its whole wait; an answer that has begun has nothing to wait for. 0: not
 * watched. */
static void watch_speed(struct consul_watch *watch, long bytes_per_s)
{
    curl_easy_setopt(watch->transfer.easy, CURLOPT_LOW_SPEED_LIMIT, bytes_per_s);
    curl_easy_setopt(watch->transfer.easy, CURLOPT_LOW_SPEED_TIME, bytes_per_s ? STALL_S : 0L);
}

/* What comes in place of an answer is a word to the operator; more than its beginning is not kept.
 */
static void keep_error(struct consul_watch *watch, struct str bytes)
{
    size_t room = CONSUL_ERROR_BODY_BYTES - buf_len(&watch->error_body);
    if (bytes.len > room)
        bytes.len = room;
    if (bytes.len > 0)
        buf_append(&watch->error_body, bytes.ptr, bytes.len); /* without memory: no word */
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct consul_watch *watch = arg;
    struct str part = str_make(bytes, size * count);
    long status = 0;
    curl_easy_getinfo(watch->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    watch->received_bytes += part.len;
    if (watch->received_bytes > BODY_MAX_BYTES)
        return CURL_WRITEFUNC_ERROR;
    if (status != 200)
        keep_error(watch, part);
    else if (watch->kind != READ_AGE) /* that one is asked for its head alone */
        consul_parser_feed(&watch->parser, part);
    return part.len;
}

static void begin_body(struct consul_watch *watch)
{
    consul_parser_deinit(&watch->parser);
    consul_parser_init(&watch->parser, &watch->view, &watch->known);
    watch->received_bytes = 0;
    buf_clear(&watch->error_body);
}

void consul_watch_read_now(struct consul_watch *watch)
{
    unsigned wait_ms =
        watch->takes_turns ? consul_turn_ms(watch->consul) : consul_wait_ms(watch->consul);
    if (watch->kind == READ_FOLLOW)
        watch->kind = consul_watch_kind_of_follow(watch);
    if (watch->kind == READ_FRESH || watch->kind == READ_CONFIRM)
        watch->is_rung = false;
    watch->asked_index = watch->kind == READ_FOLLOW ? watch->index : 0;
    watch->audited_index = 0;
    if (watch->asked_index > 0 && consul_watch_now(watch) >= watch->audit_ms) {
        watch->audited_index = watch->asked_index;
        watch->asked_index = 0;
        consul_watch_plan_audit(watch);
    }
    char path[CONSUL_PATH_MAX_BYTES + 128], arguments[128];
    print_arguments(watch, wait_ms, arguments, sizeof(arguments));
    int len = snprintf(path, sizeof(path), "%s%s",
                       watch->kind == READ_AGE ? watch->age_path : watch->path, arguments);
    assert(len > 0 && (size_t)len < sizeof(path)); /* watch->path is bounded */
    (void)len;                                     /* without asserts nobody reads it */

    curl_easy_setopt(watch->transfer.easy, CURLOPT_TIMEOUT_MS, timeout_of(watch, wait_ms));
    /* After a read that found no connection free, one of its own: else two that share one would
     * take it from each other for ever. */
    bool wants_own = watch->is_index_stale && !consul_is_multiplexed(watch->consul);
    curl_easy_setopt(watch->transfer.easy, CURLOPT_FRESH_CONNECT, (long)wants_own);
    watch->is_index_stale = watch->was_sent = false;
    watch_speed(watch, 0);
    watch->head = (struct consul_head){0};
    begin_body(watch);
    consul_watch_turn_to(watch, WATCH_READING);
    source_note_read(&watch->source);
    if (watch->source.state == SOURCE_PENDING)
        uv_timer_start(&watch->timer, on_first_answer_late, FIRST_ANSWER_MS, 0);
    if (consul_get(watch->consul, &watch->asker, &watch->transfer, path))
        consul_watch_agent_lost(watch, CURLE_OUT_OF_MEMORY, "out of memory");
}

static uint64_t take_turn(struct consul_watch *watch)
{
    uint64_t now_ms = consul_watch_now(watch);
    if (watch->has_news && watch->received_bytes < NEWS_MAX_BYTES)
        return token_bucket_take(&watch->bucket, NEWS_BURST, NEWS_PERIOD_MS, now_ms);
    uint64_t period_ms = watch->idle_run > IDLE_RUN ? IDLE_PERIOD_MS : PERIOD_MS;
    return token_bucket_take(&watch->bucket, BURST, period_ms, now_ms);
}

void consul_watch_read_after(struct consul_watch *watch, uint64_t delay_ms)
{
    uint64_t turn_ms = take_turn(watch);
    if (delay_ms < turn_ms)
        delay_ms = turn_ms;
    if (delay_ms == 0) {
        consul_watch_read_now(watch);
        return;
    }
    consul_watch_turn_to(watch, WATCH_WAITING);
    uv_timer_start(&watch->timer, on_delay_over, delay_ms, 0);
}

static void on_delay_over(uv_timer_t *timer)
{
    consul_watch_read_now(timer->data);
}

void consul_watch_repeat_after(struct consul_watch *watch, uint64_t delay_ms)
{
    uint64_t turn_ms = consul_repeat_delay_ms(watch->consul);
    consul_watch_read_after(watch, delay_ms > turn_ms ? delay_ms : turn_ms);
}

/* The read goes on; but DNS, if it is asked too, may help out. */
static void on_first_answer_late(uv_timer_t *timer)
{
    struct consul_watch *watch = timer->data;
    if (watch->source.state == SOURCE_PENDING)
        source_publish(&watch->source, SOURCE_AWAY, NULL);
}

/* A new connection, or a second one after the first broke, may lead to an agent that has started
 * again and knows smaller indexes: it would hold the query for the whole wait. (A turn is short,
 * and connections change hands all the time.) */
static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    struct consul_watch *watch = arg;
    consul_guard_socket(fd);
    watch->is_index_stale = watch->asked_index > 0 && !watch->takes_turns;
    return watch->is_index_stale ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

/* Each time the query goes out, the first time and on a second connection. */
static int on_send(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    (void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
    ((struct consul_watch *)arg)->was_sent = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct consul_watch *watch = arg;
    if (consul_head_take(&watch->head, str_make(bytes, size * count))) {
        watch_speed(watch, STALL_BYTES_PER_S);
        begin_body(watch);
    }
    return size * count;
}

void consul_watch_set_callbacks(struct consul_watch *watch)
{
    CURL *easy = watch->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, watch);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, watch);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, watch);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, watch);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, watch->error_text);
}
