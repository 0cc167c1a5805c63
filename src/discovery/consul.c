#include "discovery/consul.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/str.h"
#include "discovery/backoff.h"
#include "discovery/consul_address.h"
#include "discovery/consul_credential.h"

#define ADDRESSES_MAX 8
#define CONNECTIONS_MAX 128 /* an agent allows 200 from one address by default */
#define CONNECTIONS_MIN 16  /* where it says that these are too many */
#define CONNECTIONS_SPARE 8 /* for reads that don't wait; other watches have to share */
#define SHARED_MIN 32       /* where they do, for those that share, with the spare ones */
/* So long fewer are used after a refusal; then twice as long, and so on. */
#define THROTTLED_MS 60000
#define THROTTLED_MAX_MS 3600000
#define THROTTLE_STEP_MS 1000 /* one storm of refusals is one reason */
#define SPREAD_FROM 32        /* this many first reads go out at once, */
#define SPREAD_MS 250         /* more are spread over so long */
#define REPEAT_BURST 32       /* reads that repeat others: so many at once, */
#define REPEAT_PERIOD_MS 31   /* then 32 a second, for all watches together */
#define MOVE_AFTER_FAILURES 3 /* an address is left after so many, */
#define MOVE_AFTER_MS 5000    /* or after so long without an answer */
#define FAILURE_APART_MS 100  /* what many watches meet together is one failure */
#define TOKEN_POLL_MS 250     /* how often the token's file is looked at */
#define WAIT_MS 60000         /* bounds the harm of a wrong index */
#define ROUND_MS 5000 /* where connections are shared by turns, each watch has one in that time */
#define TURN_MIN_MS 100
#define CONNECT_TIMEOUT_MS 1000
#define NAME_KEPT_S 5 /* an agent that moved is found soon */
#define RETRY_BASE_MS 100
#define REFUSED_CAP_MS 250 /* a refusal costs next to nothing: notice the return soon */
#define RETRY_CAP_MS 1000
#define URL_MAX_BYTES 8192

/*   UNKNOWN --> REACHABLE <--> AWAY      only turn_to() changes it, and logs it
 *        `------------------------^  */
enum agent_state { AGENT_UNKNOWN = 0, AGENT_REACHABLE, AGENT_AWAY };

struct consul {
    uv_loop_t *loop;
    struct curl_loop *curl;
    struct consul_address addresses[ADDRESSES_MAX];
    unsigned address_count, at; /* `at`: the one in use */
    unsigned address_turn;      /* counts moves */
    unsigned failures;          /* of this address since it last answered */
    uint64_t first_failure_ms, last_failure_ms;

    char *token, *token_file; /* owned; NULL: none */
    char *ca_cert, *client_cert, *client_key;
    struct consul_credential *credential; /* referenced */
    struct consul_patience patience;
    unsigned wait_ms;
    bool is_multiplexed; /* by the last answer */
    bool has_token;
    uv_fs_poll_t token_poll;

    enum agent_state state;
    char last_error[192];
    uint32_t watch_count;
    int refused_count, held_count;
    struct list entered;
    struct list bells, seated;
    struct list parked;
    struct consul_asker *prober; /* borrowed: the one that tries while the agent is away */
    uv_timer_t retry;
    struct backoff backoff;
    struct token_bucket repeats;
    long connections_max;
    uint64_t broke_ms;     /* when last; 0: never */
    uint64_t throttled_ms; /* when last */
    uint64_t throttle_pause_ms;
    unsigned open_handles;
    void (*on_event)(void *arg, json_t *event);
    void *on_event_arg;
    void (*closed)(void *arg);
    void *closed_arg;
};

static const char *url_of(const struct consul *consul)
{
    return consul->addresses[consul->at].url;
}

static void tell(const struct consul *consul, const char *type, const char *why)
{
    if (!consul->on_event)
        return;
    json_t *text = json_string(why);
    consul->on_event(consul->on_event_arg,
                     json_pack("{s:s, s:s, s:o}", "type", type, "address", url_of(consul), "why",
                               text ? text : json_string("(not printable)")));
}

void consul_set_listener(struct consul *consul, void (*on_event)(void *arg, json_t *event),
                         void *arg)
{
    consul->on_event = on_event;
    consul->on_event_arg = arg;
}

