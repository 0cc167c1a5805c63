#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd_write.h"

#define MAX_LINE_BYTES 4096

static const char *const level_names[] = {"debug", "info", "notice", "warn", "error", "crit"};
static _Atomic int lowest_level = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&lowest_level, level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

bool log_level_parse(struct str name, enum log_level *ret)
{
    for (int level = LOG_DEBUG; level <= LOG_CRIT; level++) {
        if (str_equal(name, str_of(level_names[level]))) {
            *ret = (enum log_level)level;
            return true;
        }
    }
    if (!str_equal(name, STR("alert")) && !str_equal(name, STR("emerg")))
        return false;
    *ret = LOG_CRIT;
    return true;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

static size_t escape_one(char piece[8], struct str s, size_t *taken)
{
    unsigned char c = (unsigned char)s.ptr[0];
    *taken = 1;
    if (c == '"' || c == '\\') {
        piece[0] = '\\';
        piece[1] = (char)c;
        return 2;
    }
    if (c < 0x20 || c == 0x7f)
        return (size_t)snprintf(piece, 8, "\\u%04x", c);
    size_t len = str_utf8_len(s);
    if (len == 0)
        return (size_t)snprintf(piece, 8, "\\ufffd");
    if (len == 2 && c == 0xc2 && (unsigned char)s.ptr[1] < 0xa0) { /* controls of terminals */
        *taken = len;
        return (size_t)snprintf(piece, 8, "\\u%04x", (unsigned char)s.ptr[1]);
    }
    if (len == 3 && memcmp(s.ptr, "\xe2\x80", 2) == 0 && ((unsigned char)s.ptr[2] & 0xfe) == 0xa8) {
        *taken = len; /* the ends of lines and paragraphs */
        return (size_t)snprintf(piece, 8, "\\u20%02x", (unsigned char)s.ptr[2] - 0x80u);
    }
    memcpy(piece, s.ptr, len);
    *taken = len;
    return len;
}

char *log_escape(char *out, const char *end, struct str text)
{
    char piece[8];
    while (text.len > 0) {
        size_t taken;
        size_t len = escape_one(piece, text, &taken);
        if ((size_t)(end - out) < len)
            break;
        memcpy(out, piece, len);
        out += len;
        text.ptr += taken;
        text.len -= taken;
    }
    return out;
}

static char *put(char *out, const char *end, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(end - out) < len)
        len = (size_t)(end - out);
    memcpy(out, text, len);
    return out + len;
}

static char *put_value(char *out, const char *end, const struct log_field *field, bool quoted)
{
    char number[24];
    switch (field->kind) {
    case LOG_FIELD_INT:
        snprintf(number, sizeof(number), "%lld", (long long)field->number);
        return put(out, end, number);
    case LOG_FIELD_BOOL:
        return put(out, end, field->number ? "true" : "false");
    case LOG_FIELD_STR:
    case LOG_FIELD_NONE:
        break;
    }
    if (quoted)
        out = put(out, end, "\"");
    out = log_escape(out, end, field->str);
    return quoted ? put(out, end + 1, "\"") : out; /* the caller keeps a byte for the quote */
}

static bool is_plain_word(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] == '"' || s.ptr[i] == '=')
            return false;
    return s.len > 0;
}

static char *put_time(char *out, const char *end, bool for_people, int64_t unix_ms)
{
    char text[40];
    time_t seconds = (time_t)(unix_ms / 1000);
    int ms = (int)(unix_ms % 1000);
    struct tm tm;
    if (for_people) {
        localtime_r(&seconds, &tm);
        snprintf(text, sizeof(text), "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
    } else {
        gmtime_r(&seconds, &tm);
        size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text + len, sizeof(text) - len, ".%03dZ", ms);
    }
    return put(out, end, text);
}

size_t log_format(char *line, size_t size, bool for_people, int64_t unix_ms, enum log_level level,
                  const char *msg, const struct log_field *fields, int count)
{
    char *out = line;
    const char *end = line + size - 4; /* room for a closing quote, brace and newline */

    if (!for_people)
        out = put(out, end, "{\"time\":\"");
    out = put_time(out, end, for_people, unix_ms);
    out = put(out, end, for_people ? " " : "\",\"level\":\"");
    out = put(out, end, level_names[level]);
    out = put(out, end, for_people ? " " : "\",\"msg\":\"");
    out = log_escape(out, end, str_of(msg));
    out = put(out, end + 1, for_people ? "" : "\"");

    for (int i = 0; i < count; i++) {
        const struct log_field *field = &fields[i];
        if ((size_t)(end - out) < strlen(field->key) + 32 || out >= end)
            break; /* a field that has no room is left out whole */
        out = put(out, end, for_people ? " " : ",\"");
        out = put(out, end, field->key);
        out = put(out, end, for_people ? "=" : "\":");
        bool quoted = field->kind == LOG_FIELD_STR && !(for_people && is_plain_word(field->str));
        out = put_value(out, end, field, quoted);
    }
    if (!for_people)
        *out++ = '}';
    *out++ = '\n';
    return (size_t)(out - line);
}

static bool is_for_people(void)
{
    static _Atomic int known = -1;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer < 0) {
        answer = isatty(STDERR_FILENO) ? 1 : 0;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 1;
}

/* A reader that has stalled must not stall the gateway: what does not fit is dropped and counted,
 * and the count is told when lines are taken again. */
static void write_line(const char *line, size_t len, int64_t unix_ms)
{
    static _Atomic int64_t dropped;
    int64_t missing = atomic_exchange_explicit(&dropped, 0, memory_order_relaxed);
    if (missing > 0) {
        char notice[256];
        const struct log_field field = LOG_INT("lines", missing);
        size_t notice_len = log_format(notice, sizeof(notice), is_for_people(), unix_ms, LOG_WARN,
                                       "log lines dropped, nobody read them", &field, 1);
        if (fd_write_now(STDERR_FILENO, notice, notice_len) < 0) {
            atomic_fetch_add_explicit(&dropped, missing + 1, memory_order_relaxed);
            return;
        }
    }
    if (fd_write_now(STDERR_FILENO, line, len) < 0)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields, int count)
{
    char line[MAX_LINE_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t unix_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    size_t len =
        log_format(line, sizeof(line), is_for_people(), unix_ms, level, msg, fields, count);
    write_line(line, len, unix_ms);
}
