#include "discovery/consul_catalog.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "discovery/backoff.h"
#include "discovery/consul_head.h"
#include "discovery/explain.h"
#include "discovery/source.h"

#define BODY_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define PLAIN_TIMEOUT_MS 10000
#define BURST                                                                                      \
    5 /* reads at once, then one each period: any registration anywhere wakes the query            \
       */
#define PERIOD_MS 250
#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS 30000
#define LIST_PATH "/v1/catalog/services"
#define AUDIT_READS 64 /* every so many reads, one is without index */

struct consul_catalog {
    struct consul *consul;
    struct consul_asker asker;
    struct curl_transfer transfer;
    uv_timer_t timer;
    struct buf body;
    struct consul_head head;
    struct backoff backoff;
    struct token_bucket bucket;
    uint64_t index; /* 0: none, the next read returns at once */
    unsigned reads;
    struct source_account account;
    uint64_t wakeup_count; /* answers, whatever they said */
    uint64_t known_digest; /* of the last list */
    size_t service_count;  /* in it */
    bool is_failing;       /* as logged */
    bool is_refused;       /* counted as such in the status */
    bool is_closing;
    bool is_index_stale; /* the read under way would have gone to who knows whom */
    consul_catalog_cb on_services;
    void *owner;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void on_due(uv_timer_t *timer);

static void read_after(struct consul_catalog *catalog, uint64_t delay_ms)
{
    uint64_t now_ms = uv_now(catalog->timer.loop);
    uint64_t turn_ms = token_bucket_take(&catalog->bucket, BURST, PERIOD_MS, now_ms);
    if (!catalog->is_closing)
        uv_timer_start(&catalog->timer, on_due, delay_ms > turn_ms ? delay_ms : turn_ms, 0);
}

static uint64_t now_of(const struct consul_catalog *catalog)
{
    return uv_now(catalog->timer.loop);
}

/* With a token that may not read the list new routes are not seen: weir isn't ready as it should
 * be.
 */
static void set_refused(struct consul_catalog *catalog, bool is_refused)
{
    consul_count(catalog->consul, is_refused - catalog->is_refused, 0);
    catalog->is_refused = is_refused;
}

static void lose(struct consul_catalog *catalog, CURLcode result, const char *why)
{
    catalog->index = 0;
    source_account_error(&catalog->account, why, now_of(catalog));
    if (!catalog->is_closing)
        consul_lost(catalog->consul, &catalog->asker, result, why);
}

static void on_due(uv_timer_t *timer)
{
    struct consul_catalog *catalog = timer->data;
    unsigned wait_ms = consul_wait_ms(catalog->consul);
    char path[160];
    if (++catalog->reads % AUDIT_READS == 0)
        catalog->index = 0;
    int len = snprintf(path, sizeof(path), LIST_PATH "?stale");
    catalog->account.reads++;
    if (catalog->index > 0)
        snprintf(path + len, sizeof(path) - (size_t)len, "&index=%llu&wait=%ums",
                 (unsigned long long)catalog->index, wait_ms);
    curl_easy_setopt(catalog->transfer.easy, CURLOPT_TIMEOUT_MS,
                     PLAIN_TIMEOUT_MS + (catalog->index > 0 ? (long)wait_ms * 17 / 16 : 0));
    curl_easy_setopt(catalog->transfer.easy, CURLOPT_FRESH_CONNECT,
                     (long)(catalog->is_index_stale && !consul_is_multiplexed(catalog->consul)));
    catalog->is_index_stale = false;
    catalog->head = (struct consul_head){0};
    buf_clear(&catalog->body);
    if (consul_get(catalog->consul, &catalog->asker, &catalog->transfer, path))
        lose(catalog, CURLE_OUT_OF_MEMORY, "out of memory");
}

static void fail(struct consul_catalog *catalog, int status, const char *why)
{
    if (!catalog->is_failing)
        log_warn("consul's list of services can't be read", LOG_INT("status", status),
                 LOG_CSTR("why", why), LOG_CSTR("effect", "the routes of tags stay as they are"));
    source_account_error(&catalog->account, why, now_of(catalog));
    catalog->is_failing = true;
    set_refused(catalog, status == 403);
    catalog->index = 0;
    read_after(catalog, backoff_next_ms(&catalog->backoff, RETRY_BASE_MS, RETRY_CAP_MS));
}

static void note_list(struct consul_catalog *catalog, const json_t *services)
{
    uint64_t digest = str_hash(buf_str(&catalog->body));
    source_account_answer(&catalog->account, now_of(catalog));
    if (digest != catalog->known_digest) {
        catalog->account.changes++;
        catalog->account.changed_ms = now_of(catalog);
    }
    catalog->known_digest = digest;
    catalog->service_count = json_object_size(services);
}

static void take_answer(struct consul_catalog *catalog)
{
    struct str body = buf_str(&catalog->body);
    json_t *services = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(services)) {
        json_decref(services);
        fail(catalog, 200, "the answer is no JSON object");
        return;
    }
    consul_good(catalog->consul);
    backoff_reset(&catalog->backoff);
    if (catalog->is_failing)
        log_info("consul's list of services is read again");
    catalog->is_failing = false;
    set_refused(catalog, false);
    note_list(catalog, services);
    /* An index that went back is another state's: the next read is to return at once. */
    bool is_back = catalog->head.index < catalog->index;
    bool is_same = catalog->index > 0 && catalog->head.index == catalog->index;
    catalog->index = catalog->head.has_index && !is_back ? catalog->head.index : 0;
    catalog->on_services(catalog->owner, &(struct consul_catalog_news){
                                             .services = services,
                                             .index = catalog->index,
                                             .may_differ = !is_same,
                                         });
    json_decref(services);
    read_after(catalog, catalog->index > 0 ? 0 : RETRY_BASE_MS);
}