static void turn_to(struct consul *consul, enum agent_state state, const char *reason)
{
    if (state == AGENT_AWAY)
        snprintf(consul->last_error, sizeof(consul->last_error), "%s", reason);
    if (consul->state == state)
        return;
    enum agent_state before = consul->state;
    consul->state = state;
    tell(consul, state == AGENT_REACHABLE ? "consul.reachable" : "consul.unreachable",
         state == AGENT_REACHABLE ? "" : reason);
    if (state == AGENT_REACHABLE)
        log_info("consul reachable", LOG_CSTR("address", url_of(consul)));
    else if (before == AGENT_UNKNOWN)
        log_notice("consul unreachable", LOG_CSTR("address", url_of(consul)),
                   LOG_CSTR("why", reason));
    else
        log_warn("consul unreachable", LOG_CSTR("address", url_of(consul)), LOG_CSTR("why", reason),
                 LOG_CSTR("effect", "the last known targets stay"));
}

static void on_retry(uv_timer_t *timer)
{
    struct consul *consul = timer->data;
    if (consul->prober || list_is_empty(&consul->parked))
        return;
    consul->prober = LIST_ENTRY(consul->parked.next, struct consul_asker, parked);
    list_remove(&consul->prober->parked);
    consul->prober->ask(consul->prober);
}

static void retry_later(struct consul *consul, uint64_t cap_ms)
{
    if (consul->prober || uv_is_active((uv_handle_t *)&consul->retry))
        return;
    uv_timer_start(&consul->retry, on_retry,
                   backoff_next_ms(&consul->backoff, RETRY_BASE_MS, cap_ms), 0);
}

/* Indexes of different servers can't be compared: who fails forgets its own anyway. */
static void move_on(struct consul *consul, const char *why)
{
    consul->at = (consul->at + 1) % consul->address_count;
    consul->address_turn++;
    consul->failures = 0;
    tell(consul, "consul.moved", why);
    log_warn("consul address changed", LOG_CSTR("address", url_of(consul)), LOG_CSTR("why", why));
}

/* A failure of a query that went to the address in use. Silence has lasted long enough as it is. */
static void count_failure(struct consul *consul, const struct consul_asker *asker, bool is_silence)
{
    uint64_t now_ms = uv_now(consul->loop);
    if (asker->address_turn != consul->address_turn ||
        (consul->failures > 0 && now_ms - consul->last_failure_ms < FAILURE_APART_MS))
        return;
    consul->last_failure_ms = now_ms;
    if (consul->failures++ == 0)
        consul->first_failure_ms = now_ms;
    if (consul->address_count > 1 && (is_silence || consul->failures >= MOVE_AFTER_FAILURES ||
                                      now_ms - consul->first_failure_ms >= MOVE_AFTER_MS))
        move_on(consul, consul->last_error[0] ? consul->last_error : "it answers with errors");
}

static void note_ip(struct consul_address *address, const struct curl_transfer *transfer)
{
    const char *ip = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &ip);
    if (ip && !address->socket_path)
        snprintf(address->last_ip, sizeof(address->last_ip), "%s", ip);
}

void consul_answered(struct consul *consul, const struct curl_transfer *transfer)
{
    long version = CURL_HTTP_VERSION_NONE;
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
    consul->is_multiplexed = version == CURL_HTTP_VERSION_2_0;
    note_ip(&consul->addresses[consul->at], transfer);
    turn_to(consul, AGENT_REACHABLE, NULL);
    consul->prober = NULL;
    backoff_reset(&consul->backoff);
    uv_timer_stop(&consul->retry);
    while (!list_is_empty(&consul->parked)) {
        struct consul_asker *asker = LIST_ENTRY(consul->parked.next, struct consul_asker, parked);
        list_remove(&asker->parked);
        asker->ask(asker);
    }
}

void consul_good(struct consul *consul)
{
    consul->failures = 0;
}

void consul_disappointed(struct consul *consul, const struct consul_asker *asker)
{
    count_failure(consul, asker, false);
}

void consul_broke(struct consul *consul)
{
    consul->broke_ms = uv_now(consul->loop);
}

bool consul_broke_within(const struct consul *consul, uint64_t ms)
{
    return consul->broke_ms > 0 && uv_now(consul->loop) - consul->broke_ms < ms;
}

void consul_lost(struct consul *consul, struct consul_asker *asker, CURLcode result,
                 const char *reason)
{
    consul_broke(consul);
    turn_to(consul, AGENT_AWAY, reason);
    if (result == CURLE_COULDNT_RESOLVE_HOST)
        consul_address_use_last_ip(&consul->addresses[consul->at], uv_now(consul->loop));
    count_failure(consul, asker, result == CURLE_OPERATION_TIMEDOUT);
    if (consul->prober == asker)
        consul->prober = NULL;
    list_push_back(&consul->parked, &asker->parked);
    retry_later(consul, result == CURLE_COULDNT_CONNECT ? REFUSED_CAP_MS : RETRY_CAP_MS);
}

