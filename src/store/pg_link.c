#include "store/pg_link.h"

#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/*   RESOLVING --> CONNECTING --> SETTING_UP --> IDLE <--> BUSY        (a job)
 *       ^  ^           |             |           |         |
 *       |  '- next ----'-- failed ---'           '- lost --'
 *       |     address,                              |
 *       |     next host                             v
 *       '----------------------------------- WAITING (at once after a loss, else jitter)
 *
 * pg_link_close leads from every state to CLOSED. Only set_state() changes the state. */
enum state { RESOLVING, CONNECTING, SETTING_UP, IDLE, BUSY, WAITING, CLOSED };

#define BACKOFF_BASE_MS 50
#define BACKOFF_MAX_MS 2000 /* an administrator who started it again doesn't want to wait */
#define BACKOFF_SHIFT_MAX 6

struct poll {
    uv_poll_t handle;
    bool is_closing;
};

struct resolution {
    uv_getaddrinfo_t request;
    struct pg_link *link; /* NULL: the link has lost interest */
};

struct pg_link {
    uv_loop_t *loop;                /* borrowed */
    const struct pg_params *params; /* borrowed */
    struct pg_link_events events;
    void *arg;
    enum state state;
    PGconn *conn;                         /* NULL: none */
    struct poll *poll;                    /* of its socket; NULL: none */
    uv_timer_t timer;                     /* of the attempt, the job or the wait */
    struct resolution *query;             /* under way; NULL: none */
    struct addrinfo *addresses, *address; /* of the host being tried; the one in turn */
    unsigned host;                        /* being tried or connected to */
    unsigned hosts_failed;                /* in a row */
    unsigned rounds_failed;
    struct pg_job *job; /* NULL: none */
    int set_up_rc;
    bool had_null;    /* the last thing that libpq said was "no more results" */
    bool is_dropping; /* pg_link_drop was called in a callback */
    char why[400];    /* the last failure */
    struct random_state random;
};

static void try_host(struct pg_link *link);
static void fail(struct pg_link *link, const char *why);

static void set_state(struct pg_link *link, enum state state)
{
    assert(link->state != CLOSED);
    link->state = state;
}

/* ---- the handles ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_poll(struct pg_link *link)
{
    if (!link->poll)
        return;
    link->poll->handle.data = link->poll;
    link->poll->is_closing = true;
    uv_close((uv_handle_t *)&link->poll->handle, on_poll_closed);
    link->poll = NULL;
}

/* libuv must let go of the socket before libpq closes it. */
static void disconnect(struct pg_link *link)
{
    close_poll(link);
    PQfinish(link->conn);
    link->conn = NULL;
}

static void forget_addresses(struct pg_link *link)
{
    if (link->addresses)
        uv_freeaddrinfo(link->addresses);
    link->addresses = link->address = NULL;
}

static void on_readiness(uv_poll_t *handle, int status, int events);

static int open_poll(struct pg_link *link)
{
    link->poll = calloc(1, sizeof(*link->poll));
    if (!link->poll)
        return UV_ENOMEM;
    int rc = uv_poll_init(link->loop, &link->poll->handle, PQsocket(link->conn));
    if (rc < 0) {
        free(link->poll);
        link->poll = NULL;
        return rc;
    }
    link->poll->handle.data = link;
    return 0;
}

static void await(struct pg_link *link, int events)
{
    if (link->poll)
        uv_poll_start(&link->poll->handle, events, on_readiness);
}

/* ---- connecting ---- */

static void on_connect_timeout(uv_timer_t *timer)
{
    struct pg_link *link = timer->data;
    char why[160];
    snprintf(why, sizeof(why), "PostgreSQL at %.64s:%u does not answer in time",
             link->params->hosts[link->host].name, link->params->hosts[link->host].port);
    fail(link, why);
}

static void start_attempt(struct pg_link *link, const char *address)
{
    set_state(link, CONNECTING);
    uv_timer_start(&link->timer, on_connect_timeout, link->params->timeout_ms, 0);
    link->conn = pg_params_start(link->params, link->host, address);
    if (!link->conn)
        fail(link, "out of memory");
    else if (PQstatus(link->conn) == CONNECTION_BAD || open_poll(link) < 0)
        fail(link, NULL);
    else
        await(link, UV_WRITABLE);
}

static void try_address(struct pg_link *link)
{
    char text[INET6_ADDRSTRLEN] = "";
    uv_ip_name(link->address->ai_addr, text, sizeof(text));
    link->address = link->address->ai_next;
    start_attempt(link, text);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct resolution *query = request->data;
    struct pg_link *link = query->link;
    free(query);
    if (!link) {
        uv_freeaddrinfo(addresses);
        return;
    }
    link->query = NULL;
    if (status < 0 || !addresses) {
        char why[160];
        snprintf(why, sizeof(why), "the name of PostgreSQL's host can't be resolved: %.64s: %s",
                 link->params->hosts[link->host].name,
                 status < 0 ? uv_strerror(status) : "nothing");
        uv_freeaddrinfo(addresses);
        fail(link, why);
        return;
    }
    link->addresses = link->address = addresses;
    try_address(link);
}

