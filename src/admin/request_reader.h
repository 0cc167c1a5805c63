/* request_reader.h - the bytes that one client of the Admin API sends, and what has been read from
 * them of the request under way: its head, the fields that are needed later, its body.
 *
 * It sends nothing: what is to be refused it says by the status.
 *
 * Thread: control. Memory: embedded in a connection; owns its buffers. */
#ifndef ADMIN_REQUEST_READER_H
#define ADMIN_REQUEST_READER_H

#include <stdbool.h>
#include <stddef.h>

#include <uv.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "http/http1.h"

struct request_reader {
    struct buf in; /* bytes that are not yet used up; head and body are read from here */
    struct http1_parser parser;
    struct http_head head; /* its bytes go with request_reader_end_head */
    struct buf body;
    size_t max_body_bytes;
    struct {
        struct str origin; /* empty: none */
        struct str wanted_headers;
        struct str content_type;
        struct str last_event_id;
        struct str authorization;
        struct str kong_admin_token;
    } kept;             /* copies of fields, until the next request begins */
    struct arena arena; /* for these */
};

/* Bodies are taken up to max_body_bytes, which is not 0. */
void request_reader_init(struct request_reader *reader, size_t max_body_bytes);
void request_reader_deinit(struct request_reader *reader);

/* How much a read may bring: of TLS there may be a record more. */
#define REQUEST_READER_READ_BYTES ((size_t)16 << 10)
/* Copies what came. 0, or a negative UV_E… when there is no room for it. */
int request_reader_add(struct request_reader *reader, const char *bytes, size_t len);
/* Forgets the bytes that are not used up. */
void request_reader_drop(struct request_reader *reader);
/* Between requests a connection holds no more memory than the next one needs to begin. */
void request_reader_trim(struct request_reader *reader);

void request_reader_begin(struct request_reader *reader);
/* When done, head and kept are there. When refused, *ret_status says with which status. */
enum http1_result request_reader_read_head(struct request_reader *reader, int *ret_status);
/* Nobody needs the head's bytes any more. */
void request_reader_end_head(struct request_reader *reader);
/* Takes what has come of the body. 0, or the status with which to refuse it. */
int request_reader_read_body(struct request_reader *reader);

/* The head announces more than is taken. */
bool request_reader_is_too_long(const struct request_reader *reader);
/* The client waits for our word before it sends the body. */
bool request_reader_is_waited_for(const struct request_reader *reader);
/* What has been taken of it, borrowed until the next request begins. */
struct str request_reader_body(const struct request_reader *reader);

static inline bool request_reader_has_bytes(const struct request_reader *reader)
{
    return buf_len(&reader->in) > 0;
}

#endif