void consul_pass(struct consul *consul, const struct consul_asker *asker)
{
    if (consul->prober != asker)
        return;
    consul->prober = NULL;
    on_retry(&consul->retry);
}

static unsigned free_connections(const struct consul *consul)
{
    return (unsigned)consul->connections_max - CONNECTIONS_SPARE;
}

unsigned consul_seats(const struct consul *consul)
{
    return consul->connections_max > SHARED_MIN ? (unsigned)consul->connections_max - SHARED_MIN
                                                : 0;
}

struct list *consul_bells(struct consul *consul)
{
    return &consul->bells;
}

struct list *consul_seated(struct consul *consul)
{
    return &consul->seated;
}

bool consul_is_crowded(const struct consul *consul)
{
    return !consul->is_multiplexed && consul->watch_count > free_connections(consul);
}

static void all_ask_anew(struct consul *consul)
{
    LIST_EACH(node, &consul->entered)
    {
        struct consul_asker *asker = LIST_ENTRY(node, struct consul_asker, entered);
        asker->ask_anew(asker);
    }
}

void consul_throttled(struct consul *consul)
{
    uint64_t now_ms = uv_now(consul->loop);
    if (consul->throttled_ms && now_ms - consul->throttled_ms < THROTTLE_STEP_MS)
        return;
    consul->throttled_ms = now_ms;
    consul->connections_max = consul->connections_max * 3 / 4;
    if (consul->connections_max < CONNECTIONS_MIN)
        consul->connections_max = CONNECTIONS_MIN;
    curl_loop_limit(consul->curl, consul->connections_max);
    log_warn("consul refuses connections or requests", LOG_CSTR("address", url_of(consul)),
             LOG_INT("connections_max", consul->connections_max));
    if (consul_is_crowded(consul))
        all_ask_anew(consul); /* who sits on a connection for a minute keeps others from theirs */
}

void consul_count(struct consul *consul, int refused, int held)
{
    consul->refused_count += refused;
    consul->held_count += held;
}

void consul_enter(struct consul *consul, struct consul_asker *asker)
{
    bool was_crowded = consul_is_crowded(consul);
    consul->watch_count += !asker->is_no_watch;
    list_push_back(&consul->entered, &asker->entered);
    if (!was_crowded && consul_is_crowded(consul))
        all_ask_anew(consul);
}

void consul_leave(struct consul *consul, struct consul_asker *asker)
{
    bool was_crowded = consul_is_crowded(consul);
    consul->watch_count -= !asker->is_no_watch;
    list_remove(&asker->entered);
    list_remove(&asker->parked);
    consul_credential_unref(asker->credential);
    asker->credential = NULL;
    if (consul->prober == asker)
        consul->prober = NULL;
    if (!list_is_empty(&consul->parked))
        retry_later(consul, RETRY_CAP_MS);
    if (was_crowded && !consul_is_crowded(consul))
        all_ask_anew(consul); /* now all have room for a query of their own */
}

uv_loop_t *consul_loop(struct consul *consul)
{
    return consul->loop;
}

unsigned consul_wait_ms(const struct consul *consul)
{
    return consul->wait_ms;
}

unsigned consul_turn_ms(const struct consul *consul)
{
    unsigned shared = (unsigned)consul->connections_max - consul_seats(consul) - CONNECTIONS_SPARE;
    unsigned turn_ms = ROUND_MS * shared / (consul->watch_count + 1);
    if (turn_ms < TURN_MIN_MS)
        turn_ms = TURN_MIN_MS;
    return turn_ms < consul->wait_ms ? turn_ms : consul->wait_ms;
}

bool consul_is_multiplexed(const struct consul *consul)
{
    return consul->is_multiplexed;
}

uint64_t consul_first_delay_ms(struct consul *consul)
{
    if (consul->watch_count <= SPREAD_FROM)
        return 0;
    return random_next(&consul->backoff.random) % SPREAD_MS;
}

uint64_t consul_repeat_delay_ms(struct consul *consul)
{
    return token_bucket_take(&consul->repeats, REPEAT_BURST, REPEAT_PERIOD_MS,
                             uv_now(consul->loop));
}

