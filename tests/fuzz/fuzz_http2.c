/* A client's bytes to an HTTP/2 session whose requests are answered, refused, or left waiting, as
 * their paths say: nothing is read past its end, content is told only to who reads, and no more of
 * it is held than the windows allow. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/http1.h"
#include "http/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef MUST
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)
#endif

#define MAX_HEAD_BYTES 8192

struct fuzz_client {
    struct http2_session *session;
    struct list streams;
    unsigned count;
};

struct fuzz_stream {
    struct http2_stream stream;
    struct list link;
    struct fuzz_client *client;
};

static void fuzz_release(struct http2_stream *stream)
{
    struct fuzz_stream *one = LIST_ENTRY(stream, struct fuzz_stream, stream);
    one->client->count--;
    http2_stream_release(stream);
    list_remove(&one->link);
    free(one);
}

static void fuzz_answer(struct http2_stream *stream, bool has_body)
{
    char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nX-One: two\r\nEmpty:\r\n\r\n";
    const struct str body = STR("some content");
    if (http2_stream_head(stream, str_make(head, sizeof(head) - 1), false, !has_body))
        return;
    if (has_body && http2_stream_content(stream, &body, 1) == 0)
        http2_stream_end(stream, STR("X-Sum: 1\r\n"));
}

static void fuzz_on_request(void *owner, int32_t id, const struct http2_head *head, bool is_last)
{
    struct fuzz_client *client = owner;
    struct http1_parser parser;
    static struct http_head read;
    struct fuzz_stream *one = calloc(1, sizeof(*one));
    MUST(one);
    one->client = client;
    http2_stream_open(client->session, &one->stream, id);
    list_push_back(&client->streams, &one->link);
    client->count++;
    if (head->refused_status) {
        MUST(head->reason);
        fuzz_answer(&one->stream, true);
        return;
    }
    size_t len = http2_head_text_bytes(head);
    char *text = malloc(len);
    MUST(text && len <= 2 * MAX_HEAD_BYTES);
    http2_head_write(head, text);
    http1_begin_request(&parser, &read, MAX_HEAD_BYTES);
    enum http1_result result = http1_take_head(&parser, text, len, is_last);
    MUST(result != HTTP1_MORE);
    MUST(result == HTTP1_REFUSED || (read.len == len && read.is_http2 && read.host.len > 0));
    char last = result == HTTP1_DONE ? text[read.target.offset + read.target.len - 1] : 'b';
    free(text);
    switch (last) {
    case 'a': /* waits, and reads nothing */
        break;
    case 'b':
        fuzz_answer(&one->stream, false);
        break;
    case 'c':
        http2_stream_reset(&one->stream, HTTP2_CANCEL);
        fuzz_release(&one->stream);
        break;
    default:
        http2_stream_read(&one->stream, true);
        fuzz_answer(&one->stream, true);
        break;
    }
}

static void fuzz_on_content(struct http2_stream *stream, const char *bytes, size_t len)
{
    MUST(stream->is_reading && len > 0);
    if (bytes[len - 1] == 's')
        http2_stream_read(stream, false);
    if (bytes[len - 1] == 'x')
        fuzz_release(stream);
}

static void fuzz_on_request_end(struct http2_stream *stream, struct str trailers)
{
    MUST(stream->held == 0 && trailers.len <= HTTP2_MAX_TRAILER_BYTES);
}

static void fuzz_on_drained(struct http2_stream *stream)
{
    if (stream->queued == 0)
        fuzz_release(stream);
}

static void fuzz_on_violation(void *owner, const char *reason, bool is_fatal)
{
    (void)owner, (void)is_fatal;
    MUST(reason);
}

static const struct http2_events fuzz_events = {
    .on_request = fuzz_on_request,
    .on_content = fuzz_on_content,
    .on_request_end = fuzz_on_request_end,
    .on_drained = fuzz_on_drained,
    .on_gone = fuzz_release,
    .on_violation = fuzz_on_violation,
};

static void fuzz_check(const struct fuzz_client *client)
{
    size_t held = 0;
    LIST_EACH(link, &client->streams)
    {
        held += LIST_ENTRY(link, struct fuzz_stream, link)->stream.held;
    }
    MUST(held <= HTTP2_CONNECTION_WINDOW);
    MUST(client->count == http2_stream_count(client->session));
}

/* The first byte says in how large pieces the others come. The preface is put in front. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_client client;
    char out[20000];
    if (size < 2)
        return 0;
    list_init(&client.streams);
    client.count = 0;
    if (http2_session_create(&fuzz_events, &client, MAX_HEAD_BYTES, 1, &client.session))
        return 0;
    size_t step = data[0] ? data[0] : size;
    int rc = http2_receive(client.session, HTTP2_PREFACE.ptr, HTTP2_PREFACE.len, 1);
    for (size_t at = 1; rc == 0 && at < size; at += step) {
        size_t len = size - at < step ? size - at : step;
        rc = http2_receive(client.session, (const char *)data + at, len, at);
        if (rc)
            break;
        do
            http2_tell(client.session);
        while (http2_send(client.session, out, sizeof(out)) > 0 || http2_has_news(client.session));
        fuzz_check(&client);
    }
    if (rc)
        http2_write_goaway(client.session, out);
    while (!list_is_empty(&client.streams))
        fuzz_release(&LIST_ENTRY(client.streams.next, struct fuzz_stream, link)->stream);
    http2_session_destroy(client.session);
    return 0;
}