static void on_wait_end(uv_timer_t *timer)
{
    try_host(timer->data);
}

/* Resolves in libuv's pool, as libpq would block. */
static void try_host(struct pg_link *link)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    const char *name = link->params->hosts[link->host].name;
    forget_addresses(link);
    if (name[0] == '/') { /* a Unix socket */
        start_attempt(link, NULL);
        return;
    }
    set_state(link, RESOLVING);
    uv_timer_start(&link->timer, on_connect_timeout, link->params->timeout_ms, 0);
    link->query = calloc(1, sizeof(*link->query));
    if (!link->query) {
        fail(link, "out of memory");
        return;
    }
    link->query->link = link;
    link->query->request.data = link->query;
    int rc = uv_getaddrinfo(link->loop, &link->query->request, on_resolved, name, NULL, &hints);
    if (rc < 0) {
        free(link->query);
        link->query = NULL;
        fail(link, uv_strerror(rc));
    }
}

static void wait_and_try(struct pg_link *link, uint64_t delay_ms)
{
    set_state(link, WAITING);
    uv_timer_start(&link->timer, on_wait_end, delay_ms, 0);
}

/* "Full jitter": nodes that lost their database together don't come back together. */
static uint64_t next_delay_ms(struct pg_link *link)
{
    unsigned shift =
        link->rounds_failed < BACKOFF_SHIFT_MAX ? link->rounds_failed : BACKOFF_SHIFT_MAX;
    uint64_t bound = BACKOFF_BASE_MS << shift;
    bound = bound < BACKOFF_MAX_MS ? bound : BACKOFF_MAX_MS;
    link->rounds_failed++;
    return 1 + random_next(&link->random) % bound;
}

/* Whatever was under way has failed; `why` NULL: libpq knows. Goes on with the next address, the
 * next host or, when all have failed, later. */
static void fail(struct pg_link *link, const char *why)
{
    struct pg_job *job = link->job;
    bool was_connected = link->state == IDLE || link->state == BUSY;
    if (why) {
        snprintf(link->why, sizeof(link->why), "%s", why);
    } else {
        struct error err;
        pg_params_explain(link->params, link->host, link->conn, &err);
        snprintf(link->why, sizeof(link->why), "%s", err.sentence);
    }
    uv_timer_stop(&link->timer);
    if (link->query) {
        link->query->link = NULL;
        uv_cancel((uv_req_t *)&link->query->request);
        link->query = NULL;
    }
    disconnect(link);
    link->job = NULL;
    link->is_dropping = false;
    if (was_connected) {
        link->hosts_failed = 0; /* this host first: maybe only the connection broke */
        forget_addresses(link);
        wait_and_try(link, 0);
    } else if (link->address) {
        try_address(link); /* may fail at once, and come here again */
        return;
    } else {
        link->host = (link->host + 1) % link->params->host_count;
        bool is_round = ++link->hosts_failed % link->params->host_count == 0;
        wait_and_try(link, is_round ? next_delay_ms(link) : 0);
        if (!is_round)
            return;
    }
    if (job)
        job->done(job, UV_ECONNRESET);
    if (link->state != CLOSED)
        link->events.away(link->arg, link->why);
}

/* ---- results ---- */

