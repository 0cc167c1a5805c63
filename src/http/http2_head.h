/* http2_head.h - the fields of an HTTP/2 message, put down as HTTP/1 would write the same head, for
 * http1_take_head to judge: so there is one reader of heads, and what is refused in one protocol is
 * refused in the other.
 *
 * Nothing gets into the text that could end a line or the head: what might is refused here. That
 * names are in lower case, pseudo fields complete and in front, and fields of connections absent,
 * is nghttp2's to check.
 *
 * Thread: one owner. Memory: three byte queues, given back by http2_head_rest. */
#ifndef HTTP_HTTP2_HEAD_H
#define HTTP_HTTP2_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "http/message.h"

/* As SETTINGS_MAX_HEADER_LIST_SIZE counts a field (RFC 9113, section 6.5.2). */
#define HTTP2_FIELD_OVERHEAD 32

struct http2_head {
    size_t max_bytes;
    size_t bytes;       /* of all fields so far, as that setting counts */
    bool is_response;   /* the heads are those of responses: set once */
    bool is_trailers;   /* lines alone, of fields that may stand behind a body */
    struct buf pseudo;  /* the values of the pseudo fields */
    struct buf lines;   /* all other fields */
    struct buf cookies; /* joined (RFC 9113, section 8.2.3) */
    struct http_span method, path, authority;
    bool is_connect;
    bool has_protocol;
    bool is_websocket; /* asked for by an extended CONNECT; the text says GET, and no more of it */
    uint16_t status;   /* of a response; 0: none yet */
    bool is_of_head_request; /* also when it is refused */
    uint16_t refused_status; /* 0: not refused */
    const char *reason;      /* constant */
};

void http2_head_init(struct http2_head *head, size_t max_bytes);
void http2_head_deinit(struct http2_head *head);

/* Ready for the fields of another head, or of trailers. */
void http2_head_begin(struct http2_head *head, bool is_trailers);
/* What is bad or too much sets refused_status; the first reason stays. */
void http2_head_add(struct http2_head *head, struct str name, struct str value);
void http2_head_refuse(struct http2_head *head, uint16_t status, const char *reason);
/* All fields were there; is_last: and nothing comes behind them. May refuse it as a whole. */
void http2_head_end(struct http2_head *head, bool is_last);
/* It has been used: large buffers are given back. */
void http2_head_rest(struct http2_head *head);

/* The text of a head that was not refused. */
size_t http2_head_text_bytes(const struct http2_head *head);
void http2_head_write(const struct http2_head *head, char *out);

#endif
