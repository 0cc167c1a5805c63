#include "discovery/bell_line.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "discovery/consul_path.h"

#define PLAIN_TIMEOUT_MS 10000 /* as a watch's: 7 s without leader, 3 s to answer */
#define AUDIT_MS 300000
#define RETRY_BASE_MS 100
#define RETRY_CAP_MS 10000
#define POLL_MS 1000 /* without an index there is no blocking */
#define STALE_MAX_MS 2000
#define STALL_BYTES_PER_S 1000L
#define STALL_S 5L
#define BODY_MAX_BYTES ((size_t)256 * 1024 * 1024)   /* a million checks */
#define CATALOG_MAX_BYTES ((size_t)16 * 1024 * 1024) /* it is read as a whole */

/* Under churn the list is read again and again: so often, and where it is long, so many bytes. */
#define BURST 4
#define PERIOD_MS 50
#define BYTES_PER_MS 8192
#define CATALOG_PERIOD_MS 500

static void read_now(struct bell_line *line);

static void on_delay_over(uv_timer_t *timer)
{
    read_now(timer->data);
}

static void read_after(struct bell_line *line, uint64_t delay_ms)
{
    uint64_t period_ms = line->is_catalog ? CATALOG_PERIOD_MS : PERIOD_MS;
    if (period_ms < line->received_bytes / BYTES_PER_MS)
        period_ms = line->received_bytes / BYTES_PER_MS;
    uint64_t turn_ms =
        token_bucket_take(&line->bucket, BURST, period_ms, uv_now(consul_loop(line->consul)));
    uv_timer_start(&line->timer, on_delay_over, delay_ms > turn_ms ? delay_ms : turn_ms, 0);
}

static void plan_audit(struct bell_line *line)
{
    uint64_t audit_ms = consul_patience(line->consul)->audit_ms;
    audit_ms = audit_ms ? audit_ms : AUDIT_MS;
    line->audit_ms = uv_now(consul_loop(line->consul)) + backoff_dither(&line->backoff, audit_ms);
}

/* The list that is known may be another server's, or another time's. */
static void lose(struct bell_line *line)
{
    bool was_tuned = line->is_tuned;
    line->index = 0;
    line->is_tuned = false;
    bell_table_forget(&line->table);
    if (was_tuned)
        line->listener->on_lost(line);
}

static void begin_body(struct bell_line *line)
{
    bell_table_begin(&line->table);
    buf_clear(&line->body);
    line->received_bytes = 0;
}

static void read_now(struct bell_line *line)
{
    uv_timer_stop(&line->timer);
    uint64_t now_ms = uv_now(consul_loop(line->consul));
    if (now_ms >= line->audit_ms) {
        line->index = 0;
        plan_audit(line);
    }
    line->asked_index = line->index;
    unsigned wait_s = (consul_wait_ms(line->consul) + 999) / 1000;
    char path[CONSUL_PATH_MAX_BYTES + 128], arguments[64] = "";
    if (line->asked_index > 0)
        snprintf(arguments, sizeof(arguments), "&index=%llu&wait=%us",
                 (unsigned long long)line->asked_index, wait_s);
    snprintf(path, sizeof(path), "%s%s%s", line->path, line->wants_leader ? "" : "stale",
             arguments);
    CURL *easy = line->transfer.easy;
    long timeout_ms = PLAIN_TIMEOUT_MS + (line->asked_index > 0 ? (long)wait_s * 17000 / 16 : 0);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)line->is_index_stale);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 0L);
    line->is_index_stale = false;
    line->head = (struct consul_head){0};
    begin_body(line);
    if (consul_get(line->consul, &line->asker, &line->transfer, path)) {
        lose(line);
        read_after(line, RETRY_CAP_MS);
    }
}

static void fail(struct bell_line *line, const char *why)
{
    if (!line->is_failing)
        log_warn("consul list not followed", LOG_CSTR("list", line->path), LOG_CSTR("why", why),
                 LOG_CSTR("effect", "services that share connections take turns"));
    line->is_failing = true;
    lose(line);
    uint64_t delay_ms = backoff_next_ms(&line->backoff, RETRY_BASE_MS, RETRY_CAP_MS);
    if (line->head.retry_after_s > 0)
        delay_ms = line->head.retry_after_s < 60 ? line->head.retry_after_s * 1000 : 60000;
    read_after(line, delay_ms);
}

static int take_body(struct bell_line *line)
{
    return line->is_catalog ? bell_table_take_catalog(&line->table, buf_str(&line->body),
                                                      line->listener->ring, line->arg)
                            : bell_table_end(&line->table, line->listener->ring, line->arg);
}

