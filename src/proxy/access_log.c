#include "proxy/access_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd_write.h"
#include "base/log.h"
#include "base/timer_wheel.h"
#include "proxy/writer.h"

#define FLUSH_INTERVAL_MS 100
/* At the end, for a reader that is only slow. */
#define CLOSE_PATIENCE_MS 500

/*   lines --> filling buffer   --swap, when the other is written-->   writing buffer --> file */
struct line_buffer {
    char *bytes; /* owned */
    size_t len;
};

struct access_log {
    const struct log_format *format; /* borrowed; NULL: combined */
    uv_loop_t *loop;
    struct timer_wheel *wheel;
    struct timer_node flush_node;
    struct line_buffer filling;
    struct line_buffer writing;
    size_t written; /* of writing, so far */
    bool is_writing;
    bool has_failed;   /* the last write did: told once */
    bool must_reopen;  /* the next write is to */
    bool wants_reopen; /* the write under way is to */
    int file;
    int reopen_error; /* UV_E…, of the write that reopened */
    uv_work_t work; /* the pool thread's: file, writing, written, wants_reopen are its meanwhile */
    ssize_t work_result; /* of the last write in it */
    uint64_t dropped;    /* lines since the last time it was told */
    char *path;          /* owned */
};

/* --- a line --- */

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct writer *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    if (text.len > ACCESS_LOG_MAX_TEXT)
        text.len = ACCESS_LOG_MAX_TEXT;
    size_t start = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_plain(c))
            continue;
        char escape[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
        writer_str(out, str_make(text.ptr + start, i - start));
        writer_put(out, escape, sizeof(escape));
        start = i + 1;
    }
    writer_str(out, str_make(text.ptr + start, text.len - start));
}

static void put_quoted(struct writer *out, struct str text)
{
    writer_char(out, '"');
    if (text.len > 0)
        put_escaped(out, text);
    else
        writer_char(out, '-');
    writer_char(out, '"');
}

size_t access_log_format(const struct access_line *line, char *out, size_t size)
{
    struct writer writer = writer_on(out, size);
    writer_str(&writer, line->peer);
    WRITER_LITERAL(&writer, " - - [");
    writer_str(&writer, line->time);
    WRITER_LITERAL(&writer, "] ");
    put_quoted(&writer, line->request);
    writer_char(&writer, ' ');
    writer_number(&writer, line->status);
    writer_char(&writer, ' ');
    writer_number(&writer, line->body_bytes);
    writer_char(&writer, ' ');
    put_quoted(&writer, line->referer);
    writer_char(&writer, ' ');
    put_quoted(&writer, line->user_agent);
    WRITER_LITERAL(&writer, " kong_request_id: ");
    put_quoted(&writer, line->request_id);
    writer_char(&writer, '\n');
    return writer.has_overflowed ? 0 : (size_t)(writer.at - out);
}

size_t access_log_format_stream(const struct access_line *line, char *out, size_t size)
{
    struct writer writer = writer_on(out, size);
    writer_str(&writer, line->peer);
    WRITER_LITERAL(&writer, " [");
    writer_str(&writer, line->time);
    WRITER_LITERAL(&writer, "] TCP ");
    writer_number(&writer, line->status);
    writer_char(&writer, ' ');
    writer_number(&writer, line->body_bytes);
    writer_char(&writer, ' ');
    writer_number(&writer, line->received_bytes);
    writer_char(&writer, ' ');
    writer_seconds(&writer, line->request_ms);
    writer_char(&writer, '\n');
    return writer.has_overflowed ? 0 : (size_t)(writer.at - out);
}

/* --- the file --- */

static int open_file(const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0)
        return dup(STDOUT_FILENO);
    if (strcmp(path, "/dev/stderr") == 0)
        return dup(STDERR_FILENO);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
}

static void reopen_file(struct access_log *log)
{
    int file = open_file(log->path);
    log->wants_reopen = false;
    if (file < 0) {
        log->reopen_error = uv_translate_sys_error(errno);
        return;
    }
    close(log->file);
    log->file = file;
}

/* In libuv's pool, for a disk may be slow. A reader that has stalled is not waited for: the pool is
 * also the store's. */
static void write_some(uv_work_t *work)
{
    struct access_log *log = work->data;
    log->work_result = 0;
    if (log->wants_reopen)
        reopen_file(log);
    while (log->written < log->writing.len) {
        log->work_result = fd_write_now(log->file, log->writing.bytes + log->written,
                                        log->writing.len - log->written);
        if (log->work_result > 0)
            log->written += (size_t)log->work_result;
        else
            break;
    }
}

static void on_written(uv_work_t *work, int status);

static void start_write(struct access_log *log)
{
    log->wants_reopen = log->must_reopen;
    log->is_writing = uv_queue_work(log->loop, &log->work, write_some, on_written) == 0;
    if (log->is_writing)
        log->must_reopen = false;
}

static void tell_dropped(struct access_log *log)
{
    if (log->dropped == 0)
        return;
    log_warn("access log lines dropped, the file cannot follow", LOG_CSTR("file", log->path),
             LOG_INT("lines", log->dropped));
    log->dropped = 0;
}

static void flush(struct access_log *log)
{
    if (log->is_writing || log->filling.len == 0)
        return;
    struct line_buffer full = log->filling;
    log->filling = log->writing;
    log->filling.len = 0;
    log->writing = full;
    log->written = 0;
    start_write(log);
}

