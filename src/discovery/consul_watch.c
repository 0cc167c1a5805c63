#include "discovery/consul_watch.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "discovery/consul_path.h"
#include "discovery/consul_watch_describe.h"
#include "discovery/consul_watch_follow.h"
#include "discovery/consul_watch_read.h"
#include "discovery/consul_watch_trouble.h"
#include "discovery/consul_watch_verdict.h"

#define ARENA_BLOCK_BYTES 512

/* --- what consul.h calls --- */

static void on_agent_back(struct consul_asker *asker)
{
    struct consul_watch *watch = LIST_ENTRY(asker, struct consul_watch, asker);
    consul_watch_read_after(watch, 0);
}

/* Who was refused need not wait. */
static void on_token(struct consul_asker *asker)
{
    struct consul_watch *watch = LIST_ENTRY(asker, struct consul_watch, asker);
    if (watch->phase != WATCH_WAITING || watch->failing_status != 403)
        return;
    backoff_reset(&watch->backoff);
    uv_timer_stop(&watch->timer);
    consul_watch_read_after(watch, 0);
}

/* After a sleep the index may be old, and the connection dead without having said so; or others
 * need that connection. */
static void ask_anew(struct consul_asker *asker)
{
    struct consul_watch *watch = LIST_ENTRY(asker, struct consul_watch, asker);
    watch->audit_ms = consul_watch_now(watch);
    consul_watch_stop_listening(watch);
    if (watch->phase == WATCH_READING && watch->asked_index > 0) {
        consul_cancel(watch->consul, &watch->transfer);
        uv_timer_stop(&watch->timer);
        consul_watch_repeat_after(watch, 0);
    }
}

/* --- answers --- */

static void note_bad_entries(struct consul_watch *watch, const struct consul_answer *answer)
{
    bool is_new = strcmp(watch->bad_entry, answer->bad_entry) != 0;
    if (answer->bad_count > 0) {
        if (answer->bad_count != watch->bad_count || is_new)
            source_tell(&watch->source, "watch.skipped", answer->bad_reason);
        if (answer->bad_count != watch->bad_count || is_new)
            log_warn("consul instances left out", LOG_CSTR("service", watch->source.name),
                     LOG_INT("count", answer->bad_count), LOG_CSTR("why", answer->bad_reason),
                     LOG_CSTR("entry", answer->bad_entry));
        memcpy(watch->bad_reason, answer->bad_reason, sizeof(watch->bad_reason));
        memcpy(watch->bad_entry, answer->bad_entry, sizeof(watch->bad_entry));
    }
    watch->bad_count = answer->bad_count;
    watch->bad_total += answer->bad_count;
    free(watch->skipped);
    watch->skipped = answer->bad_count > 0 ? malloc(sizeof(answer->skipped)) : NULL;
    if (watch->skipped)
        memcpy(watch->skipped, answer->skipped, sizeof(answer->skipped));
    watch->is_partial = answer->bad_count > 0 || watch->head.is_filtered;
}

/* Nothing comes as an empty list, not as a refusal: a missing token looks like a service without
 * instances. */
static void note_blindness(struct consul_watch *watch, bool is_blind)
{
    if (is_blind && !watch->was_blind)
        log_warn("consul shows nothing without a token", LOG_CSTR("service", watch->source.name),
                 LOG_CSTR("cure",
                          "give WEIR_CONSUL_TOKEN or WEIR_CONSUL_TOKEN_FILE a token that may "
                          "read services and nodes"));
    watch->was_blind = is_blind;
}

static void read_answer(struct consul_watch *watch)
{
    struct consul_answer answer;
    int rc = consul_parser_end(&watch->parser, &answer);
    consul_parser_deinit(&watch->parser);
    if (rc) {
        consul_watch_answer_failed(watch, -1, rc == UV_ENOMEM ? "no memory" : answer.bad_reason);
        return;
    }
    const struct discovered_list *last = watch->source.last;
    bool is_blind = watch->head.is_denied && !consul_has_token(watch->consul);
    watch->is_limited = watch->head.is_filtered || is_blind;
    if (watch->is_limited && watch->saw_all && last && answer.list->count < last->count) {
        discovered_list_destroy(answer.list);
        consul_watch_answer_failed(watch, 403,
                                   is_blind ? "without a token nothing is seen"
                                            : "the token does not see all instances any more");
        return;
    }
    source_note_answer(&watch->source, consul_watch_now(watch));
    note_blindness(watch, is_blind && answer.list->count == 0);
    note_bad_entries(watch, &answer);
    consul_watch_take_answer(watch, answer.list);
}

/* The query would have gone out by another connection than those before. If it was under way by one
 * that broke, the agent may have started again. Where connections are shared somebody else may just
 * have taken the one that was free between two queries; that is no trouble with Consul: taken for
 * some, it would keep a removal waiting for its time of grace. */
static void take_new_connection(struct consul_watch *watch)
{
    if (watch->was_sent || !consul_is_crowded(watch->consul)) {
        if (watch->was_sent)
            consul_broke(watch->consul);
        consul_watch_note_trouble(watch);
    } else {
        consul_watch_note_gap(watch);
    }
    consul_watch_read_after(watch, 0);
}

