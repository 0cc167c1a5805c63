/* answer.h - the responses that weir gives itself: Kong's texts, in the type that the client
 * accepts.
 *
 * Thread: any. Memory: the caller's. */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/message.h"

enum answer_media { ANSWER_JSON = 0, ANSWER_PLAIN, ANSWER_HTML, ANSWER_XML };

/* Kong's choice. For what the proxy core refuses or misses (is_core), a request without Accept is
 * answered in its own Content-Type, else as plain text; all other answers are JSON then. `head` may
 * be NULL or half-read. */
enum answer_media answer_choose_media(const struct http_head *head, bool is_core);

/* The default text of a status: "Bad request". */
const char *answer_message(uint16_t status);

struct answer {
    uint16_t status;
    const char *message;     /* constant; goes into the body */
    bool is_core;            /* see answer_choose_media */
    uint8_t grpc_status;     /* for clients of gRPC; 0: as the status says */
    bool has_no_body;        /* a redirect */
    bool is_intended;        /* configured so, by a plugin: no failure to be logged */
    bool is_proxied;         /* an upstream was tried: its latency and Via are told */
    struct str fields;       /* more header lines, each with its CRLF */
    struct str content_type; /* not empty: `body` is the content, as it is, in place of message */
    struct str body;
};

/* What an answer's head needs from its exchange. */
struct answer_context {
    const struct http_head *request; /* NULL or half-read is fine */
    bool is_head;                    /* of a HEAD request: head only */
    bool keep_alive;
    uint8_t client_minor_version;
    const char *request_id;
    struct str date;
    bool add_latency;
    uint64_t upstream_latency_ms;
    uint64_t gateway_latency_ms;
};

/* For clients of gRPC, to whom all is well with HTTP: a head that has the status of gRPC's, and no
 * body. Otherwise the same. */
size_t answer_write_grpc(const struct answer *answer, const struct answer_context *context,
                         char *out, size_t size);

/* Writes the head. Returns its length; 0 when it doesn't fit. *ret_body is the body that follows
 * it: the answer's own where it lies, however long, or one of weir's, written behind the head. */
size_t answer_write(const struct answer *answer, const struct answer_context *context, char *out,
                    size_t size, struct str *ret_body);

#endif
