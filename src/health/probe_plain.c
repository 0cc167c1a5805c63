/* probe_plain.c - probes over plain TCP: a connection that comes about, or one HTTP request on it.
 */
#include "health/probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "http/http1.h"

#define MAX_HEAD_BYTES (16 * 1024) /* more than any sane answer's head */
#define READ_BYTES 4096

/*   connecting --CHECK_TCP--> the end
 *       '----CHECK_HTTP----> asking ------> the end
 *
 * The end comes once: by an answer, a failure, the time-out or cancel; then both handles close and
 * the last one to do so frees the probe. */
struct plain_probe {
    struct probe probe; /* first */
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    unsigned open_handles;
    bool has_ended;
    enum check_type type;
    char *request; /* owned */
    struct buf answer;
    struct http1_parser parser;
    struct http_head head;
    char read_space[READ_BYTES];
};

static void on_closed(uv_handle_t *handle)
{
    struct plain_probe *p = handle->data;
    if (--p->open_handles > 0)
        return;
    buf_deinit(&p->answer);
    free(p->request);
    free(p);
}

static void close_handles(struct plain_probe *p)
{
    p->has_ended = true;
    uv_close((uv_handle_t *)&p->tcp, on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

static void finish(struct plain_probe *p, enum probe_end end, uint16_t status, const char *why)
{
    if (p->has_ended)
        return;
    close_handles(p);
    p->probe.done(p->probe.arg, &(struct probe_result){end, status, why});
}

static void cancel(struct probe *probe)
{
    struct plain_probe *p = (struct plain_probe *)probe;
    if (!p->has_ended)
        close_handles(p);
}

/* --- asking --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct plain_probe *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->read_space, sizeof(p->read_space));
}

static void begin_head(struct plain_probe *p)
{
    http1_begin_response(&p->parser, &p->head, MAX_HEAD_BYTES, false);
}

/* The status is all that counts: a body is not waited for. */
static void take_answer(struct plain_probe *p)
{
    for (;;) {
        struct str have = buf_str(&p->answer);
        switch (http1_read_head(&p->parser, have.ptr, have.len)) {
        case HTTP1_MORE:
            return;
        case HTTP1_REFUSED:
            finish(p, PROBE_GARBAGE, 0, p->parser.reason);
            return;
        case HTTP1_DONE:
            break;
        }
        if (p->head.status >= 200) {
            finish(p, PROBE_ANSWERED, p->head.status, NULL);
            return;
        }
        buf_consume(&p->answer, p->head.len);
        begin_head(p);
        if (buf_len(&p->answer) == 0)
            return;
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct plain_probe *p = stream->data;
    if (p->has_ended || count == 0)
        return;
    if (count < 0)
        finish(p, buf_len(&p->answer) > 0 ? PROBE_GARBAGE : PROBE_FAILED, 0,
               count == UV_EOF ? "closed before its answer was there" : uv_strerror((int)count));
    else if (buf_append(&p->answer, buf->base, (size_t)count))
        finish(p, PROBE_GARBAGE, 0, "its answer's head is too long");
    else
        take_answer(p);
}

static void on_written(uv_write_t *write, int status)
{
    struct plain_probe *p = write->data;
    if (status < 0 && !p->has_ended)
        finish(p, PROBE_FAILED, 0, uv_strerror(status));
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct plain_probe *p = connect->data;
    if (p->has_ended)
        return;
    if (status < 0) {
        finish(p, PROBE_FAILED, 0, uv_strerror(status));
        return;
    }
    if (p->type == CHECK_TCP) {
        finish(p, PROBE_CONNECTED, 0, NULL);
        return;
    }
    begin_head(p);
    p->write.data = p;
    uv_buf_t bytes = uv_buf_init(p->request, (unsigned)strlen(p->request));
    int rc = uv_write(&p->write, (uv_stream_t *)&p->tcp, &bytes, 1, on_written);
    if (!rc)
        rc = uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
    if (rc)
        finish(p, PROBE_FAILED, 0, uv_strerror(rc));
}

static void on_time_out(uv_timer_t *timer)
{
    finish(timer->data, PROBE_TIMED_OUT, 0, NULL);
}

/* A connection that fails at once is told on the next turn, as one that fails later is. */
static void on_early_failure(uv_timer_t *timer)
{
    finish(timer->data, PROBE_FAILED, 0, "no connection could be begun");
}

/* --- the beginning --- */

static char *make_request(const struct health_rules *rules, const struct target_state *target)
{
    char *text;
    int len = asprintf(&text,
                       "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weir/" WEIR_VERSION
                       " (health check)\r\nAccept: */*\r\n%sConnection: close\r\n\r\n",
                       rules->path, rules->host ? rules->host : target->host, rules->header_lines);
    return len < 0 ? NULL : text;
}

int probe_start_plain(uv_loop_t *loop, const struct health_rules *rules,
                      const struct target_state *target, probe_done_cb done, void *arg,
                      struct probe **ret)
{
    struct plain_probe *p = calloc(1, sizeof(*p));
    if (!p)
        return UV_ENOMEM;
    p->probe = (struct probe){cancel, done, arg};
    p->type = rules->type;
    if (!(p->request = make_request(rules, target))) {
        free(p);
        return UV_ENOMEM;
    }
    buf_init(&p->answer, MAX_HEAD_BYTES + READ_BYTES);
    uv_timer_init(loop, &p->timer);
    uv_tcp_init(loop, &p->tcp);
    p->open_handles = 2;
    p->timer.data = p->tcp.data = p->connect.data = p;
    int rc = uv_tcp_connect(&p->connect, &p->tcp, &target->address.any, on_connected);
    uv_timer_start(&p->timer, rc ? on_early_failure : on_time_out, rc ? 0 : rules->timeout_ms, 0);
    *ret = &p->probe;
    return 0;
}

void probe_cancel(struct probe *probe)
{
    probe->cancel(probe);
}
