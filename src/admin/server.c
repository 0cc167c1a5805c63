#include "admin/server.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/connection.h"
#include "admin/endpoints.h"
#include "admin/request_reader.h"
#include "base/log.h"
#include "net/ip.h"
#include "net/tls.h"
#include "net/tls_server.h"

#define MAX_CONNECTIONS 256
#define MAX_BODY_BYTES ((size_t)10 << 20)
#define CLOSE_GRACE_MS 1000 /* for answers under way */

struct admin_listener {
    uv_tcp_t tcp;
    struct admin_server *server;
    struct tls_server *tls; /* the set's, or its own; NULL: plain HTTP */
    bool has_waiting;       /* a connection that was not taken for want of room */
};

struct admin_server {
    struct connection_set set;
    struct admin_node node;
    struct admin_endpoints *endpoints; /* referenced */
    struct admin_listener listeners[LISTENER_MAX];
    unsigned listener_count;
    uv_timer_t grace;
    unsigned open_handles; /* listeners and grace */
    void (*closed)(void *arg);
    void *closed_arg;
};

static struct admin_server *server_of(struct connection_set *set)
{
    return LIST_ENTRY(set, struct admin_server, set);
}

static void free_buffers(struct admin_server *server)
{
    for (unsigned i = 0; i < LISTENER_MAX; i++)
        if (server->listeners[i].tls != server->set.tls)
            tls_server_destroy(server->listeners[i].tls);
    tls_server_destroy(server->set.tls);
    tls_io_destroy(server->set.buffer.tls);
    free(server->set.buffer.bytes);
}

static const struct tls_names *no_names(void *owner)
{
    (void)owner;
    return NULL;
}

static int make_buffers(struct admin_server *server, struct error *err)
{
    struct stream_buffer *buffer = &server->set.buffer;
    buffer->size = REQUEST_READER_READ_BYTES;
    buffer->bytes = malloc(buffer->size);
    int rc = buffer->bytes ? tls_io_create(buffer->size, &buffer->tls) : UV_ENOMEM;
    if (rc == 0 && server->node.tls)
        rc = tls_server_create(server->node.tls, no_names, server, &server->set.tls, err);
    return rc;
}