static void on_done(struct curl_transfer *transfer, CURLcode result)
{
    struct consul_catalog *catalog = LIST_ENTRY(transfer, struct consul_catalog, transfer);
    long status = 0;
    if (catalog->is_index_stale) {
        catalog->index = 0;
        read_after(catalog, 0);
        return;
    }
    if (result == CURLE_WRITE_ERROR) {
        consul_answered(catalog->consul, transfer);
        fail(catalog, 200, "the answer is too large");
        return;
    }
    if (result != CURLE_OK) {
        lose(catalog, result, curl_easy_strerror(result));
        return;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    consul_answered(catalog->consul, transfer);
    catalog->wakeup_count++;
    if (status == 200)
        take_answer(catalog);
    else
        fail(catalog, (int)status, "Consul refuses");
    if (status == 403 && !catalog->is_closing)
        consul_refused(catalog->consul, &catalog->asker);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct consul_catalog *catalog = arg;
    return buf_append(&catalog->body, bytes, size * count) ? CURL_WRITEFUNC_ERROR : size * count;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct consul_catalog *catalog = arg;
    if (consul_head_take(&catalog->head, str_make(bytes, size * count)))
        buf_clear(&catalog->body);
    return size * count;
}

/* As with the watches of services: a new connection may lead to an agent that has started again and
 * knows smaller indexes. */
static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    struct consul_catalog *catalog = arg;
    consul_guard_socket(fd);
    catalog->is_index_stale = catalog->index > 0;
    return catalog->is_index_stale ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

static void on_agent_back(struct consul_asker *asker)
{
    read_after(LIST_ENTRY(asker, struct consul_catalog, asker), 0);
}

static void on_token(struct consul_asker *asker)
{
    struct consul_catalog *catalog = LIST_ENTRY(asker, struct consul_catalog, asker);
    if (catalog->is_failing && !catalog->transfer.is_active && !list_is_linked(&asker->parked))
        read_after(catalog, 0);
}

static void ask_anew(struct consul_asker *asker)
{
    struct consul_catalog *catalog = LIST_ENTRY(asker, struct consul_catalog, asker);
    if (!catalog->transfer.is_active || catalog->index == 0)
        return;
    consul_cancel(catalog->consul, &catalog->transfer);
    catalog->index = 0;
    read_after(catalog, 0);
}

int consul_catalog_open(struct consul *consul, consul_catalog_cb on_services, void *owner,
                        struct consul_catalog **ret)
{
    struct consul_catalog *catalog = calloc(1, sizeof(*catalog));
    if (!catalog || !(catalog->transfer.easy = curl_easy_init())) {
        free(catalog);
        return UV_ENOMEM;
    }
    catalog->consul = consul;
    catalog->asker.ask = on_agent_back;
    catalog->asker.on_token = on_token;
    catalog->asker.ask_anew = ask_anew;
    catalog->transfer.done = on_done;
    catalog->on_services = on_services;
    catalog->owner = owner;
    buf_init(&catalog->body, BODY_MAX_BYTES);
    backoff_init(&catalog->backoff);
    CURL *easy = catalog->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, catalog);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, catalog);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, catalog);
    uv_timer_init(consul_loop(consul), &catalog->timer);
    catalog->timer.data = catalog;
    consul_enter(consul, &catalog->asker);
    read_after(catalog, 0);
    *ret = catalog;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct consul_catalog *catalog = handle->data;
    void (*closed)(void *) = catalog->closed;
    void *closed_arg = catalog->closed_arg;
    curl_easy_cleanup(catalog->transfer.easy);
    buf_deinit(&catalog->body);
    free(catalog);
    closed(closed_arg);
}

static const char *phase_of(const struct consul_catalog *catalog)
{
    return list_is_linked(&catalog->asker.parked) ? "parked"
           : catalog->transfer.is_active          ? "reading"
                                                  : "waiting";
}

json_t *consul_catalog_describe(const struct consul_catalog *catalog)
{
    const struct source_account *account = &catalog->account;
    const char *state = account->answered_ms > 0 ? "known"
                        : account->failed_ms > 0 ? "away"
                                                 : "pending";
    json_t *body = json_pack("{s:s, s:s, s:s, s:I, s:[], s:s, s:s, s:s, s:I}", "source",
                             "consul-catalog", "name", "services", "state", state, "services",
                             (json_int_t)catalog->service_count, "pools", "address",
                             consul_address_in_use(catalog->consul), "query", LIST_PATH, "phase",
                             phase_of(catalog), "index", (json_int_t)catalog->index);
    json_t *more = explain_account(account, now_of(catalog));
    json_object_update(body, more);
    json_decref(more);
    json_object_set_new(body, "wake_ups", json_integer((json_int_t)catalog->wakeup_count));
    json_object_set_new(body, "partial", json_boolean(catalog->head.is_filtered));
    return body;
}

void consul_catalog_close(struct consul_catalog *catalog, void (*closed)(void *arg), void *arg)
{
    set_refused(catalog, false);
    catalog->is_closing = true;
    catalog->closed = closed;
    catalog->closed_arg = arg;
    consul_cancel(catalog->consul, &catalog->transfer);
    consul_leave(catalog->consul, &catalog->asker);
    uv_close((uv_handle_t *)&catalog->timer, on_timer_closed);
}
