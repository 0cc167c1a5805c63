/* access_log.h - one line a request: nginx's combined format with the request's id, or one
 * of log_format.h.
 *
 * Lines are put into one of two buffers; the other one is on its way to the file, through libuv's
 * thread pool. What a disk that is too slow cannot take is dropped and counted, never waited for.
 *
 * Thread: its worker's. Memory: two buffers of ACCESS_LOG_BUFFER_BYTES. */
#ifndef PROXY_ACCESS_LOG_H
#define PROXY_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/error.h"
#include "base/str.h"
#include "http/message.h"
#include "proxy/log_format.h"

#define ACCESS_LOG_BUFFER_BYTES 262144u
#define ACCESS_LOG_MAX_TEXT 2048 /* of each text in a line, before escapes; the rest is cut */

struct timer_wheel;
struct access_log;

struct access_line {
    struct str peer;
    struct str time;    /* as wall_clock's log_text */
    struct str request; /* "GET /path HTTP/1.1", or what there was of a bad one */
    uint16_t status;
    uint64_t body_bytes;
    struct str referer;
    struct str user_agent;
    struct str request_id;
    /* For formats of log_format.h. */
    struct str iso_time;          /* as wall_clock's iso_text */
    const struct http_head *head; /* NULL: it was not understood */
    bool is_tls;
    struct str scheme;      /* of a stream: "tcp", "tls", "tls_passthrough"; empty: a request's */
    struct str server_name; /* that TLS asked for */
    struct str service, route, upstream; /* empty: none */
    struct str target;                   /* the last that was asked */
    unsigned tries;
    uint64_t received_bytes, request_ms;
    uint64_t upstream_ms; /* ACCESS_LOG_NO_TIME: none was asked */
};
#define ACCESS_LOG_NO_TIME UINT64_MAX

/* Opens for appending; "/dev/stdout" and "/dev/stderr" are the process's own. 0 or a negative UV_E…
 * with *err naming the file. Lines are flushed by a node on `wheel` while there are any. */
int access_log_open(uv_loop_t *loop, struct timer_wheel *wheel, const char *path,
                    struct access_log **ret, struct error *err);
/* Lines from here on are of that format (borrowed while the log is open); NULL: combined. */
void access_log_set_format(struct access_log *log, const struct log_format *format);
/* Whether lines may say more than the combined format does. */
bool access_log_wants_all(const struct access_log *log);
/* Writes what is left, waiting for the disk, and frees. For a loop that has ended; NULL is fine. */
void access_log_close(struct access_log *log);

void access_log_add(struct access_log *log, const struct access_line *line);
/* The same for a stream: in Kong's format "basic" where requests have the combined one. */
void access_log_add_stream(struct access_log *log, const struct access_line *line);

/* Lines from here on go to a file opened anew by its path: the old one was renamed. When that
 * fails, the old one stays. */
void access_log_reopen(struct access_log *log);

/* One line with its newline. Bytes that are no printable ASCII, quotes and backslashes become \xHH.
 * Returns the length; 0 when it does not fit. For access_log_add and its test. */
size_t access_log_format(const struct access_line *line, char *out, size_t size);
/* The same for a stream, in nginx's words: the client, its end's time, TCP, the status, bytes to
 * and from the client, seconds. */
size_t access_log_format_stream(const struct access_line *line, char *out, size_t size);

#endif