static void schedule_flush(struct access_log *log)
{
    if (!list_is_linked(&log->flush_node.link))
        timer_wheel_arm(log->wheel, &log->flush_node, FLUSH_INTERVAL_MS);
}

static void on_written(uv_work_t *work, int status)
{
    struct access_log *log = work->data;
    ssize_t result = status ? status : log->work_result;
    log->is_writing = false;

    if (log->reopen_error)
        log_error("access log cannot be opened anew", LOG_CSTR("file", log->path),
                  LOG_CSTR("error", uv_strerror(log->reopen_error)));
    log->reopen_error = 0;
    if (result > 0) {
        log->has_failed = false;
    } else if (log->written == log->writing.len) {
        /* only opened anew */
    } else if (result != UV_EAGAIN) {
        if (!log->has_failed)
            log_error("access log cannot be written", LOG_CSTR("file", log->path),
                      LOG_CSTR("error", uv_strerror((int)result)));
        log->has_failed = true;
        log->written = log->writing.len; /* given up */
    }
    if (log->written < log->writing.len) { /* a pipe that is full: later */
        schedule_flush(log);
        return;
    }
    log->writing.len = log->written = 0;
    tell_dropped(log);
    if (log->filling.len > ACCESS_LOG_BUFFER_BYTES / 2)
        flush(log);
}

static void on_flush_due(struct timer_node *node)
{
    struct access_log *log = LIST_ENTRY(node, struct access_log, flush_node);
    if (!log->is_writing && (log->must_reopen || log->written < log->writing.len))
        start_write(log);
    else
        flush(log);
    if (log->filling.len > 0 || log->must_reopen)
        schedule_flush(log);
}

static void free_log(struct access_log *log)
{
    if (!log)
        return;
    if (log->file >= 0)
        close(log->file);
    free(log->filling.bytes);
    free(log->writing.bytes);
    free(log->path);
    free(log);
}

int access_log_open(uv_loop_t *loop, struct timer_wheel *wheel, const char *path,
                    struct access_log **ret, struct error *err)
{
    int rc = UV_ENOMEM;
    struct access_log *log = calloc(1, sizeof(*log));
    if (!log)
        return rc;
    log->file = -1;
    log->loop = loop;
    log->wheel = wheel;
    log->work.data = log;
    timer_node_init(&log->flush_node, on_flush_due);
    log->path = strdup(path);
    log->filling.bytes = malloc(ACCESS_LOG_BUFFER_BYTES);
    log->writing.bytes = malloc(ACCESS_LOG_BUFFER_BYTES);
    if (!log->path || !log->filling.bytes || !log->writing.bytes)
        goto fail;
    log->file = open_file(path);
    if (log->file < 0) {
        rc = uv_translate_sys_error(errno);
        error_set(err, "access_log", "%s cannot be opened: %s", path, uv_strerror(rc));
        goto fail;
    }
    *ret = log;
    return 0;
fail:
    free_log(log);
    return rc;
}

static void write_now(struct access_log *log, const char *bytes, size_t len, int *patience_ms)
{
    while (len > 0) {
        ssize_t count = fd_write_now(log->file, bytes, len);
        if (count == UV_EAGAIN && *patience_ms > 0) {
            struct pollfd ready = {.fd = log->file, .events = POLLOUT};
            poll(&ready, 1, CLOSE_PATIENCE_MS / 10);
            *patience_ms -= CLOSE_PATIENCE_MS / 10;
            continue;
        }
        if (count <= 0)
            return; /* nobody is left to wait for a better moment */
        bytes += count;
        len -= (size_t)count;
    }
}

void access_log_close(struct access_log *log)
{
    if (!log)
        return;
    assert(!log->is_writing);
    timer_wheel_disarm(log->wheel, &log->flush_node);
    int patience_ms = CLOSE_PATIENCE_MS;
    write_now(log, log->writing.bytes + log->written, log->writing.len - log->written,
              &patience_ms);
    write_now(log, log->filling.bytes, log->filling.len, &patience_ms);
    tell_dropped(log);
    free_log(log);
}

void access_log_set_format(struct access_log *log, const struct log_format *format)
{
    log->format = format;
}

bool access_log_wants_all(const struct access_log *log)
{
    return log->format != NULL;
}

static void take_line(struct access_log *log, size_t len)
{
    if (len == 0) {
        log->dropped++;
        return;
    }
    log->filling.len += len;
    if (log->filling.len > ACCESS_LOG_BUFFER_BYTES / 2 && log->writing.len == 0)
        flush(log);
    else
        schedule_flush(log);
}

void access_log_add(struct access_log *log, const struct access_line *line)
{
    char *out = log->filling.bytes + log->filling.len;
    size_t room = ACCESS_LOG_BUFFER_BYTES - log->filling.len;
    take_line(log, log->format ? log_format_write(log->format, line, out, room)
                               : access_log_format(line, out, room));
}

void access_log_add_stream(struct access_log *log, const struct access_line *line)
{
    char *out = log->filling.bytes + log->filling.len;
    size_t room = ACCESS_LOG_BUFFER_BYTES - log->filling.len;
    take_line(log, log->format ? log_format_write(log->format, line, out, room)
                               : access_log_format_stream(line, out, room));
}

void access_log_reopen(struct access_log *log)
{
    log->must_reopen = true;
    schedule_flush(log);
}
