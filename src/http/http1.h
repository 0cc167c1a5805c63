/* http1.h - HTTP/1.x by llhttp, with strict framing: what is ambiguous is refused, never guessed.
 *
 * llhttp is the first judge of a head; our own pass over the same bytes is the second, finds the
 * fields and refuses what llhttp lets through. Chunked bodies have a decoder of their own. Takes
 * bytes, no sockets. One parser sees one message after another on one connection.
 *
 * Thread: the connection's. Memory: embedded, about 180 bytes (idle connections need none: keep it
 * with the exchange). */
#ifndef HTTP_HTTP1_H
#define HTTP_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "http/message.h"

#define HTTP1_MAX_TRAILER_BYTES 4096

/* Whether all bytes may stand in a token (RFC 9110, section 5.6.2), and there is one. */
bool http1_is_token(struct str s);

enum http1_result {
    HTTP1_MORE = 0, /* all was taken and the part is not complete */
    HTTP1_DONE,
    HTTP1_REFUSED, /* the parser says why; the connection cannot go on */
};

struct http1_parser {
    llhttp_t llhttp;
    struct http_head *head; /* borrowed; being filled */
    size_t fed;             /* bytes of this head given to llhttp so far */
    size_t max_head_bytes;
    uint64_t body_left; /* of a HTTP_BY_LENGTH body, or of the current chunk */
    const char *reason; /* constant text, for the log */
    /* What a client is told: 400, 405 (CONNECT, TRACE), 414, 431, 501, 505. 502 for responses. */
    uint16_t refused_status;
    bool is_request;
    bool is_http2;     /* the head is of http2_head.h */
    bool has_open_end; /* of such: a body follows */
    bool answers_head; /* responses: to a HEAD request, so without a body */
    bool body_done;
    uint8_t chunk_state;   /* of the decoder in http1_chunked.c */
    uint16_t line_bytes;   /* of the current chunk-size line */
    uint16_t trailer_read; /* bytes of the trailer section so far */
    uint16_t trailer_line; /* where the current field starts in trailers */
    uint16_t trailer_len;
    bool drops_trailer; /* the current field has no place there */
    /* Borrowed space of HTTP1_MAX_TRAILER_BYTES, or NULL: trailers are checked and dropped. Set by
     * the caller after http1_begin_…, which clears it. */
    char *trailers;
};

/* Ready for one request or response, whose head goes to *head (borrowed until the body is done). */
void http1_begin_request(struct http1_parser *parser, struct http_head *head,
                         size_t max_head_bytes);
/* answers_head: the request was HEAD. */
void http1_begin_response(struct http1_parser *parser, struct http_head *head,
                          size_t max_head_bytes, bool answers_head);

/* `base` holds the first `have` bytes of the message: those of earlier calls too, perhaps at
 * another place. On HTTP1_DONE head->base is `base` and head->len says where the body starts; what
 * the head says of framing, connection and hop-by-hop fields is filled in. On HTTP1_REFUSED
 * refused_status and reason are set. A 1xx response is a head like any other: the caller begins
 * again after it. Empty lines before a request are skipped and count as part of its head. */
enum http1_result http1_read_head(struct http1_parser *parser, const char *base, size_t have);

/* Reads the whole head of a message that came by HTTP/2, written down as http2_head.h does. Its
 * body, if any (is_last: none), has no framing of its own: HTTP_CHUNKED says that its length isn't
 * known, and http1_read_body is not for it. A response that is all head has HTTP_BY_LENGTH with 0
 * where HTTP/1 has to say so. */
enum http1_result http1_take_head(struct http1_parser *parser, const char *base, size_t len,
                                  bool is_last);

/* Reads body bytes that follow the head. *taken says how many were used up; pieces[0..*count) are
 * slices of `bytes` with body content, framing removed (chunked is decoded). HTTP1_DONE when the
 * message ends: what follows `*taken` is another's. HTTP1_MORE with *taken < len: pieces ran out,
 * call again. HTTP_UNTIL_CLOSE never says DONE: the close does. */
enum http1_result http1_read_body(struct http1_parser *parser, const char *bytes, size_t len,
                                  size_t *taken, struct str *pieces, unsigned max, unsigned *count);
/* Of a body whose length the head told: how much is still to come; 0 for others. */
uint64_t http1_body_left(const struct http1_parser *parser);
/* The same as to read so many of these, for who needn't see them. */
void http1_skip_body(struct http1_parser *parser, uint64_t len);
/* True when the body (if any) has ended. */
bool http1_body_is_done(const struct http1_parser *parser);
/* The trailer fields as "Name: value\r\n" lines, checked, after DONE. Those that have no place
 * behind a body (RFC 9110, section 6.5.1: framing, routing, …) are left out. */
struct str http1_trailers(const struct http1_parser *parser);

#endif