static void on_transfer_done(struct curl_transfer *transfer, CURLcode result)
{
    struct consul_watch *watch = LIST_ENTRY(transfer, struct consul_watch, transfer);
    uv_timer_stop(&watch->timer);
    if (watch->is_index_stale) {
        take_new_connection(watch);
    } else if (result == CURLE_WRITE_ERROR) {
        consul_answered(watch->consul, transfer);
        consul_watch_answer_failed(watch, -1, "the answer is too large");
    } else if (result == CURLE_OPERATION_TIMEDOUT && watch->kind >= READ_CONFIRM &&
               watch->pending && !watch->is_holding) {
        struct discovered_list *pending = watch->pending;
        watch->pending = NULL;
        consul_watch_hold(watch, pending, "no quorum has confirmed it in time");
    } else if (result != CURLE_OK) {
        consul_watch_agent_lost(
            watch, result, watch->error_text[0] ? watch->error_text : curl_easy_strerror(result));
    } else {
        long status = 0;
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        consul_answered(watch->consul, transfer);
        watch->wakeup_count++;
        if (status == 200 && watch->kind == READ_AGE && watch->pending)
            consul_watch_take_age(watch);
        else if (status == 200)
            read_answer(watch);
        else
            consul_watch_refuse_status(watch, (int)status);
    }
}

/* --- opening and closing --- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct consul_watch *watch = handle->data;
    if (--watch->open_handles > 0)
        return;
    curl_easy_cleanup(watch->transfer.easy);
    buf_deinit(&watch->error_body);
    consul_parser_deinit(&watch->parser);
    known_entries_deinit(&watch->known);
    discovered_list_destroy(watch->pending);
    flaps_deinit(&watch->flaps);
    arena_deinit(&watch->arena);
    free(watch->skipped);
    free(watch->path);
    free(watch->age_path);
    source_free(&watch->source);
}

static void watch_close(struct source *source)
{
    struct consul_watch *watch = LIST_ENTRY(source, struct consul_watch, source);
    consul_watch_turn_to(watch, WATCH_CLOSED);
    consul_watch_follow_end(watch);
    consul_watch_set_failing(watch, 0);
    consul_watch_set_holding(watch, false);
    consul_cancel(watch->consul, &watch->transfer);
    consul_leave(watch->consul, &watch->asker);
    uv_close((uv_handle_t *)&watch->timer, on_timer_closed);
    uv_close((uv_handle_t *)&watch->damp_timer, on_timer_closed);
}

static int copy_view(struct consul_watch *watch, const struct consul_view *view)
{
    struct str *tags = arena_alloc(&watch->arena, (view->excluded_count + 1) * sizeof(*tags));
    watch->view = *view;
    watch->view.excluded_tags = tags;
    if (!tags)
        return UV_ENOMEM;
    for (size_t i = 0; i < view->excluded_count; i++)
        if (!(tags[i] = arena_copy(&watch->arena, view->excluded_tags[i])).ptr)
            return UV_ENOMEM;
    if (view->tagged_address.len == 0)
        return 0;
    watch->view.tagged_address = arena_copy(&watch->arena, view->tagged_address);
    return watch->view.tagged_address.ptr ? 0 : UV_ENOMEM;
}

static void on_open(uv_timer_t *timer)
{
    struct consul_watch *watch = timer->data;
    consul_watch_plan_audit(watch);
    consul_watch_read_after(watch, consul_first_delay_ms(watch->consul));
}

int consul_watch_open(struct consul *consul, const struct consul_service *service,
                      struct source_owner *owner, struct source **ret)
{
    struct consul_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return UV_ENOMEM;
    buf_init(&watch->error_body, CONSUL_ERROR_BODY_BYTES);
    arena_init(&watch->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    backoff_init(&watch->backoff);
    watch->consul = consul;
    watch->is_cached = service->is_cached;
    watch->asker.ask = on_agent_back;
    watch->asker.on_token = on_token;
    watch->asker.ask_anew = ask_anew;
    consul_watch_follow_init(watch);
    flaps_init(&watch->flaps);
    known_entries_init(&watch->known, &watch->source.last);
    watch->transfer.done = on_transfer_done;
    CURL *easy = watch->transfer.easy = curl_easy_init();
    if (!easy || copy_view(watch, &service->view) ||
        !(watch->path = consul_path_of(easy, service)) ||
        !(watch->age_path = consul_path_of_all(easy, service)) ||
        source_init(&watch->source, SOURCE_CONSUL, service->name, owner, watch_close))
        goto fail;
    consul_watch_set_callbacks(watch);
    watch->source.describe = consul_watch_describe;

    uv_timer_init(consul_loop(consul), &watch->timer);
    watch->timer.data = watch;
    uv_timer_start(&watch->timer, on_open, 0, 0);
    uv_timer_init(consul_loop(consul), &watch->damp_timer);
    watch->damp_timer.data = watch;
    watch->open_handles = 2;
    consul_enter(consul, &watch->asker);
    *ret = &watch->source;
    return 0;
fail:
    if (easy)
        curl_easy_cleanup(easy);
    free(watch->path);
    free(watch->age_path);
    arena_deinit(&watch->arena);
    free(watch);
    return UV_ENOMEM;
}
