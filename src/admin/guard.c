#include "admin/guard.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "base/log.h"
#include "base/rate_limit.h"
#include "base/siphash.h"

#define ORIGIN_MAX_BYTES 256
#define LOG_EVERY_MS 1000
#define RATE_BUCKETS 1024

struct admin_guard {
    struct tokens tokens;
    bool has_tokens;
    bool audits;
    bool any_origin;
    char *origins[GUARD_MAX_ORIGINS]; /* owned */
    unsigned origin_count;
    struct siphash_key key;
    uint64_t logged_at_ms;
    uint64_t unlogged; /* refusals since */
    struct rate_limit rate;
    struct rate_bucket buckets[RATE_BUCKETS]; /* of addresses */
};

/* ---- origins ---- */

/* "https://gui.example:8002/path" is the origin "https://gui.example:8002". */
static int add_origin(struct admin_guard *guard, struct str url, struct error *err)
{
    const char *mark = url.len > 3 ? memmem(url.ptr, url.len, "://", 3) : NULL;
    size_t start = mark ? (size_t)(mark - url.ptr) + 3 : 0, len = start;
    while (len < url.len && !strchr("/?#", url.ptr[len]))
        len++;
    bool is_good = mark && mark > url.ptr && len > start && len < ORIGIN_MAX_BYTES;
    for (size_t i = 0; i < url.len; i++)
        is_good = is_good && url.ptr[i] > ' ' && url.ptr[i] < 0x7f;
    if (!is_good || guard->origin_count == GUARD_MAX_ORIGINS) {
        error_set(err, "WEIR_ADMIN_CORS_ORIGINS",
                  "must be *, off, or a comma list of at most %d URLs such as "
                  "https://gui.example:8002",
                  GUARD_MAX_ORIGINS);
        return UV_EINVAL;
    }
    char *origin = str_dup(str_make(url.ptr, len));
    if (!origin)
        return UV_ENOMEM;
    guard->origins[guard->origin_count++] = origin;
    return 0;
}

static int set_origins(struct admin_guard *guard, const char *text, struct error *err)
{
    struct str rest = str_of(text ? text : "*");
    int rc = 0;
    guard->any_origin = str_equal(rest, STR("*"));
    if (guard->any_origin || str_equal(rest, STR("off")))
        return 0;
    while (rc == 0 && rest.ptr)
        rc = add_origin(guard, str_trim(str_cut(&rest, ',')), err);
    return rc;
}

static const char *find_origin(const struct admin_guard *guard, struct str origin)
{
    for (unsigned i = 0; i < guard->origin_count; i++)
        if (str_equal_nocase(str_of(guard->origins[i]), origin))
            return guard->origins[i];
    return NULL;
}

struct str admin_guard_allowed_origin(const struct admin_guard *guard, struct str origin,
                                      bool *ret_varies)
{
    *ret_varies = guard && !guard->any_origin && guard->origin_count > 1;
    if (!guard || guard->any_origin)
        return origin.len > 0 ? origin : STR("*");
    if (guard->origin_count == 0)
        return STR_EMPTY;
    const char *found = find_origin(guard, origin);
    return str_of(found ? found : guard->origins[0]); /* as Kong with an admin_gui_url */
}

/* ---- questions ---- */

/* An address's bucket; of IPv6 the /64, which is what one host can have all of. */
static uint64_t hash_address(const struct admin_guard *guard, const union ip_address *from)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)from;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    if (from->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        return siphash(&guard->key, str_make((const char *)&in6->sin6_addr + 12, 4));
    if (from->any.sa_family == AF_INET6)
        return siphash(&guard->key, str_make((const char *)&in6->sin6_addr, 8));
    return siphash(&guard->key, str_make((const char *)&in->sin_addr, sizeof(in->sin_addr)));
}

static struct str token_of(const struct guard_question *question)
{
    static const struct str scheme = {"bearer ", 7};
    struct str value = question->authorization;
    if (question->kong_admin_token.len > 0)
        return question->kong_admin_token;
    if (value.len <= scheme.len || !str_equal_nocase(str_make(value.ptr, scheme.len), scheme))
        return STR_EMPTY;
    return str_trim(str_make(value.ptr + scheme.len, value.len - scheme.len));
}

