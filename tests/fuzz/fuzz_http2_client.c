/* A target's bytes to a session that has sent it some requests: nothing is read past its end, a
 * response's head is one that the reader of heads can judge, content comes only behind it and to
 * who reads, and each stream ends once. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/http1.h"
#include "http/http2_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef MUST
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)
#endif

#define FUZZ_TARGET_HEAD_BYTES 8192
#define FUZZ_TARGET_STREAMS 6

struct fuzz_target {
    struct http2_session *session;
    unsigned open;
    struct fuzz_lane {
        struct http2_stream stream;
        bool is_open, has_head, is_over;
    } lanes[FUZZ_TARGET_STREAMS];
};

static struct fuzz_target *fuzz_target;

static void fuzz_target_release(struct fuzz_lane *lane)
{
    MUST(lane->is_open);
    lane->is_open = false;
    fuzz_target->open--;
    http2_stream_release(&lane->stream);
}

static void fuzz_target_on_response(struct http2_stream *stream, const struct http2_head *head,
                                    bool is_last)
{
    struct fuzz_lane *lane = LIST_ENTRY(stream, struct fuzz_lane, stream);
    static struct http_head read;
    static char text[2 * FUZZ_TARGET_HEAD_BYTES];
    struct http1_parser parser;
    MUST(lane->is_open && !lane->has_head && !lane->is_over);
    lane->has_head = head->refused_status || head->status >= 200;
    if (head->refused_status) {
        MUST(head->reason);
        http2_stream_reset(stream, HTTP2_CANCEL);
        fuzz_target_release(lane);
        return;
    }
    size_t len = http2_head_text_bytes(head);
    MUST(len <= sizeof(text));
    http2_head_write(head, text);
    http1_begin_response(&parser, &read, FUZZ_TARGET_HEAD_BYTES, false);
    enum http1_result result = http1_take_head(&parser, text, len, is_last);
    MUST(result != HTTP1_MORE);
    MUST(result == HTTP1_REFUSED ||
         (read.status == head->status && read.len == len && read.framing != HTTP_UNTIL_CLOSE));
    if (head->status == 204) /* who has heard enough */
        fuzz_target_release(lane);
}

static void fuzz_target_on_content(struct http2_stream *stream, const char *bytes, size_t len)
{
    struct fuzz_lane *lane = LIST_ENTRY(stream, struct fuzz_lane, stream);
    MUST(lane->is_open && lane->has_head && !lane->is_over && stream->is_reading && len > 0);
    if (bytes[len - 1] == 's')
        http2_stream_read(stream, false);
    if (bytes[len - 1] == 'x')
        fuzz_target_release(lane);
}

static void fuzz_target_on_end(struct http2_stream *stream, struct str trailers)
{
    struct fuzz_lane *lane = LIST_ENTRY(stream, struct fuzz_lane, stream);
    MUST(lane->is_open && lane->has_head && !lane->is_over && stream->held == 0);
    MUST(trailers.len <= HTTP2_MAX_TRAILER_BYTES);
    lane->is_over = true;
    fuzz_target_release(lane);
}

static void fuzz_target_on_drained(struct http2_stream *stream)
{
    MUST(LIST_ENTRY(stream, struct fuzz_lane, stream)->is_open);
}

static void fuzz_target_on_gone(struct http2_stream *stream)
{
    struct fuzz_lane *lane = LIST_ENTRY(stream, struct fuzz_lane, stream);
    MUST(lane->is_open && !lane->is_over && stream->is_closed);
    lane->is_over = true;
    fuzz_target_release(lane);
}

static void fuzz_target_on_violation(void *owner, const char *reason, bool is_fatal)
{
    (void)owner, (void)is_fatal;
    MUST(reason);
}

static const struct http2_events fuzz_target_events = {
    .on_response = fuzz_target_on_response,
    .on_content = fuzz_target_on_content,
    .on_request_end = fuzz_target_on_end,
    .on_drained = fuzz_target_on_drained,
    .on_gone = fuzz_target_on_gone,
    .on_violation = fuzz_target_on_violation,
};

static void fuzz_target_ask(struct fuzz_target *target, unsigned number)
{
    char head[] = "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    const struct str body = STR("some content");
    struct fuzz_lane *lane = &target->lanes[number];
    bool is_last = number % 2 == 0;
    if (!http2_client_has_room(target->session) ||
        http2_client_open(target->session, &lane->stream, str_make(head, sizeof(head) - 1), true,
                          is_last))
        return;
    lane->is_open = true;
    target->open++;
    if (!is_last && http2_stream_content(&lane->stream, &body, 1) == 0 && number % 4 == 1)
        http2_stream_end(&lane->stream, STR("X-Sum: 1\r\n"));
}

/* The first byte says in how large pieces the others come. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_target target = {.open = 0};
    char out[20000];
    if (size < 2 || http2_client_create(&fuzz_target_events, &target, FUZZ_TARGET_HEAD_BYTES,
                                        FUZZ_TARGET_STREAMS, 1, &target.session))
        return 0;
    fuzz_target = &target;
    for (unsigned i = 0; i < FUZZ_TARGET_STREAMS; i++)
        fuzz_target_ask(&target, i);
    while (http2_send(target.session, out, sizeof(out)) > 0)
        ;
    size_t step = data[0] ? data[0] : size;
    for (size_t at = 1; at < size; at += step) {
        size_t len = size - at < step ? size - at : step;
        if (http2_receive(target.session, (const char *)data + at, len, at))
            break;
        do
            http2_tell(target.session);
        while (http2_send(target.session, out, sizeof(out)) > 0 || http2_has_news(target.session));
        MUST(target.open == http2_stream_count(target.session));
    }
    for (unsigned i = 0; i < FUZZ_TARGET_STREAMS; i++)
        if (target.lanes[i].is_open)
            fuzz_target_release(&target.lanes[i]);
    http2_session_destroy(target.session);
    return 0;
}
