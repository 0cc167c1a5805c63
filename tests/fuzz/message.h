/* message.h - what must hold for a message however it comes, for the fuzz targets.
 *
 * A broken rule aborts. */
#ifndef TESTS_FUZZ_MESSAGE_H
#define TESTS_FUZZ_MESSAGE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/http1_parts.h"
#include "unit/http/feed.h"

#define FUZZ_MAX_BYTES 4096
#define FUZZ_MAX_HEAD_BYTES 2048

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A body as one of two decoders saw it. */
struct fuzz_body {
    char bytes[FUZZ_MAX_BYTES];
    size_t len;
    bool is_done;
};

static inline void fuzz_add(struct fuzz_body *body, const char *bytes, size_t len)
{
    MUST(len <= sizeof(body->bytes) - body->len);
    memcpy(body->bytes + body->len, bytes, len);
    body->len += len;
}

static inline int fuzz_on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    fuzz_add(llhttp->data, at, len);
    return 0;
}

static inline int fuzz_on_message_complete(llhttp_t *llhttp)
{
    ((struct fuzz_body *)llhttp->data)->is_done = true;
    return HPE_PAUSED;
}

/* What llhttp makes of a whole chunked message by itself, which our decoder must agree with. */
static inline void fuzz_compare_with_llhttp(const struct feed *feed, const struct fuzz_body *ours,
                                            size_t taken)
{
    static const llhttp_settings_t settings = {.on_body = fuzz_on_body,
                                               .on_message_complete = fuzz_on_message_complete};
    static struct fuzz_body theirs;
    llhttp_t llhttp;
    llhttp_init(&llhttp, feed->kind == FEED_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    llhttp.data = &theirs;
    theirs.len = 0;
    theirs.is_done = false;
    llhttp_errno_t error = llhttp_execute(&llhttp, feed->bytes, feed->len);
    if (error != HPE_PAUSED || !theirs.is_done)
        return; /* it refuses more of what may stand in trailers */
    MUST(theirs.len == ours->len && memcmp(theirs.bytes, ours->bytes, ours->len) == 0);
    MUST(llhttp_get_error_pos(&llhttp) == feed->bytes + taken);
}

static inline void fuzz_check_span(const struct http_head *head, uint32_t offset, uint32_t len)
{
    MUST(offset <= head->len && len <= head->len - offset);
}

static inline void fuzz_check_fields(const struct http_head *head)
{
    MUST(head->field_count <= HTTP_MAX_FIELDS);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        fuzz_check_span(head, field->name_offset, field->name_len);
        fuzz_check_span(head, field->value_offset, field->value_len);
        MUST(field->name_len > 0);
        struct str value = http_field_value(head, field);
        for (size_t at = 0; at < value.len; at++)
            MUST(value.ptr[at] == '\t' ||
                 ((unsigned char)value.ptr[at] >= 0x20 && value.ptr[at] != 0x7f));
    }
    for (unsigned id = 1; id < HEADER_COUNT; id++)
        MUST(head->first[id] <= head->field_count &&
             (!head->first[id] || head->fields[head->first[id] - 1].id == id));
}

/* A head that was taken whole: its spans, and its body beside llhttp's. */
static inline void fuzz_check_message(struct feed *feed)
{
    static struct fuzz_body body;
    struct http_head *head = &feed->head;
    size_t at = head->len, taken;
    unsigned count;
    struct str pieces[4];

    fuzz_check_span(head, head->target.offset, head->target.len);
    fuzz_check_span(head, head->host.offset, head->host.len);
    fuzz_check_span(head, head->reason.offset, head->reason.len);
    fuzz_check_fields(head);
    MUST(!(head->first[HEADER_CONTENT_LENGTH] && head->first[HEADER_TRANSFER_ENCODING]));

    body.len = 0;
    enum http1_result result = HTTP1_MORE;
    while (result == HTTP1_MORE && at < feed->len) {
        result = http1_read_body(&feed->parser, feed->bytes + at, feed->len - at, &taken, pieces, 4,
                                 &count);
        MUST(taken <= feed->len - at && (taken > 0 || result != HTTP1_MORE));
        for (unsigned i = 0; i < count; i++)
            fuzz_add(&body, pieces[i].ptr, pieces[i].len);
        at += taken;
    }
    if (http1_body_is_done(&feed->parser) && head->framing == HTTP_CHUNKED)
        fuzz_compare_with_llhttp(feed, &body, at);
}

static inline void fuzz_must_say(struct feed *feed, const char *whole, size_t step, size_t cut)
{
    const char *text = feed_message(feed, step, cut);
    if (strcmp(whole, text) == 0)
        return;
    fprintf(stderr, "whole:     %s\nin pieces: %s (%s)\nbytes:\n", whole, text,
            feed->parser.reason ? feed->parser.reason : "");
    fwrite(feed->bytes, 1, feed->len, stderr);
    abort();
}

static inline void fuzz_begin(struct feed *feed)
{
    if (feed->kind == FEED_REQUEST)
        http1_begin_request(&feed->parser, &feed->head, feed->max_head_bytes);
    else
        http1_begin_response(&feed->parser, &feed->head, feed->max_head_bytes,
                             feed->kind == FEED_RESPONSE_TO_HEAD);
}

/* Whole, in halves and byte by byte, the parser must say the same. */
static inline int fuzz_message(enum feed_kind kind, const uint8_t *data, size_t size)
{
    static struct feed feed;
    static char whole[FEED_TEXT_MAX];
    if (size == 0 || size > FUZZ_MAX_BYTES)
        return 0;
    feed.kind = kind;
    feed.max_head_bytes = FUZZ_MAX_HEAD_BYTES;
    feed.bytes = (const char *)data;
    feed.len = size;

    strcpy(whole, feed_message(&feed, size, 0));
    fuzz_must_say(&feed, whole, 1, 0);
    fuzz_must_say(&feed, whole, size, size / 2);

    fuzz_begin(&feed);
    if (http1_read_head(&feed.parser, feed.bytes, feed.len) == HTTP1_DONE)
        fuzz_check_message(&feed);
    /* Our own pass must be as safe without llhttp before it. */
    fuzz_begin(&feed);
    if (http1_find_fields(&feed.parser, feed.bytes, feed.len) == HTTP1_DONE)
        fuzz_check_fields(&feed.head);
    return 0;
}

#endif