static void refuse(struct guard_verdict *verdict, int status, const char *message)
{
    verdict->status = status;
    snprintf(verdict->message, sizeof(verdict->message), "%s", message);
}

static void ask_tokens(struct admin_guard *guard, const struct guard_question *question,
                       struct guard_verdict *verdict)
{
    struct str shown = token_of(question);
    tokens_follow(&guard->tokens);
    const struct token *token = tokens_find(&guard->tokens, shown);
    if (!token) {
        refuse(verdict, 401, "Unauthorized");
        verdict->challenge = shown.len > 0 ? "Bearer realm=\"weir\", error=\"invalid_token\""
                                           : "Bearer realm=\"weir\"";
        return;
    }
    memcpy(verdict->name, token->name, sizeof(verdict->name));
    verdict->hides_secrets = token->role != ADMIN_OPERATOR;
    if (question->is_write && token->role != ADMIN_OPERATOR) {
        verdict->status = 403;
        snprintf(verdict->message, sizeof(verdict->message),
                 "%s, you do not have permissions to %s this resource", token->name,
                 question->action);
    }
}

static void log_refusal(struct admin_guard *guard, const struct guard_question *question,
                        const struct guard_verdict *verdict)
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (guard->logged_at_ms && question->now_ms - guard->logged_at_ms < LOG_EVERY_MS) {
        guard->unlogged++;
        return;
    }
    uv_ip_name((const struct sockaddr *)question->from, ip, sizeof(ip));
    log_warn("Admin API: a request was refused", LOG_INT("status", verdict->status),
             LOG_CSTR("address", ip), LOG_CSTR("token", verdict->name),
             LOG_CSTR("action", question->action), LOG_INT("others", guard->unlogged));
    guard->logged_at_ms = question->now_ms;
    guard->unlogged = 0;
}

void admin_guard_ask(struct admin_guard *guard, const struct guard_question *question,
                     struct guard_verdict *ret)
{
    *ret = (struct guard_verdict){.status = 0};
    if (!rate_limit_take(&guard->rate, hash_address(guard, question->from), question->now_ms))
        refuse(ret, 429, "API rate limit exceeded");
    else if (guard->has_tokens && !question->is_preflight)
        ask_tokens(guard, question, ret);
    /* A page that somebody visits could use the Admin API of this machine in their name: the
     * browser would keep the answer from it, but the deed would be done. */
    if (ret->status == 0 && question->is_write && question->origin.len > 0 && !guard->any_origin &&
        !find_origin(guard, question->origin))
        refuse(ret, 403, "this origin is not in WEIR_ADMIN_CORS_ORIGINS");
    if (ret->status)
        log_refusal(guard, question, ret);
}

bool admin_guard_audits(const struct admin_guard *guard)
{
    return guard && guard->audits;
}

/* ---- life ---- */

int admin_guard_create(const struct admin_guard_settings *settings, struct admin_guard **ret,
                       struct error *err)
{
    struct admin_guard *guard = calloc(1, sizeof(*guard));
    if (!guard)
        return UV_ENOMEM;
    guard->audits = settings->audits;
    guard->rate = (struct rate_limit){settings->rate_limit, RATE_BUCKETS, guard->buckets};
    guard->key = siphash_random_key();
    int rc = set_origins(guard, settings->origins, err);
    if (!rc && settings->tokens_file) {
        guard->has_tokens = true;
        rc = tokens_open(&guard->tokens, settings->tokens_file, err);
    }
    if (rc) {
        admin_guard_destroy(guard);
        return rc;
    }
    *ret = guard;
    return 0;
}

void admin_guard_destroy(struct admin_guard *guard)
{
    if (!guard)
        return;
    tokens_deinit(&guard->tokens);
    for (unsigned i = 0; i < guard->origin_count; i++)
        free(guard->origins[i]);
    free(guard);
}
