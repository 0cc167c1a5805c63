#include "proxy/relay.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "net/client_hello.h"
#include "proxy/acceptor.h"
#include "proxy/relay_parts.h"
#include "proxy/worker_core.h"

/*   OPENING -----> CONNECTING ------> OPEN          OPENING: PROXY header, ClientHello, handshake
 *      |  |          ^   |  ^          |            WAITING: for the upstream's first endpoints,
 *      |  +-> WAITING+   |  +- retry   |            or for a target below its limits
 *      |        |        |             |
 *      +--------+--------+-------------+--> CLOSED  relay_finish() alone closes */

#define EARLY_MAX_BYTES (PROXY_PROTOCOL_MAX_BYTES + CLIENT_HELLO_MAX_BYTES + 3 * WORKER_READ_BYTES)

/* --- the end --- */

void relay_finish(struct relay *relay, uint16_t status, const char *reason, bool is_cut)
{
    if (relay->state == RELAY_CLOSED)
        return;
    relay->state = RELAY_CLOSED;
    relay_outcome_record(relay, status, reason);
    list_remove(&relay->waiting);
    deadline_stop(&relay->worker->wheel, &relay->deadline);
    pending_place_leave(relay->worker, relay->plan.upstream, &relay->place);
    relay_try_leave(relay, is_cut);
    if (is_cut)
        stream_abort(&relay->client.stream);
    else
        stream_close(&relay->client.stream);
}

static void on_client_closed(struct stream *stream)
{
    struct relay *relay = (struct relay *)stream;
    struct worker *worker = relay->worker;
    list_remove(&relay->link);
    relay_plan_deinit(&relay->plan);
    buf_deinit(&relay->early);
    free((char *)relay->server_name.ptr);
    free(relay);
    worker_count(&worker->stats.streams_active, -1);
    worker_client_gone(worker);
}

void relay_cut_all(struct worker *worker)
{
    LIST_EACH(link, &worker->relays)
    {
        struct relay *relay = LIST_ENTRY(link, struct relay, link);
        relay_finish(relay, 200, NULL, true);
    }
}

/* --- time --- */

uint64_t relay_moved(const struct relay *relay)
{
    return relay->received_bytes + relay->sent_bytes - stream_queued(&relay->client.stream) -
           stream_queued(&relay->target->end.stream);
}

/* The whole of it may be idle for the service's read_timeout; a target that has bytes to take has
 * its write_timeout. */
void relay_watch(struct relay *relay)
{
    const struct relay_plan *plan = &relay->plan;
    bool is_writing = stream_queued(&relay->target->end.stream) > 0;
    relay->moved_mark = relay_moved(relay);
    deadline_set(&relay->worker->wheel, &relay->deadline,
                 is_writing ? plan->write_timeout_ms : plan->read_timeout_ms);
}

/* Of a large write the kernel takes part after part, of which nobody is told. */
static void end_if_idle(struct relay *relay)
{
    bool is_cut =
        stream_queued(&relay->client.stream) > 0 || stream_queued(&relay->target->end.stream) > 0;
    if (relay_moved(relay) != relay->moved_mark)
        relay_watch(relay);
    else
        relay_finish(relay, 200, NULL, is_cut);
}

static void on_due(struct timer_node *node)
{
    struct relay *relay = LIST_ENTRY(node, struct relay, deadline.node);
    if (!deadline_has_passed(&relay->worker->wheel, &relay->deadline))
        return;
    deadline_clear(&relay->deadline);
    switch (relay->state) {
    case RELAY_OPENING:
        relay_opening_late(relay);
        break;
    case RELAY_WAITING:
        relay->has_waited_out = true;
        relay_try_begin(relay);
        break;
    case RELAY_CONNECTING:
        relay_try_fail(relay, TRY_CONNECT_TIMEOUT, UV_ETIMEDOUT, NULL);
        break;
    case RELAY_OPEN:
        end_if_idle(relay);
        break;
    case RELAY_CLOSED:
        break;
    }
}

/* --- the client's end --- */

