#include "discovery/consul_watch_trouble.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "discovery/consul_watch_read.h"

#define REFUSED_MIN_MS 1000 /* another token is tried at once, the same one had better wait */

void consul_watch_note_trouble(struct consul_watch *watch)
{
    watch->index = 0;
    watch->has_news = false;
    watch->kind = READ_FOLLOW;
    watch->is_rung = true;
    watch->was_in_trouble = true;
    if (watch->source.state == SOURCE_PENDING)
        source_publish(&watch->source, SOURCE_AWAY, NULL);
}

void consul_watch_agent_lost(struct consul_watch *watch, CURLcode result, const char *reason)
{
    consul_watch_turn_to(watch, WATCH_PARKED);
    source_note_error(&watch->source, reason, consul_watch_now(watch));
    source_note_silence(&watch->source, consul_watch_now(watch));
    consul_watch_note_trouble(watch);
    if (!watch->source.is_closing)
        consul_lost(watch->consul, &watch->asker, result, reason);
}

void consul_watch_note_gap(struct consul_watch *watch)
{
    watch->index = 0;
    watch->kind = READ_FOLLOW;
    watch->is_rung = true;
    watch->had_gap = true;
}

struct patience {
    uint64_t base_ms, cap_ms;
};

static bool says(struct str body, const char *text)
{
    return body.len > 0 && memmem(body.ptr, body.len, text, strlen(text));
}

static bool is_our_mistake(int status, struct str body)
{
    return status == 400 || says(body, "No path to datacenter") || says(body, "expression") ||
           says(body, "no match found");
}

void consul_watch_set_failing(struct consul_watch *watch, int status)
{
    consul_count(watch->consul, (status == 403) - (watch->failing_status == 403), 0);
    watch->failing_status = status;
}

/* How long to stay away after which answer. It never gives up: all of these may be cured there. */
static struct patience patience_with(int status, struct str body)
{
    if (status == 403)
        return (struct patience){5000, 60000}; /* a token must be changed */
    if (is_our_mistake(status, body))
        return (struct patience){1000, 60000}; /* a setting must be changed */
    if (status == 429 || status == 503)
        return (struct patience){1000, 10000};
    if (says(body, "No cluster leader"))
        return (struct patience){100, 500}; /* an election takes a second or two */
    if (status >= 500)
        return (struct patience){100, 10000};
    return (struct patience){1000, 10000}; /* hardly a Consul */
}

static void log_failing(const struct consul_watch *watch, int status, const char *reason)
{
    static const char effect[] = "the last known targets stay";
    if (status == 403)
        log_warn("consul query fails", LOG_CSTR("service", watch->source.name),
                 LOG_INT("status", status), LOG_CSTR("why", reason), LOG_CSTR("effect", effect),
                 LOG_CSTR("cure", consul_has_token(watch->consul)
                                      ? "the token of WEIR_CONSUL_TOKEN or WEIR_CONSUL_TOKEN_FILE "
                                        "must be one that may read services and nodes"
                                      : "give WEIR_CONSUL_TOKEN or WEIR_CONSUL_TOKEN_FILE a token "
                                        "that may read services and nodes"));
    else
        log_warn("consul query fails", LOG_CSTR("service", watch->source.name),
                 LOG_INT("status", status > 0 ? status : 200), LOG_CSTR("why", reason),
                 LOG_CSTR("effect", effect));
}

void consul_watch_answer_failed(struct consul_watch *watch, int status, const char *reason)
{
    source_note_error(&watch->source, reason, consul_watch_now(watch));
    /* One 5xx alone is what an agent says that is just stopping. */
    bool is_worth_a_line = status < 500 || watch->backoff.failures > 0;
    if (is_worth_a_line && watch->failing_status != status)
        log_failing(watch, status, reason);
    if (is_worth_a_line && watch->failing_status != status)
        source_tell(&watch->source, "watch.failing", reason);
    if (is_worth_a_line)
        consul_watch_set_failing(watch, status);
    if (status >= 500 && !is_our_mistake(status, buf_str(&watch->error_body))) {
        consul_disappointed(watch->consul, &watch->asker);
        source_note_silence(&watch->source, consul_watch_now(watch));
    }
    if (status == 429)
        consul_throttled(watch->consul);

    struct patience patience = patience_with(status, buf_str(&watch->error_body));
    uint64_t delay_ms = backoff_next_ms(&watch->backoff, patience.base_ms, patience.cap_ms);
    if (status == 403 && delay_ms < REFUSED_MIN_MS)
        delay_ms = REFUSED_MIN_MS;
    if (watch->head.retry_after_s * 1000 > delay_ms)
        delay_ms = watch->head.retry_after_s < 60 ? watch->head.retry_after_s * 1000 : 60000;
    consul_watch_note_trouble(watch);
    if (watch->source.is_closing)
        return;
    consul_watch_repeat_after(watch, delay_ms);
    if (status == 403)
        consul_refused(watch->consul, &watch->asker); /* may make it try again at once */
}

void consul_watch_refuse_status(struct consul_watch *watch, int status)
{
    struct str body = buf_str(&watch->error_body);
    char reason[160];
    int len = body.len < 120 ? (int)body.len : 120;
    snprintf(reason, sizeof(reason), "HTTP %d: %.*s", status, len, body.len ? body.ptr : "");
    consul_watch_answer_failed(watch, status, reason);
}