static void flush(struct pg_link *link)
{
    int rc = PQflush(link->conn);
    if (rc < 0)
        fail(link, NULL);
    else
        await(link, rc > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void turn_idle(struct pg_link *link)
{
    struct pg_job *job = link->job;
    bool was_set_up = link->state == SETTING_UP;
    if (was_set_up && link->set_up_rc < 0) {
        char why[sizeof(link->why)];
        snprintf(why, sizeof(why), "%s", link->why);
        fail(link, why);
        return;
    }
    uv_timer_stop(&link->timer);
    link->job = NULL;
    set_state(link, IDLE);
    if (was_set_up) {
        link->hosts_failed = link->rounds_failed = 0;
        link->events.ready(link->arg);
    } else {
        job->done(job, 0);
    }
}

static void take_result(struct pg_link *link, const PGresult *result)
{
    if (link->state == SETTING_UP) {
        if (link->set_up_rc == 0)
            link->set_up_rc =
                link->events.check_set_up(link->arg, result, link->why, sizeof(link->why));
    } else {
        link->job->result(link->job, result);
    }
}

/* Takes what has come, up to the end of the job. */
static void take_results(struct pg_link *link)
{
    while ((link->state == SETTING_UP || link->state == BUSY) && !PQisBusy(link->conn)) {
        PGresult *result = PQgetResult(link->conn);
        if (!result) { /* the end of one statement's; two ends in a row mean that we are lost */
            if (link->had_null || PQstatus(link->conn) == CONNECTION_BAD) {
                fail(link, NULL);
                return;
            }
            link->had_null = true;
            continue;
        }
        link->had_null = false;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            turn_idle(link);
            return;
        }
        bool is_lost = PQstatus(link->conn) == CONNECTION_BAD;
        if (!is_lost)
            take_result(link, result);
        PQclear(result);
        if (is_lost || link->is_dropping) {
            fail(link, is_lost ? NULL : link->why);
            return;
        }
    }
}

static void take_notifications(struct pg_link *link)
{
    bool is_any = false;
    for (PGnotify *note; (note = PQnotifies(link->conn));) {
        PQfreemem(note);
        is_any = true;
    }
    if (is_any && link->events.notified)
        link->events.notified(link->arg);
}

static void on_timeout(uv_timer_t *timer)
{
    fail(timer->data, "PostgreSQL did not answer a statement in time");
}

/* The server's own time-outs strike first: this one is for a server that is silent. */
static uint64_t silence_ms(const struct pg_link *link)
{
    return (uint64_t)link->params->timeout_ms * 3 / 2;
}

static void begin_batch(struct pg_link *link, enum state state)
{
    set_state(link, state);
    link->had_null = false;
    uv_timer_start(&link->timer, on_timeout, silence_ms(link), 0);
}

static void set_up(struct pg_link *link)
{
    begin_batch(link, SETTING_UP);
    link->set_up_rc = 0;
    if (PQsetnonblocking(link->conn, 1) != 0 || !PQenterPipelineMode(link->conn) ||
        !link->events.set_up(link->arg, link->conn) || !PQpipelineSync(link->conn))
        fail(link, NULL);
    else
        flush(link);
}

static void advance_connecting(struct pg_link *link)
{
    int socket = PQsocket(link->conn);
    uv_poll_stop(&link->poll->handle); /* libpq may change the socket */
    PostgresPollingStatusType wants = PQconnectPoll(link->conn);
    if (wants == PGRES_POLLING_FAILED) {
        fail(link, NULL);
        return;
    }
    if (PQsocket(link->conn) != socket) {
        close_poll(link);
        if (open_poll(link) < 0) {
            fail(link, "out of memory");
            return;
        }
    }
    if (wants == PGRES_POLLING_OK)
        set_up(link);
    else
        await(link, wants == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE);
}

static void on_readiness(uv_poll_t *handle, int status, int events)
{
    struct pg_link *link = handle->data;
    (void)events;
    if (link->state == CONNECTING) {
        advance_connecting(link);
        return;
    }
    /* An error of the socket, too, is for libpq to find. */
    if (!PQconsumeInput(link->conn) || status < 0) {
        take_results(link); /* what came before the end: maybe the server's last words */
        if (link->conn)
            fail(link, NULL);
        return;
    }
    struct poll *poll = link->poll;
    if (link->state == BUSY) /* long work that goes on is not silence */
        uv_timer_start(&link->timer, on_timeout, silence_ms(link), 0);
    take_results(link);
    if (link->poll != poll || !link->poll) /* lost, and maybe another already */
        return;
    if (PQstatus(link->conn) == CONNECTION_BAD) {
        fail(link, NULL);
        return;
    }
    flush(link);
    if (link->poll == poll)
        take_notifications(link);
}

/* ---- the verbs ---- */

int pg_link_open(uv_loop_t *loop, const struct pg_params *params,
                 const struct pg_link_events *events, void *arg, struct pg_link **ret)
{
    struct pg_link *link = calloc(1, sizeof(*link));
    if (!link)
        return UV_ENOMEM;
    link->loop = loop;
    link->params = params;
    link->events = *events;
    link->arg = arg;
    random_init(&link->random);
    uv_timer_init(loop, &link->timer);
    link->timer.data = link;
    wait_and_try(link, 0);
    *ret = link;
    return 0;
}

bool pg_link_is_idle(const struct pg_link *link)
{
    return link->state == IDLE;
}

bool pg_link_is_ready(const struct pg_link *link)
{
    return link->state == IDLE || link->state == BUSY;
}

void pg_link_run(struct pg_link *link, struct pg_job *job)
{
    assert(link->state == IDLE && !link->job);
    link->job = job;
    begin_batch(link, BUSY);
    if (!job->send(job, link->conn) || !PQpipelineSync(link->conn) || PQflush(link->conn) < 0) {
        /* The caller doesn't expect `done` yet. */
        uv_timer_start(&link->timer, on_timeout, 0, 0);
        return;
    }
    await(link, UV_READABLE | UV_WRITABLE);
}

void pg_link_drop(struct pg_link *link, const char *why)
{
    snprintf(link->why, sizeof(link->why), "%s", why);
    link->is_dropping = true;
    if (link->state == IDLE)
        fail(link, why);
}

static void on_closed(uv_handle_t *handle)
{
    struct pg_link *link = handle->data;
    void (*closed)(void *arg) = link->events.closed;
    void *arg = link->arg;
    free(link);
    closed(arg);
}

void pg_link_close(struct pg_link *link)
{
    struct pg_job *job = link->job;
    if (link->state == CLOSED)
        return;
    set_state(link, CLOSED);
    link->job = NULL;
    if (link->query) {
        link->query->link = NULL;
        uv_cancel((uv_req_t *)&link->query->request);
        link->query = NULL;
    }
    disconnect(link);
    forget_addresses(link);
    if (job)
        job->done(job, UV_ECANCELED);
    uv_close((uv_handle_t *)&link->timer, on_closed);
}
