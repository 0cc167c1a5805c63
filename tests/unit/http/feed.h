/* feed.h - gives a message to the parser in every way that a network may cut it, and puts into
 * words what the parser made of it.
 *
 * Memory: each call copies its bytes to a block of just their size, so that sanitizers see a read
 * past the end or into the bytes of an earlier call. */
#ifndef TESTS_UNIT_HTTP_FEED_H
#define TESTS_UNIT_HTTP_FEED_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http1.h"

#define FEED_TEXT_MAX 32768

enum feed_kind { FEED_REQUEST, FEED_RESPONSE, FEED_RESPONSE_TO_HEAD };

struct feed {
    enum feed_kind kind;
    size_t max_head_bytes;
    const char *bytes;
    size_t len;
    size_t step; /* bytes a call */
    size_t cut;  /* the first call's bytes, 0: step */
    struct http_head head;
    struct http1_parser parser;
    char trailers[HTTP1_MAX_TRAILER_BYTES];
    char text[FEED_TEXT_MAX];
    size_t text_len;
};

static inline void feed_say(struct feed *feed, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(feed->text + feed->text_len, FEED_TEXT_MAX - feed->text_len, format, args);
    va_end(args);
    feed->text_len += (size_t)len;
    if (feed->text_len >= FEED_TEXT_MAX)
        abort();
}

/* Body bytes may be any; a NUL would end the text. */
static inline void feed_say_bytes(struct feed *feed, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        feed_say(feed, "%c", bytes.ptr[i] ? bytes.ptr[i] : '0');
}

static inline size_t feed_next(const struct feed *feed, size_t have)
{
    size_t next = have == 0 && feed->cut ? feed->cut : have + feed->step;
    return next < feed->len ? next : feed->len;
}

/* The words after the start line: framing, connection, flags, hop-by-hop fields. */
static inline void feed_say_framing(struct feed *feed)
{
    const struct http_head *head = &feed->head;
    switch (head->framing) {
    case HTTP_NO_BODY:
        feed_say(feed, " none");
        break;
    case HTTP_BY_LENGTH:
        feed_say(feed, " length");
        break;
    case HTTP_CHUNKED:
        feed_say(feed, " chunked");
        break;
    case HTTP_UNTIL_CLOSE:
        feed_say(feed, " until-close");
        break;
    }
    if (head->has_content_length)
        feed_say(feed, "=%llu", (unsigned long long)head->content_length);
    feed_say(feed, head->keep_alive ? " keep" : " close");
    if (head->host.len)
        feed_say(feed, " host=%.*s", STR_ARG(http_span_str(head, head->host)));
    if (head->port)
        feed_say(feed, ":%u", head->port);
    if (head->expects_continue)
        feed_say(feed, " expect");
    if (head->te_trailers)
        feed_say(feed, " te");
    if (head->has_upgrade)
        feed_say(feed, " upgrade");
    for (unsigned i = 0; i < head->field_count; i++)
        if (head->fields[i].is_hop_by_hop)
            feed_say(feed, " hop=%.*s", STR_ARG(http_field_name(head, &head->fields[i])));
}

static inline void feed_say_head(struct feed *feed)
{
    const struct http_head *head = &feed->head;
    if (feed->kind == FEED_REQUEST)
        feed_say(feed, "%.*s %.*s 1.%u", STR_ARG(http_span_str(head, head->method_text)),
                 STR_ARG(http_span_str(head, head->target)), head->minor_version);
    else
        feed_say(feed, "%u '%.*s' 1.%u", head->status, STR_ARG(http_span_str(head, head->reason)),
                 head->minor_version);
    feed_say_framing(feed);
}

/* Returns how many bytes the head took, 0 when it is refused or not complete. */
static inline size_t feed_head(struct feed *feed)
{
    size_t have = 0;
    for (;;) {
        have = feed_next(feed, have);
        char *copy = malloc(have);
        memcpy(copy, feed->bytes, have);
        enum http1_result result = http1_read_head(&feed->parser, copy, have);
        if (result == HTTP1_DONE)
            feed_say_head(feed);
        free(copy);
        if (result == HTTP1_REFUSED)
            feed_say(feed, "%u", feed->parser.refused_status);
        if (result == HTTP1_DONE)
            return feed->head.len;
        if (result == HTTP1_REFUSED || have == feed->len) {
            if (result == HTTP1_MORE)
                feed_say(feed, "more");
            return 0;
        }
    }
}

static inline void feed_body(struct feed *feed, size_t at)
{
    bool has_body = feed->head.framing != HTTP_NO_BODY;
    if (has_body)
        feed_say(feed, " body=");
    while (!http1_body_is_done(&feed->parser) && at < feed->len) {
        size_t len = feed_next(feed, at) - at;
        if (len == 0)
            len = 1;
        char *copy = malloc(len);
        memcpy(copy, feed->bytes + at, len);
        size_t taken;
        unsigned count;
        struct str pieces[3];
        enum http1_result result =
            http1_read_body(&feed->parser, copy, len, &taken, pieces, 3, &count);
        for (unsigned i = 0; i < count; i++)
            feed_say_bytes(feed, pieces[i]);
        free(copy);
        if (result == HTTP1_REFUSED) {
            feed_say(feed, " %u", feed->parser.refused_status);
            return;
        }
        at += taken;
    }
    struct str trailers = http1_trailers(&feed->parser);
    if (trailers.len)
        feed_say(feed, " trailers=%.*s", STR_ARG(trailers));
    if (!http1_body_is_done(&feed->parser))
        feed_say(feed, " more");
    else if (at < feed->len)
        feed_say(feed, " rest=%zu", feed->len - at);
}

/* What the parser makes of the message when it comes in pieces of `step` bytes, the first of `cut`.
 * The words stay until the next call. */
static inline const char *feed_message(struct feed *feed, size_t step, size_t cut)
{
    feed->step = step;
    feed->cut = cut;
    feed->text_len = 0;
    feed->text[0] = '\0';
    if (feed->kind == FEED_REQUEST)
        http1_begin_request(&feed->parser, &feed->head, feed->max_head_bytes);
    else
        http1_begin_response(&feed->parser, &feed->head, feed->max_head_bytes,
                             feed->kind == FEED_RESPONSE_TO_HEAD);
    feed->parser.trailers = feed->trailers;
    size_t head_len = feed_head(feed);
    if (head_len)
        feed_body(feed, head_len);
    return feed->text;
}

#endif
