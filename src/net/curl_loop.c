#include "net/curl_loop.h"

#include <assert.h>
#include <stdlib.h>

/* libcurl names sockets to watch and one time to be woken at; both come back to it through
 * curl_multi_socket_action, and after each such call ended transfers are collected. */
struct curl_loop {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t timer;
    unsigned active_count;
    unsigned open_handles;
    void (*closed)(void *arg); /* NULL until curl_loop_close */
    void *closed_arg;
};

/* What libcurl waits for on one socket. libcurl keeps the pointer until it says REMOVE. */
struct watched_socket {
    uv_poll_t poll;
    struct curl_loop *curl;
    curl_socket_t fd;
};

static void free_when_closed(struct curl_loop *curl)
{
    if (!curl->closed || curl->open_handles > 0)
        return;
    void (*closed)(void *) = curl->closed;
    void *arg = curl->closed_arg;
    free(curl);
    closed(arg);
}

static void collect_ended(struct curl_loop *curl)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(curl->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        /* The message is gone once its handle is removed. */
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;
        struct curl_transfer *transfer;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
        curl_loop_cancel(curl, transfer);
        transfer->done(transfer, result);
    }
}

static void act(struct curl_loop *curl, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(curl->multi, fd, events, &running);
    collect_ended(curl);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watched_socket *watched = poll->data;
    /* On an error let libcurl read and write: it finds out which by itself. */
    int flags = status < 0 ? CURL_CSELECT_IN | CURL_CSELECT_OUT : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(watched->curl, watched->fd, flags);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct watched_socket *watched = handle->data;
    struct curl_loop *curl = watched->curl;
    free(watched);
    curl->open_handles--;
    free_when_closed(curl);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct curl_loop *curl = handle->data;
    curl->open_handles--;
    free_when_closed(curl);
}

static struct watched_socket *watch(struct curl_loop *curl, curl_socket_t fd)
{
    struct watched_socket *watched = calloc(1, sizeof(*watched));
    if (!watched)
        return NULL;
    if (uv_poll_init_socket(curl->loop, &watched->poll, fd)) {
        free(watched);
        return NULL;
    }
    watched->poll.data = watched;
    watched->curl = curl;
    watched->fd = fd;
    curl->open_handles++;
    curl_multi_assign(curl->multi, fd, watched);
    return watched;
}

/* libcurl's: which events of a socket it wants to hear of from now on. */
static int on_interest(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct curl_loop *curl = arg;
    struct watched_socket *watched = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watched)
            uv_close((uv_handle_t *)&watched->poll, on_socket_closed);
        curl_multi_assign(curl->multi, fd, NULL);
        return 0;
    }
    if (!watched && !(watched = watch(curl, fd)))
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&watched->poll, events, on_socket_ready) ? -1 : 0;
}

/* libcurl's: when to wake it; -1: not at all. It must not be called back from here. */
static int on_wake_time(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct curl_loop *curl = arg;
    if (timeout_ms < 0)
        return uv_timer_stop(&curl->timer);
    return uv_timer_start(&curl->timer, on_timer, (uint64_t)timeout_ms, 0);
}

int curl_loop_create(uv_loop_t *loop, long max_connections, struct curl_loop **ret)
{
    static bool initialised; /* the control thread's alone */
    if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT))
        return UV_ENOMEM;
    initialised = true;

    struct curl_loop *curl = calloc(1, sizeof(*curl));
    if (!curl)
        return UV_ENOMEM;
    if (!(curl->multi = curl_multi_init())) {
        free(curl);
        return UV_ENOMEM;
    }
    curl->loop = loop;
    uv_timer_init(loop, &curl->timer);
    curl->timer.data = curl;
    curl->open_handles = 1;
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, on_interest);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, on_wake_time);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
    curl_loop_limit(curl, max_connections);
    *ret = curl;
    return 0;
}

void curl_loop_limit(struct curl_loop *curl, long max_connections)
{
    curl_multi_setopt(curl->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max_connections);
    curl_multi_setopt(curl->multi, CURLMOPT_MAXCONNECTS, max_connections);
}

int curl_loop_start(struct curl_loop *curl, struct curl_transfer *transfer)
{
    assert(!transfer->is_active && !curl->closed);
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    if (curl_multi_add_handle(curl->multi, transfer->easy))
        return UV_ENOMEM;
    transfer->is_active = true;
    curl->active_count++;
    return 0;
}

void curl_loop_cancel(struct curl_loop *curl, struct curl_transfer *transfer)
{
    if (!transfer->is_active)
        return;
    transfer->is_active = false;
    curl->active_count--;
    curl_multi_remove_handle(curl->multi, transfer->easy);
}

void curl_loop_close(struct curl_loop *curl, void (*closed)(void *arg), void *arg)
{
    assert(curl->active_count == 0 && !curl->closed);
    curl->closed = closed;
    curl->closed_arg = arg;
    /* It may still say REMOVE of sockets while it closes its connections; timers it may not. */
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, NULL);
    curl_multi_cleanup(curl->multi);
    uv_close((uv_handle_t *)&curl->timer, on_timer_closed);
}