static void take_answer(struct bell_line *line)
{
    if (!line->wants_leader && line->head.lag_ms > STALE_MAX_MS) {
        line->wants_leader = true;
        line->index = 0;
        read_after(line, 0);
        return;
    }
    line->wants_leader = false;
    uint64_t index = line->head.has_index ? line->head.index : 0;
    if (index < line->known_index) { /* another server, another time: nothing can be compared */
        consul_broke(line->consul);
        lose(line);
        line->known_index = 0;
        read_after(line, 0);
        return;
    }
    bool is_first = !line->is_tuned;
    int rc = take_body(line);
    if (rc) {
        fail(line, rc == UV_ENOMEM ? "no memory" : "the answer makes no sense");
        return;
    }
    if (line->is_failing)
        log_info("consul list is followed again", LOG_CSTR("list", line->path));
    line->is_failing = false;
    line->is_tuned = true;
    backoff_reset(&line->backoff);
    consul_good(line->consul);
    bool is_newer = index > line->known_index;
    line->index = line->known_index = index;
    line->listener->on_answer(line, is_first, is_newer);
    read_after(line, index > 0 ? 0 : POLL_MS);
}

static void on_done(struct curl_transfer *transfer, CURLcode result)
{
    struct bell_line *line = LIST_ENTRY(transfer, struct bell_line, transfer);
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (line->is_index_stale) {
        line->index = 0; /* what is known stays to be compared with */
        read_after(line, 0);
    } else if (result == CURLE_WRITE_ERROR) {
        consul_answered(line->consul, transfer);
        fail(line, "the answer is too large");
    } else if (result != CURLE_OK) {
        lose(line);
        consul_lost(line->consul, &line->asker, result, curl_easy_strerror(result));
    } else {
        consul_answered(line->consul, transfer);
        if (status == 200) {
            take_answer(line);
            return;
        }
        char why[32];
        snprintf(why, sizeof(why), "HTTP %ld", status);
        if (status == 429)
            consul_throttled(line->consul);
        else if (status == 403)
            consul_refused(line->consul, &line->asker);
        fail(line, why);
    }
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct bell_line *line = arg;
    struct str part = str_make(bytes, size * count);
    long status = 0;
    curl_easy_getinfo(line->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    line->received_bytes += part.len;
    if (line->received_bytes > BODY_MAX_BYTES)
        return CURL_WRITEFUNC_ERROR;
    if (status != 200)
        return part.len;
    if (!line->is_catalog)
        bell_table_feed(&line->table, part);
    else if (buf_append(&line->body, part.ptr, part.len))
        return CURL_WRITEFUNC_ERROR;
    return part.len;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct bell_line *line = arg;
    if (consul_head_take(&line->head, str_make(bytes, size * count))) {
        curl_easy_setopt(line->transfer.easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_S);
        curl_easy_setopt(line->transfer.easy, CURLOPT_LOW_SPEED_TIME, STALL_S);
        begin_body(line);
    }
    return size * count;
}

/* As for a watch: behind a new connection may be an agent that knows smaller indexes. */
static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    struct bell_line *line = arg;
    consul_guard_socket(fd);
    line->is_index_stale = line->asked_index > 0;
    return line->is_index_stale ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

/* --- what consul.h calls --- */

static void on_agent_back(struct consul_asker *asker)
{
    struct bell_line *line = LIST_ENTRY(asker, struct bell_line, asker);
    line->index = 0;
    read_now(line);
}

static void on_token(struct consul_asker *asker)
{
    struct bell_line *line = LIST_ENTRY(asker, struct bell_line, asker);
    if (line->is_failing && !line->transfer.is_active && !list_is_linked(&asker->parked))
        read_now(line);
}

static void ask_anew(struct consul_asker *asker)
{
    struct bell_line *line = LIST_ENTRY(asker, struct bell_line, asker);
    if (list_is_linked(&asker->parked) || !line->transfer.is_active || line->asked_index == 0)
        return;
    consul_cancel(line->consul, &line->transfer);
    line->index = 0;
    read_after(line, 0);
}

/* --- opening and closing --- */

int bell_line_open(struct bell_line *line, struct consul *consul, char *path, bool is_catalog,
                   const struct bell_listener *listener, void *arg)
{
    CURL *easy = path ? curl_easy_init() : NULL;
    if (!easy) {
        free(path);
        return UV_ENOMEM;
    }
    *line = (struct bell_line){.consul = consul,
                               .listener = listener,
                               .arg = arg,
                               .path = path,
                               .is_catalog = is_catalog,
                               .asker = {.ask = on_agent_back,
                                         .on_token = on_token,
                                         .ask_anew = ask_anew,
                                         .is_no_watch = true},
                               .transfer = {.easy = easy, .done = on_done}};
    bell_table_init(&line->table);
    buf_init(&line->body, CATALOG_MAX_BYTES);
    backoff_init(&line->backoff);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, line);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, line);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, line);
    uv_timer_init(consul_loop(consul), &line->timer);
    line->timer.data = line;
    consul_enter(consul, &line->asker);
    plan_audit(line);
    read_after(line, 0);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct bell_line *line = handle->data;
    curl_easy_cleanup(line->transfer.easy);
    bell_table_deinit(&line->table);
    buf_deinit(&line->body);
    free(line->path);
    line->closed(line);
}

void bell_line_close(struct bell_line *line, void (*closed)(struct bell_line *line))
{
    line->closed = closed;
    consul_cancel(line->consul, &line->transfer);
    consul_leave(line->consul, &line->asker);
    uv_close((uv_handle_t *)&line->timer, on_timer_closed);
}
