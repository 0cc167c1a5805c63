#include "discovery/consul_meta.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "discovery/backoff.h"
#include "discovery/consul_head.h"
#include "discovery/explain.h"
#include "discovery/source.h"

#define BODY_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define TIMEOUT_MS 10000
#define PERIOD_MS 1000 /* between two reads: Consul looks at each instance there is */
#define EASE 20        /* a read that took long is followed by so many times that without one */
#define EASE_MAX_MS 30000
#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS 60000
/* ("weir-route" in Service.Meta or "weir_route" in Service.Meta) and Service.Kind !=
 * "connect-proxy": sidecars have the meta of what they stand beside. */
#define PATH                                                                                       \
    "/v1/internal/ui/services?stale&filter=%28%22weir-route%22%20in%20Service.Meta%20or%20"        \
    "%22weir_route%22%20in%20Service.Meta%29%20and%20Service.Kind%20%21%3D%20%22connect-proxy%22"

struct consul_meta {
    struct consul *consul;
    struct consul_asker asker;
    struct curl_transfer transfer;
    uv_timer_t timer;
    struct buf body;
    struct consul_head head;
    struct backoff backoff;
    uint64_t wanted_index; /* an older answer doesn't show yet what has changed */
    uint64_t started_ms;   /* the last read */
    uint64_t free_ms;      /* when the next may start */
    struct source_account account;
    size_t known_count;
    bool is_known;
    bool is_due;     /* what has changed is newer than the read under way */
    bool is_failing; /* as logged */
    bool is_closing;
    consul_meta_cb on_services;
    void *owner;
    void (*closed)(void *arg);
    void *closed_arg;
};

static uint64_t now_of(const struct consul_meta *meta)
{
    return uv_now(meta->timer.loop);
}

static void on_due(uv_timer_t *timer)
{
    struct consul_meta *meta = timer->data;
    meta->is_due = false;
    meta->started_ms = now_of(meta);
    meta->account.reads++;
    meta->head = (struct consul_head){0};
    buf_clear(&meta->body);
    if (consul_get(meta->consul, &meta->asker, &meta->transfer, PATH))
        consul_lost(meta->consul, &meta->asker, CURLE_OUT_OF_MEMORY, "out of memory");
}

static void read_at(struct consul_meta *meta, uint64_t time_ms)
{
    uint64_t now_ms = now_of(meta);
    if (!meta->is_closing)
        uv_timer_start(&meta->timer, on_due, time_ms > now_ms ? time_ms - now_ms : 0, 0);
}

void consul_meta_ask(struct consul_meta *meta, uint64_t index)
{
    meta->wanted_index = index;
    meta->is_due = true;
    if (!meta->transfer.is_active && !list_is_linked(&meta->asker.parked) &&
        !uv_is_active((uv_handle_t *)&meta->timer))
        read_at(meta, meta->free_ms);
}

/* The answer, or its failure, is here: how long Consul is left alone for what it has done. */
static uint64_t ease_ms(const struct consul_meta *meta)
{
    uint64_t ms = (now_of(meta) - meta->started_ms) * EASE;
    ms = ms < EASE_MAX_MS ? ms : EASE_MAX_MS;
    return ms > PERIOD_MS ? ms : PERIOD_MS;
}

static void fail(struct consul_meta *meta, int status, const char *why)
{
    if (!meta->is_failing)
        log_warn("consul's services can't be searched by meta", LOG_INT("status", status),
                 LOG_CSTR("why", why),
                 LOG_CSTR("effect", "new routes of meta alone are not seen; a tag 'weir' helps"));
    source_account_error(&meta->account, why, now_of(meta));
    meta->is_failing = true;
    meta->free_ms =
        now_of(meta) + ease_ms(meta) + backoff_next_ms(&meta->backoff, RETRY_BASE_MS, RETRY_CAP_MS);
    read_at(meta, meta->free_ms);
}

static void take_answer(struct consul_meta *meta)
{
    struct str body = buf_str(&meta->body);
    json_t *services = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_array(services)) {
        json_decref(services);
        fail(meta, 200, "the answer is no JSON array");
        return;
    }
    consul_good(meta->consul);
    backoff_reset(&meta->backoff);
    if (meta->is_failing)
        log_info("consul's services are searched by meta again");
    meta->is_failing = false;
    source_account_answer(&meta->account, now_of(meta));
    meta->is_known = true;
    meta->known_count = json_array_size(services);
    meta->free_ms = now_of(meta) + ease_ms(meta);
    meta->on_services(meta->owner, services);
    json_decref(services);
    bool is_old = meta->head.has_index && meta->head.index < meta->wanted_index;
    if (meta->is_due || is_old)
        read_at(meta, meta->free_ms);
}

