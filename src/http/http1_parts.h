/* http1_parts.h - what the files of http1 share; nobody else's business.
 *
 * http1.c feeds llhttp and hands out bodies, http1_head.c finds the fields, http1_framing.c reads
 * what they mean for the message, http1_chunked.c decodes chunks.
 *
 * Thread: the connection's. Memory: none. */
#ifndef HTTP_HTTP1_PARTS_H
#define HTTP_HTTP1_PARTS_H

#include "http/http1.h"

/* Always HTTP1_REFUSED. A bad response is the upstream's fault: its status is always 502. */
enum http1_result http1_refuse(struct http1_parser *parser, uint16_t status, const char *reason);

bool http1_is_token_char(char c);
/* Whether a field has its place behind a body (RFC 9110, section 6.5.1). */
bool http1_may_be_trailer(struct str name);

/* Finds the lines and fields of a whole head of `len` bytes. Assumes nothing that llhttp has
 * checked. */
enum http1_result http1_find_fields(struct http1_parser *parser, const char *base, size_t len);

/* Fills in what the found fields mean. `repeated` has a bit per header_id that came twice. */
enum http1_result http1_apply_fields(struct http1_parser *parser, uint32_t repeated);

/* http1_read_body for chunked bodies. */
enum http1_result http1_read_chunks(struct http1_parser *parser, const char *bytes, size_t len,
                                    size_t *taken, struct str *pieces, unsigned max,
                                    unsigned *count);

#endif