const struct consul_patience *consul_patience(const struct consul *consul)
{
    return &consul->patience;
}

const char *consul_address_in_use(const struct consul *consul)
{
    return url_of(consul);
}

bool consul_has_token(const struct consul *consul)
{
    return consul->has_token;
}

static void set_or_clear(CURL *easy, CURLoption option, const char *text)
{
    curl_easy_setopt(easy, option, text);
}

int consul_get(struct consul *consul, struct consul_asker *asker, struct curl_transfer *transfer,
               const char *path)
{
    char url[URL_MAX_BYTES];
    struct consul_address *address = &consul->addresses[consul->at];
    int len = snprintf(url, sizeof(url), "%s%s", address->base, path);
    if (len < 0 || (size_t)len >= sizeof(url))
        return UV_ENOMEM;
    if (consul->connections_max < CONNECTIONS_MAX &&
        uv_now(consul->loop) - consul->throttled_ms > consul->throttle_pause_ms) {
        consul->connections_max = CONNECTIONS_MAX;
        if (consul->throttle_pause_ms < THROTTLED_MAX_MS)
            consul->throttle_pause_ms *= 2;
        curl_loop_limit(consul->curl, CONNECTIONS_MAX);
    }
    consul_credential_unref(asker->credential);
    asker->credential = consul->credential;
    asker->credential->ref_count++;
    asker->address_turn = consul->address_turn;

    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, asker->credential->headers);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* the agent is near, whatever http_proxy says */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    /* HTTP/2 where it is offered, which Consul does over TLS alone: many queries a connection. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    set_or_clear(easy, CURLOPT_UNIX_SOCKET_PATH, address->socket_path);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, consul_address_route(address, uv_now(consul->loop)));
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, (long)NAME_KEPT_S);
    if (consul->ca_cert) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, consul->ca_cert);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* this one, and no other */
    }
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* a new file counts at once */
    set_or_clear(easy, CURLOPT_SSLCERT, consul->client_cert);
    set_or_clear(easy, CURLOPT_SSLKEY, consul->client_key);
    return curl_loop_start(consul->curl, transfer);
}

void consul_cancel(struct consul *consul, struct curl_transfer *transfer)
{
    curl_loop_cancel(consul->curl, transfer);
}

/* A blocking query is silent for a minute: only keepalive tells that its server is still there. */
void consul_guard_socket(curl_socket_t fd)
{
    static const struct {
        int option, value;
    } options[] = {{TCP_KEEPIDLE, 15}, {TCP_KEEPINTVL, 5}, {TCP_KEEPCNT, 3}};
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) /* fails on Unix sockets */
        setsockopt(fd, IPPROTO_TCP, options[i].option, &options[i].value, sizeof(int));
}

/* --- the token --- */

static int use_token(struct consul *consul, const char *token)
{
    struct consul_credential *credential;
    if (consul_credential_create(token, &credential))
        return UV_ENOMEM;
    consul_credential_unref(consul->credential);
    consul->credential = credential;
    consul->has_token = token && *token;
    return 0;
}

/* True when there is another token than before. */
static bool load_token_file(struct consul *consul)
{
    char token[CONSUL_TOKEN_MAX_BYTES] = "";
    const char *wrong = consul_token_read(consul->token_file, token);
    if (wrong) {
        log_warn("consul token file not used", LOG_CSTR("path", consul->token_file),
                 LOG_CSTR("why", wrong));
        return false;
    }
    char *copy = strdup(token);
    if (!copy || (consul->token && strcmp(consul->token, token) == 0) || use_token(consul, token)) {
        free(copy);
        return false;
    }
    free(consul->token);
    consul->token = copy;
    return true;
}

static void tell_token(struct consul *consul)
{
    log_notice("consul token read", LOG_CSTR("path", consul->token_file));
    LIST_EACH(node, &consul->entered)
    {
        struct consul_asker *asker = LIST_ENTRY(node, struct consul_asker, entered);
        asker->on_token(asker);
    }
}

static void on_token_changed(uv_fs_poll_t *poll, int status, const uv_stat_t *before,
                             const uv_stat_t *after)
{
    (void)before;
    (void)after;
    struct consul *consul = poll->data;
    if (status == 0 && load_token_file(consul))
        tell_token(consul);
}

/* The file is followed too, but this moment may be earlier. Whoever was refused tries again by
 * itself. */