/* Consul, or a proxy before it, took the question and was too slow for it: of the agent that says
 * nothing, since this is the dearest question there is. */
static bool is_too_slow(const struct curl_transfer *transfer, CURLcode result)
{
    long sent_bytes = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
    return result == CURLE_OPERATION_TIMEDOUT && sent_bytes > 0;
}

static void on_done(struct curl_transfer *transfer, CURLcode result)
{
    struct consul_meta *meta = LIST_ENTRY(transfer, struct consul_meta, transfer);
    long status = 0;
    if (result == CURLE_WRITE_ERROR) {
        consul_answered(meta->consul, transfer);
        fail(meta, 200, "the answer is too large");
        return;
    }
    if (is_too_slow(transfer, result)) {
        fail(meta, 0, "no answer in time");
        return;
    }
    if (result != CURLE_OK) {
        source_account_error(&meta->account, curl_easy_strerror(result), now_of(meta));
        consul_lost(meta->consul, &meta->asker, result, curl_easy_strerror(result));
        return;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    consul_answered(meta->consul, transfer);
    if (status == 200)
        take_answer(meta);
    else
        fail(meta, (int)status, "Consul refuses");
    if (status == 403)
        consul_refused(meta->consul, &meta->asker);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct consul_meta *meta = arg;
    return buf_append(&meta->body, bytes, size * count) ? CURL_WRITEFUNC_ERROR : size * count;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct consul_meta *meta = arg;
    if (consul_head_take(&meta->head, str_make(bytes, size * count)))
        buf_clear(&meta->body);
    return size * count;
}

static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg;
    (void)purpose;
    consul_guard_socket(fd);
    return CURL_SOCKOPT_OK;
}

static void on_agent_back(struct consul_asker *asker)
{
    struct consul_meta *meta = LIST_ENTRY(asker, struct consul_meta, asker);
    consul_pass(meta->consul, asker); /* all would wait for this search */
    read_at(meta, meta->free_ms);
}

static void on_token(struct consul_asker *asker)
{
    struct consul_meta *meta = LIST_ENTRY(asker, struct consul_meta, asker);
    if (meta->is_failing && !meta->transfer.is_active && !list_is_linked(&asker->parked))
        read_at(meta, 0);
}

/* The list asks anew, too, and says when it has: nothing waits here. */
static void ask_anew(struct consul_asker *asker)
{
    (void)asker;
}

int consul_meta_open(struct consul *consul, consul_meta_cb on_services, void *owner,
                     struct consul_meta **ret)
{
    struct consul_meta *meta = calloc(1, sizeof(*meta));
    if (!meta || !(meta->transfer.easy = curl_easy_init())) {
        free(meta);
        return UV_ENOMEM;
    }
    meta->consul = consul;
    meta->asker = (struct consul_asker){
        .ask = on_agent_back, .on_token = on_token, .ask_anew = ask_anew, .is_no_watch = true};
    meta->transfer.done = on_done;
    meta->on_services = on_services;
    meta->owner = owner;
    buf_init(&meta->body, BODY_MAX_BYTES);
    backoff_init(&meta->backoff);
    CURL *easy = meta->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, meta);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, meta);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
    uv_timer_init(consul_loop(consul), &meta->timer);
    meta->timer.data = meta;
    consul_enter(consul, &meta->asker);
    *ret = meta;
    return 0;
}

json_t *consul_meta_describe(const struct consul_meta *meta)
{
    json_t *body = explain_account(&meta->account, now_of(meta));
    if (body)
        json_object_set_new(body, "services",
                            meta->is_known ? json_integer((json_int_t)meta->known_count)
                                           : json_null());
    return body;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct consul_meta *meta = handle->data;
    void (*closed)(void *) = meta->closed;
    void *closed_arg = meta->closed_arg;
    curl_easy_cleanup(meta->transfer.easy);
    buf_deinit(&meta->body);
    free(meta);
    closed(closed_arg);
}

void consul_meta_close(struct consul_meta *meta, void (*closed)(void *arg), void *arg)
{
    meta->is_closing = true;
    meta->closed = closed;
    meta->closed_arg = arg;
    consul_cancel(meta->consul, &meta->transfer);
    consul_leave(meta->consul, &meta->asker);
    uv_close((uv_handle_t *)&meta->timer, on_timer_closed);
}