void relay_open(struct relay *relay)
{
    struct buf early = relay->early;
    relay->state = RELAY_OPEN;
    buf_init(&relay->early, EARLY_MAX_BYTES);
    relay_watch(relay);
    if (buf_len(&early) > 0)
        relay_pump_bytes(&relay->client, buf_str(&early).ptr, buf_len(&early));
    buf_deinit(&early);
    if (relay->state != RELAY_OPEN)
        return;
    if (relay->client.has_ended)
        relay_pump_ended(&relay->client, 0);
    else if (stream_queued(&relay->target->end.stream) <= RELAY_MAX_QUEUED_BYTES &&
             stream_start_reading(&relay->client.stream))
        relay_finish(relay, 499, NULL, true);
}

static void on_client_bytes(struct stream *stream, const char *bytes, size_t len)
{
    struct relay *relay = (struct relay *)stream;
    if (relay->state == RELAY_OPEN)
        relay_pump_bytes(&relay->client, bytes, len);
    else
        relay_opening_bytes(relay, bytes, len);
}

static void on_client_end(struct stream *stream, int error)
{
    struct relay *relay = (struct relay *)stream;
    if (relay->state == RELAY_OPEN)
        relay_pump_ended(&relay->client, error);
    else
        relay_opening_ended(relay, error);
}

static void on_client_drained(struct stream *stream, int error)
{
    struct relay *relay = (struct relay *)stream;
    if (relay->state == RELAY_OPEN)
        relay_pump_drained(&relay->client, error);
}

static void on_client_secured(struct stream *stream, int error)
{
    relay_opening_secured((struct relay *)stream, error);
}

static const struct stream_events client_events = {
    .on_bytes = on_client_bytes,
    .on_end = on_client_end,
    .on_drained = on_client_drained,
    .on_closed = on_client_closed,
    .on_secured = on_client_secured,
};

/* --- the beginning --- */

static struct relay *make(const struct acceptor *acceptor)
{
    struct worker *worker = acceptor->worker;
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return NULL;
    if (stream_init(&relay->client.stream, &worker->loop, &client_events, &worker->read_buffer)) {
        free(relay);
        return NULL;
    }
    relay->client.relay = relay;
    relay->worker = worker;
    relay->port = acceptor->port;
    relay->is_tls = acceptor->is_tls;
    relay->tls_server = acceptor->tls;
    relay->protocol = acceptor->is_tls ? PROTOCOL_TLS : PROTOCOL_TCP;
    relay->awaits_origin = acceptor->has_proxy_protocol;
    relay->started_ms = worker_now(worker);
    buf_init(&relay->early, EARLY_MAX_BYTES);
    list_init(&relay->waiting);
    deadline_init(&relay->deadline, on_due);
    list_push_back(&worker->relays, &relay->link);
    worker_count(&worker->stats.streams_accepted, 1);
    worker_count(&worker->stats.streams_active, 1);
    return relay;
}

static void start(struct relay *relay, int rc)
{
    int from_len = sizeof(relay->from), to_len = sizeof(relay->to);
    const uv_tcp_t *tcp = &relay->client.stream.tcp;
    if (rc == 0)
        rc = uv_tcp_getpeername(tcp, (struct sockaddr *)&relay->from, &from_len);
    if (rc == 0)
        rc = uv_tcp_getsockname(tcp, (struct sockaddr *)&relay->to, &to_len);
    if (rc == 0)
        rc = relay_opening_begin(relay);
    if (rc) /* mostly gone already */
        relay_finish(relay, 499, NULL, false);
}

void relay_accept(const struct acceptor *acceptor, uv_stream_t *listener)
{
    struct relay *relay = make(acceptor);
    if (relay)
        start(relay, uv_accept(listener, (uv_stream_t *)&relay->client.stream.tcp));
    else
        log_error("out of memory for a client's connection"); /* taken when there is some */
}

void relay_adopt(const struct acceptor *acceptor, int fd)
{
    struct relay *relay = make(acceptor);
    if (relay)
        start(relay, uv_tcp_open(&relay->client.stream.tcp, fd));
    else
        close(fd);
}