void consul_refused(struct consul *consul, struct consul_asker *asker)
{
    if (consul->token_file && load_token_file(consul))
        tell_token(consul);
    else if (asker->credential != consul->credential)
        asker->on_token(asker);
}

void consul_resume(struct consul *consul)
{
    all_ask_anew(consul);
}

/* --- opening and closing --- */

static int read_settings(struct consul *consul, const struct consul_settings *settings)
{
    const struct {
        const char *text;
        char **slot;
    } texts[] = {{settings->token, &consul->token},
                 {settings->token_file, &consul->token_file},
                 {settings->ca_cert, &consul->ca_cert},
                 {settings->client_cert, &consul->client_cert},
                 {settings->client_key, &consul->client_key}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].text && !(*texts[i].slot = strdup(texts[i].text)))
            return UV_ENOMEM;
    struct str rest = str_of(settings->urls);
    while (rest.len > 0 && consul->address_count < ADDRESSES_MAX) {
        struct consul_address *address = &consul->addresses[consul->address_count++];
        int rc = consul_address_init(address, str_trim(str_cut(&rest, ',')), settings->server_name);
        if (rc)
            return rc;
    }
    return use_token(consul, consul->token);
}

static void free_consul(struct consul *consul)
{
    consul_credential_unref(consul->credential);
    for (unsigned i = 0; i < consul->address_count; i++)
        consul_address_deinit(&consul->addresses[i]);
    free(consul->token);
    free(consul->token_file);
    free(consul->ca_cert);
    free(consul->client_cert);
    free(consul->client_key);
    free(consul);
}

int consul_create(uv_loop_t *loop, const struct consul_settings *settings, struct consul **ret)
{
    struct consul *consul = calloc(1, sizeof(*consul));
    if (!consul)
        return UV_ENOMEM;
    consul->loop = loop;
    consul->connections_max = CONNECTIONS_MAX;
    consul->throttle_pause_ms = THROTTLED_MS;
    consul->patience = settings->patience;
    consul->wait_ms = settings->wait_ms ? settings->wait_ms : WAIT_MS;
    list_init(&consul->entered);
    list_init(&consul->parked);
    list_init(&consul->bells);
    list_init(&consul->seated);
    backoff_init(&consul->backoff);
    if (read_settings(consul, settings) || curl_loop_create(loop, CONNECTIONS_MAX, &consul->curl)) {
        free_consul(consul);
        return UV_ENOMEM;
    }
    uv_timer_init(loop, &consul->retry);
    consul->retry.data = consul;
    uv_fs_poll_init(loop, &consul->token_poll);
    consul->token_poll.data = consul;
    if (consul->token_file) {
        load_token_file(consul);
        uv_fs_poll_start(&consul->token_poll, on_token_changed, consul->token_file, TOKEN_POLL_MS);
    }
    consul->open_handles = 3; /* the timer, the poll and the curl loop */
    *ret = consul;
    return 0;
}

json_t *consul_status(const struct consul *consul)
{
    if (!consul)
        return json_pack("{s:b, s:b, s:n, s:i, s:n}", "configured", 0, "reachable", 0, "address",
                         "watches", 0, "last_error");
    return json_pack("{s:b, s:b, s:s, s:i, s:i, s:i, s:i, s:s?}", "configured", 1, "reachable",
                     consul->state == AGENT_REACHABLE, "address", url_of(consul), "addresses",
                     (int)consul->address_count, "watches", (int)consul->watch_count, "refused",
                     consul->refused_count, "held", consul->held_count, "last_error",
                     consul->last_error[0] ? consul->last_error : NULL);
}

bool consul_is_fine(const struct consul *consul)
{
    return !consul || consul->watch_count == 0 ||
           (consul->state != AGENT_AWAY && consul->refused_count == 0 && consul->held_count == 0);
}

static void handle_closed(struct consul *consul)
{
    if (--consul->open_handles > 0)
        return;
    void (*closed)(void *) = consul->closed;
    void *arg = consul->closed_arg;
    free_consul(consul);
    closed(arg);
}

static void on_curl_closed(void *arg)
{
    handle_closed(arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

void consul_close(struct consul *consul, void (*closed)(void *arg), void *arg)
{
    assert(list_is_empty(&consul->parked) && consul->watch_count == 0);
    consul->closed = closed;
    consul->closed_arg = arg;
    uv_close((uv_handle_t *)&consul->retry, on_handle_closed);
    uv_close((uv_handle_t *)&consul->token_poll, on_handle_closed);
    curl_loop_close(consul->curl, on_curl_closed, consul);
}
