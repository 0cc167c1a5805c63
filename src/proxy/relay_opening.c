/* relay_opening.c - what a client says before it is passed on: on listeners with proxy_protocol a
 * header, on those of TLS a ClientHello. Elsewhere nothing, as with some protocols it is the server
 * that speaks first.
 *
 * Where a route says so TLS is then ended here; bytes of a tls_passthrough route stay as they are.
 * What has come so far is kept in relay->early. */
#include <stdlib.h>

#include "net/cidr.h"
#include "net/client_hello.h"
#include "net/tls.h"
#include "proxy/handshake.h"
#include "proxy/relay_parts.h"
#include "proxy/worker_core.h"

static int set_peer(struct relay *relay)
{
    struct cidr_address address;
    cidr_take_address((const struct sockaddr *)&relay->from, &address);
    struct str text = client_address_write(&address, relay->peer);
    relay->peer_len = (uint8_t)text.len;
    relay->is_trusted = cidr_set_has(&relay->worker->settings.trust->proxies, &address);
    return text.len > 0 ? 0 : UV_EINVAL;
}

/* --- where it goes --- */

static struct handshake_client client_of(const struct relay *relay)
{
    return (struct handshake_client){
        .worker = relay->worker,
        .stream = &relay->client.stream,
        .peer = relay_peer(relay),
        .port = relay->port,
        .is_trusted = relay->is_trusted,
    };
}

/* The ClientHello goes through TLS once more, as if it came now. */
static void begin_tls(struct relay *relay)
{
    const struct handshake_client client = client_of(relay);
    if (!handshake_client_may_begin(&client)) {
        relay_finish(relay, 503, NULL, true);
        return;
    }
    struct buf hello = relay->early;
    buf_init(&relay->early, hello.max_bytes);
    if (tls_accept(&relay->client.stream, relay->tls_server, false))
        relay_finish(relay, 500, "memory is short", true);
    else
        stream_take_again(&relay->client.stream, buf_str(&hello).ptr, buf_len(&hello));
    buf_deinit(&hello);
}

/* No handshake has begun: the alert is in clear (RFC 8446, sections 5.1 and 6.2). */
static void tell_unrecognized_name(struct relay *relay)
{
    static const char alert[] = {21, 3, 3, 0, 2, 2, 112};
    uv_buf_t piece = uv_buf_init((char *)alert, sizeof(alert));
    (void)stream_write(&relay->client.stream, &piece, 1);
}

static void find_way(struct relay *relay)
{
    switch (relay_route(relay)) {
    case RELAY_ROUTED:
        if (relay->protocol == PROTOCOL_TLS) {
            begin_tls(relay);
            return;
        }
        stream_stop_reading(&relay->client.stream);
        relay_try_begin(relay);
        return;
    case RELAY_NO_ROUTE:
        if (relay->is_tls)
            tell_unrecognized_name(relay);
        relay_finish(relay, 404, "no Route matched with those values", !relay->is_tls);
        return;
    case RELAY_BAD_SERVICE:
        relay_finish(relay, 502, "the Route has no Service that is for streams", true);
        return;
    case RELAY_DENIED:
        relay_finish(relay, 403, "a plugin denied it", true);
        return;
    case RELAY_NO_MEMORY:
        relay_finish(relay, 500, "memory is short", true);
        return;
    }
}

/* --- what comes --- */

/* A balancer that is not among the trusted ones, where some are named, is not believed. */
static bool learn_origin(struct relay *relay, const struct proxy_protocol *header)
{
    bool is_believed = relay->is_trusted || relay->worker->settings.trust->proxies.count == 0;
    relay->awaits_origin = false;
    buf_consume(&relay->early, header->len);
    if (!header->has_client || !is_believed)
        return true;
    relay->from = header->client;
    return set_peer(relay) == 0;
}

/* True when the header is there, and what follows it may be looked at. */
static bool take_origin(struct relay *relay)
{
    struct proxy_protocol header;
    struct str early = buf_str(&relay->early);
    switch (proxy_protocol_read(early.ptr, early.len, &header)) {
    case PROXY_PROTOCOL_MORE:
        return false;
    case PROXY_PROTOCOL_DONE:
        if (learn_origin(relay, &header)) {
            deadline_set(&relay->worker->wheel, &relay->deadline,
                         relay->worker->settings.tls_handshake_timeout_ms);
            return true;
        }
        break;
    case PROXY_PROTOCOL_REFUSED:
        break;
    }
    relay_finish(relay, 400, "bad PROXY protocol header", true);
    return false;
}

static void take_hello(struct relay *relay)
{
    struct client_hello hello;
    struct str early = buf_str(&relay->early);
    switch (client_hello_read(early.ptr, early.len, &hello)) {
    case CLIENT_HELLO_MORE:
        return;
    case CLIENT_HELLO_REFUSED:
        relay_finish(relay, 400, hello.why, true);
        return;
    case CLIENT_HELLO_DONE:
        break;
    }
    if (hello.name_len > 0) {
        char *name = str_dup(client_hello_name(&hello));
        if (!name) {
            relay_finish(relay, 500, "memory is short", true);
            return;
        }
        relay->server_name = str_make(name, hello.name_len);
    }
    find_way(relay);
}

/* Beyond what is needed to decide, one read's bytes come at most. */
void relay_opening_bytes(struct relay *relay, const char *bytes, size_t len)
{
    if (buf_append(&relay->early, bytes, len)) {
        relay_finish(relay, 500, "memory is short", true);
        return;
    }
    if (relay->state != RELAY_OPENING || (relay->awaits_origin && !take_origin(relay)))
        return;
    if (relay->is_tls && buf_len(&relay->early) > 0)
        take_hello(relay);
    else if (!relay->is_tls)
        find_way(relay);
}

void relay_opening_secured(struct relay *relay, int error)
{
    const struct handshake_client client = client_of(relay);
    if (error) {
        handshake_client_failed(&client);
        relay_finish(relay, 400, NULL, false);
        return;
    }
    handshake_client_succeeded(&client);
    stream_stop_reading(&relay->client.stream);
    relay_try_begin(relay);
}

/* A client that leaves before it has said what it wants, as port scans and health checks do, is
 * worth no line. */
void relay_opening_ended(struct relay *relay, int error)
{
    relay->client.has_ended = true;
    if (relay->state == RELAY_OPENING)
        relay_finish(relay, 400, NULL, error != 0);
    else if (error)
        relay_finish(relay, 499, NULL, true);
}

void relay_opening_late(struct relay *relay)
{
    const struct handshake_client client = client_of(relay);
    handshake_client_timed_out(&client);
    relay_finish(relay, 408, "the client did not begin in time", true);
}

int relay_opening_begin(struct relay *relay)
{
    const struct worker_settings *settings = &relay->worker->settings;
    int rc = set_peer(relay);
    if (rc)
        return rc;
    if (!relay->awaits_origin && !relay->is_tls) {
        find_way(relay);
        return 0;
    }
    deadline_set(&relay->worker->wheel, &relay->deadline,
                 relay->awaits_origin ? settings->client_header_timeout_ms
                                      : settings->tls_handshake_timeout_ms);
    return stream_start_reading(&relay->client.stream);
}
