#include "admin/event_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/server.h"
#include "net/stream.h"

#define HEAD_BYTES 4096
#define MAX_QUEUED_BYTES ((size_t)1 << 20)

static void send_text(struct event_stream *stream, const char *text)
{
    if (stream->is_broken)
        return;
    size_t len = strlen(text);
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)text, (unsigned)len);
    stream->is_broken = stream_queued(stream->out) + len > MAX_QUEUED_BYTES ||
                        stream_write(stream->out, &bytes, 1) != 0;
}

static void on_event(struct events_listener *listener, uint64_t number, const char *json)
{
    struct event_stream *stream = LIST_ENTRY(listener, struct event_stream, listener);
    char *text;
    if (asprintf(&text, "id: %llu\ndata: %s\n\n", (unsigned long long)number, json) < 0)
        return;
    send_text(stream, text);
    free(text);
}

void admin_events(struct admin_request *request)
{
    struct str after;
    uint64_t number = 0;
    if (!request->node->registry) {
        admin_request_answer_not_found(request);
        return;
    }
    if (admin_request_query(request, "after", &after)) {
        if (!str_to_u64(after, &number)) {
            admin_request_answer_message(request, 400, "after must be a number");
            return;
        }
        request->has_events_after = true;
        request->events_after = number;
    }
    request->wants_events = true;
    admin_request_answer(request, 200, NULL);
}

void event_stream_begin(struct event_stream *stream, struct stream *out, struct events *events,
                        uint64_t after, struct str allowed_origin)
{
    memset(stream, 0, sizeof(*stream));
    stream->out = out;
    stream->listener.on_event = on_event;
    char head[HEAD_BYTES];
    char origin[HEAD_BYTES / 2] = "";
    if (allowed_origin.len > 0 && allowed_origin.len < sizeof(origin) / 2)
        snprintf(origin, sizeof(origin), "Access-Control-Allow-Origin: %.*s\r\n",
                 STR_ARG(allowed_origin));
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
             "Cache-Control: no-store\r\nVary: Origin\r\n%sConnection: close\r\n\r\n",
             origin);
    send_text(stream, head);
    if (after >= events->next) /* a number of this node's life before: all that is kept is news */
        after = 0;
    uint64_t oldest = events->next > EVENTS_KEPT ? events->next - EVENTS_KEPT : 1;
    for (uint64_t number = after < oldest ? oldest : after + 1; number < events->next; number++)
        on_event(&stream->listener, number, events_text(events, number));
    list_push_back(&events->listeners, &stream->listener.link);
}

bool event_stream_keep_alive(struct event_stream *stream)
{
    send_text(stream, ":\n\n");
    return !stream->is_broken;
}

void event_stream_end(struct event_stream *stream)
{
    list_remove(&stream->listener.link);
}
