/* message.h - a request's or response's head, as offsets into the bytes that it was parsed from.
 *
 * Offsets, because the bytes move: a head that came whole is parsed in the worker's read buffer and
 * only copied when something has to wait; then `base` is set anew and all else stays.
 *
 * Thread: the exchange's worker. Memory: embedded; borrows the bytes at base. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/headers.h"

#define HTTP_MAX_FIELDS 128 /* nginx has no count of its own, HAProxy 101 */

struct http_span {
    uint32_t offset;
    uint32_t len;
};

struct http_field {
    uint32_t name_offset;
    uint32_t value_offset; /* without the white space around it */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id;         /* enum header_id */
    bool is_hop_by_hop; /* not passed on: by its name, because Connection names it (RFC 9110,
                           section 7.6.1), or because a plugin has taken it out */
};

/* How the end of the body is told (RFC 9112, section 6.3). */
enum http_framing {
    HTTP_NO_BODY = 0,
    HTTP_BY_LENGTH, /* content_length bytes, 0 too */
    HTTP_CHUNKED,
    HTTP_UNTIL_CLOSE, /* responses only */
};

struct http_head {
    const char *base;
    uint32_t len;          /* of the whole head with its empty line */
    uint16_t status;       /* responses */
    uint8_t method;        /* requests: llhttp's HTTP_GET and so on; also of one that is refused */
    uint8_t minor_version; /* of HTTP/1: 0 or 1 (of HTTP/2, which is able to do the same: 1) */
    bool is_http2;         /* it came by HTTP/2 */
    struct http_span method_text;
    struct http_span target; /* requests: the request target as sent */
    struct http_span reason; /* responses */
    /* Requests: the host that is asked for, without its port: of an absolute-form target, else of
     * Host (RFC 9112, section 3.2.2). Checked; empty only for HTTP/1.0 without Host. */
    struct http_span host;
    uint16_t port;           /* the one that stands with the host; 0: none */
    uint64_t content_length; /* when framing is HTTP_BY_LENGTH, or told by HEAD, 304 */
    enum http_framing framing;
    bool has_content_length; /* content_length is set; never for 1xx and 204 */
    bool keep_alive;         /* the sender wants the connection kept after this message */
    bool expects_continue;   /* Expect: 100-continue from an HTTP/1.1 client */
    bool te_trailers;        /* TE names trailers */
    bool has_upgrade;        /* Upgrade with Connection: upgrade */
    uint16_t field_count;
    uint8_t first[HEADER_COUNT]; /* 1 + index of the first field of that name; 0: absent */
    struct http_field fields[HTTP_MAX_FIELDS];
};

static inline struct str http_span_str(const struct http_head *head, struct http_span span)
{
    return str_make(head->base + span.offset, span.len);
}

static inline struct str http_field_name(const struct http_head *head,
                                         const struct http_field *field)
{
    return str_make(head->base + field->name_offset, field->name_len);
}

static inline struct str http_field_value(const struct http_head *head,
                                          const struct http_field *field)
{
    return str_make(head->base + field->value_offset, field->value_len);
}

/* The first field of a known name, or NULL. */
static inline const struct http_field *http_head_find(const struct http_head *head,
                                                      enum header_id id)
{
    return head->first[id] ? &head->fields[head->first[id] - 1] : NULL;
}

/* How many more gateways an OPTIONS request may pass (RFC 9110, section 7.6.2). False: any number,
 * or it is another method's, to which the field says nothing. */
bool http_head_max_forwards(const struct http_head *head, uint64_t *ret);

#endif
