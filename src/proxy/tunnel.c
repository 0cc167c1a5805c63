#include "proxy/tunnel.h"

#include <stdlib.h>

#include "http/message.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/upstream_conn.h"

static bool is_refused_protocol(struct str protocol)
{
    struct str name = str_trim(str_cut(&protocol, '/'));
    return str_equal_nocase(name, STR("h2c")) || str_equal_nocase(name, STR("h2")) ||
           str_equal_nocase(name, STR("http")) || str_equal_nocase(name, STR("tls"));
}

bool tunnel_is_wanted(const struct http_head *request)
{
    if (!request->has_upgrade || request->framing == HTTP_CHUNKED || request->content_length > 0)
        return false;
    for (unsigned i = 0; i < request->field_count; i++) {
        const struct http_field *field = &request->fields[i];
        if (field->id != HEADER_UPGRADE)
            continue;
        struct str list = http_field_value(request, field);
        while (list.len > 0)
            if (is_refused_protocol(str_trim(str_cut(&list, ','))))
                return false;
    }
    return true;
}

void tunnel_begin(struct exchange *x)
{
    x->is_tunnel = true;
    x->keep_upstream = false;
    struct downstream *client = x->client->conn;
    size_t len;
    char *early = downstream_take_early(client, &len);
    if (early)
        tunnel_from_client(x, early, len);
    free(early);
    if (x->has_client_ended)
        tunnel_upstream_drained(x);
}

void tunnel_from_client(struct exchange *x, const char *bytes, size_t len)
{
    x->request_bytes += len;
    if (x->is_send_broken)
        return;
    uv_buf_t piece = uv_buf_init((char *)bytes, (unsigned)len);
    if (stream_write(&x->upstream->stream, &piece, 1))
        x->is_send_broken = true; /* what it has sent before is still to be read */
}

void tunnel_from_upstream(struct exchange *x, const char *bytes, size_t len)
{
    x->body_bytes += len;
    struct str piece = str_make(bytes, len);
    const struct client_part part = {
        .pieces = &piece, .count = 1, .total = len, .framing = HTTP_UNTIL_CLOSE};
    if (!x->is_client_gone && x->client->verbs->write(x->client, &part))
        x->is_client_gone = true;
}

void tunnel_client_ended(struct exchange *x, int error)
{
    if (error)
        x->is_client_gone = true;
    else
        tunnel_upstream_drained(x);
}

void tunnel_upstream_drained(struct exchange *x)
{
    /* The upstream may have ended, and the client still take what it sent. */
    if (x->upstream && x->has_client_ended && stream_queued(&x->upstream->stream) == 0)
        stream_end_writing(&x->upstream->stream);
}

/* To a connection of HTTP/1 its close says so, which follows. */
static void end_towards_client(struct exchange *x)
{
    const struct client_part part = {.framing = HTTP_UNTIL_CLOSE, .is_last = true};
    x->response_part = RESPONSE_DONE;
    if (!x->is_client_gone && x->client->verbs->write(x->client, &part))
        x->is_client_gone = true;
}

/* A reset is passed on as one. It is no fault of the target's that counts: the protocol is not
 * ours to judge, and a peer may end so by habit. */
void tunnel_upstream_ended(struct exchange *x, int error)
{
    if (error)
        x->is_client_gone = true;
    else
        end_towards_client(x);
}

void tunnel_timed_out(struct exchange *x)
{
    end_towards_client(x);
}