/* The last of handles and connections frees. */
static void free_when_done(struct admin_server *server)
{
    if (!server->set.is_closing || server->open_handles > 0 || server->set.count > 0)
        return;
    void (*closed)(void *) = server->closed;
    void *arg = server->closed_arg;
    admin_endpoints_unref(server->endpoints);
    free_buffers(server);
    free(server);
    if (closed)
        closed(arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct admin_server *server = handle->data;
    server->open_handles--;
    free_when_done(server);
}

static void close_grace(struct admin_server *server)
{
    if (!uv_is_closing((uv_handle_t *)&server->grace))
        uv_close((uv_handle_t *)&server->grace, on_handle_closed);
}

/* With all places taken, the connection that has been idle longest gives way, or the oldest
 * unfinished request; while all are busy, libuv leaves the new one and those behind it in the
 * kernel's queue. */
static void take_waiting(struct admin_listener *listener)
{
    struct connection_set *set = &listener->server->set;
    if (set->is_closing || !listener->has_waiting)
        return;
    set->is_full = set->count >= MAX_CONNECTIONS;
    if (set->is_full) {
        connection_evict(set); /* its end calls on_connection_freed */
        return;
    }
    listener->has_waiting = false;
    int rc = connection_accept(set, (uv_stream_t *)&listener->tcp, listener->tls);
    if (rc != 0)
        log_warn("cannot take a connection to the Admin API", LOG_CSTR("error", uv_strerror(rc)));
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct admin_listener *listener = LIST_ENTRY(stream, struct admin_listener, tcp);
    if (status != 0) {
        log_warn("cannot take a connection to the Admin API",
                 LOG_CSTR("error", uv_strerror(status)));
        return;
    }
    listener->has_waiting = true;
    take_waiting(listener);
}

static void on_connection_freed(struct connection_set *set)
{
    struct admin_server *server = server_of(set);
    set->is_full = false;
    for (unsigned i = 0; i < server->listener_count; i++)
        take_waiting(&server->listeners[i]);
    if (set->is_closing && set->count == 0)
        close_grace(server);
    free_when_done(server);
}

/* A listener that asks something else of its clients than others has a context of its own. */
static int give_tls(struct admin_server *server, struct admin_listener *listener,
                    const struct listener_spec *spec, struct error *err)
{
    if (!spec->is_tls || !server->node.tls)
        return 0;
    listener->tls = server->set.tls;
    if (!spec->clients.is_own)
        return 0;
    struct tls_server_settings own = *server->node.tls;
    listener_ask_clients(spec, &own);
    return tls_server_create(&own, no_names, server, &listener->tls, err);
}

static int open_listener(struct admin_server *server, const struct listener_spec *spec,
                         struct error *err)
{
    int fd;
    struct admin_listener *listener = &server->listeners[server->listener_count];
    int rc = give_tls(server, listener, spec, err);
    if (rc == 0)
        rc = listener_bind(spec, true, &fd, err); /* shared with the process that replaces us */
    if (rc != 0)
        return rc;
    listener->server = server;
    listener->tcp.data = server;
    rc = uv_tcp_init(server->set.loop, &listener->tcp);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    server->listener_count++;
    server->open_handles++;
    rc = uv_tcp_open(&listener->tcp, fd);
    if (rc != 0)
        close(fd);
    else
        rc = uv_listen((uv_stream_t *)&listener->tcp, spec->backlog > 0 ? spec->backlog : 511,
                       on_connection);
    if (rc != 0)
        error_set(err, server->node.is_status_only ? "status_listen" : "admin_listen",
                  "cannot listen on %s: %s", spec->text, uv_strerror(rc));
    return rc;
}

int admin_server_start(uv_loop_t *loop, const struct listener_spec *listeners, unsigned count,
                       const struct admin_node *node, struct admin_server **ret, struct error *err)
{
    assert(count <= LISTENER_MAX);
    struct admin_server *server = calloc(1, sizeof(*server));
    if (!server)
        return UV_ENOMEM;
    server->node = *node;
    if (server->node.max_body_bytes == 0)
        server->node.max_body_bytes = MAX_BODY_BYTES;
    int rc = admin_endpoints_create(node->is_status_only, &server->endpoints);
    if (rc != 0) {
        free(server);
        return rc;
    }
    server->set = (struct connection_set){
        .loop = loop,
        .node = &server->node,
        .endpoints = server->endpoints,
        .on_freed = on_connection_freed,
    };
    list_init(&server->set.idle);
    list_init(&server->set.busy);
    uv_timer_init(loop, &server->grace);
    server->grace.data = server;
    server->open_handles = 1;
    rc = make_buffers(server, err);
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = open_listener(server, &listeners[i], err);
    if (rc != 0) {
        admin_server_close(server, NULL, NULL);
        return rc;
    }
    *ret = server;
    return 0;
}

uint16_t admin_server_port(const struct admin_server *server, unsigned index)
{
    union ip_address address;
    int len = sizeof(address);
    if (index >= server->listener_count ||
        uv_tcp_getsockname(&server->listeners[index].tcp, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)&address)->sin6_port
                     : ((const struct sockaddr_in *)&address)->sin_port);
}

static void on_grace_over(uv_timer_t *timer)
{
    struct admin_server *server = timer->data;
    connection_close_all(&server->set);
    close_grace(server);
}

void admin_server_close(struct admin_server *server, void (*closed)(void *arg), void *arg)
{
    if (server->set.is_closing)
        return;
    server->set.is_closing = true;
    server->closed = closed;
    server->closed_arg = arg;
    for (unsigned i = 0; i < server->listener_count; i++)
        uv_close((uv_handle_t *)&server->listeners[i].tcp, on_handle_closed);
    while (connection_close_idle(&server->set))
        ;
    if (list_is_empty(&server->set.busy))
        close_grace(server);
    else
        uv_timer_start(&server->grace, on_grace_over, CLOSE_GRACE_MS, 0);
}
