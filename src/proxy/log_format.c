#include "proxy/log_format.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "proxy/access_log.h"
#include "proxy/writer.h"

#define MAX_ITEMS 128
#define MAX_BYTES 8192

static const char json_format[] =
    "{\"time\":\"$time_iso8601\",\"client\":\"$remote_addr\",\"scheme\":\"$scheme\","
    "\"host\":\"$http_host\",\"method\":\"$request_method\",\"uri\":\"$request_uri\","
    "\"protocol\":\"$server_protocol\",\"status\":$status,\"bytes_received\":$request_length,"
    "\"bytes_sent\":$body_bytes_sent,\"duration\":$request_time,\"service\":\"$service\","
    "\"route\":\"$route\",\"upstream\":\"$upstream\",\"target\":\"$upstream_addr\","
    "\"upstream_duration\":\"$upstream_response_time\",\"tries\":$tries,"
    "\"referer\":\"$http_referer\",\"user_agent\":\"$http_user_agent\","
    "\"request_id\":\"$request_id\"}";

enum variable {
    VARIABLE_NONE = 0, /* literal text */
    VARIABLE_REMOTE_ADDR,
    VARIABLE_TIME_LOCAL,
    VARIABLE_TIME_ISO8601,
    VARIABLE_REQUEST,
    VARIABLE_METHOD,
    VARIABLE_URI,
    VARIABLE_PROTOCOL,
    VARIABLE_SCHEME,
    VARIABLE_STATUS,
    VARIABLE_BODY_BYTES_SENT,
    VARIABLE_REQUEST_LENGTH,
    VARIABLE_REQUEST_TIME,
    VARIABLE_REQUEST_ID,
    VARIABLE_SERVICE,
    VARIABLE_ROUTE,
    VARIABLE_UPSTREAM,
    VARIABLE_UPSTREAM_ADDR,
    VARIABLE_UPSTREAM_TIME,
    VARIABLE_TRIES,
    VARIABLE_SERVER_NAME,
    VARIABLE_HTTP, /* a field of the request */
};

static const struct {
    const char *name;
    enum variable variable;
} names[] = {
    {"remote_addr", VARIABLE_REMOTE_ADDR},
    {"time_local", VARIABLE_TIME_LOCAL},
    {"time_iso8601", VARIABLE_TIME_ISO8601},
    {"request", VARIABLE_REQUEST},
    {"request_method", VARIABLE_METHOD},
    {"request_uri", VARIABLE_URI},
    {"server_protocol", VARIABLE_PROTOCOL},
    {"scheme", VARIABLE_SCHEME},
    {"status", VARIABLE_STATUS},
    {"body_bytes_sent", VARIABLE_BODY_BYTES_SENT},
    {"request_length", VARIABLE_REQUEST_LENGTH},
    {"request_time", VARIABLE_REQUEST_TIME},
    {"request_id", VARIABLE_REQUEST_ID},
    {"kong_request_id", VARIABLE_REQUEST_ID},
    {"service", VARIABLE_SERVICE},
    {"route", VARIABLE_ROUTE},
    {"upstream", VARIABLE_UPSTREAM},
    {"upstream_addr", VARIABLE_UPSTREAM_ADDR},
    {"upstream_response_time", VARIABLE_UPSTREAM_TIME},
    {"tries", VARIABLE_TRIES},
    /* nginx's names of the same for streams. */
    {"protocol", VARIABLE_PROTOCOL},
    {"bytes_sent", VARIABLE_BODY_BYTES_SENT},
    {"bytes_received", VARIABLE_REQUEST_LENGTH},
    {"session_time", VARIABLE_REQUEST_TIME},
    {"ssl_server_name", VARIABLE_SERVER_NAME},
    {"ssl_preread_server_name", VARIABLE_SERVER_NAME},
};

struct item {
    enum variable variable;
    struct str text; /* literal, or a field's name with '-' for '_' */
};

struct log_format {
    char *text; /* owned: what the items point into */
    bool is_json;
    unsigned count;
    struct item items[MAX_ITEMS];
};

/* --- compiling --- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static int add_variable(struct log_format *format, char *name, size_t len, const char *source,
                        struct error *err)
{
    struct item *item = &format->items[format->count++];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!str_equal(str_make(name, len), str_of(names[i].name)))
            continue;
        *item = (struct item){.variable = names[i].variable};
        return 0;
    }
    if (len > 5 && strncmp(name, "http_", 5) == 0) {
        for (size_t i = 5; i < len; i++)
            if (name[i] == '_')
                name[i] = '-';
        *item = (struct item){VARIABLE_HTTP, str_make(name + 5, len - 5)};
        return 0;
    }
    error_set(err, source, "has no variable $%.*s; docs/operations.md lists them", (int)len, name);
    return UV_EINVAL;
}

static int compile(struct log_format *format, const char *source, struct error *err)
{
    char *at = format->text;
    while (*at) {
        size_t len = strcspn(at, "$");
        if (format->count + 2 > MAX_ITEMS) {
            error_set(err, source, "has more than %d parts", MAX_ITEMS - 1);
            return UV_EINVAL;
        }
        if (len > 0)
            format->items[format->count++] = (struct item){VARIABLE_NONE, str_make(at, len)};
        at += len;
        if (!*at)
            break;
        char *name = at + 1;
        bool has_braces = *name == '{';
        name += has_braces;
        for (len = 0; is_name_char(name[len]);)
            len++;
        if (len == 0 || (has_braces && name[len] != '}')) {
            error_set(err, source, "has a $ that no variable's name follows");
            return UV_EINVAL;
        }
        int rc = add_variable(format, name, len, source, err);
        if (rc)
            return rc;
        at = name + len + has_braces;
    }
    return 0;
}

int log_format_create(const char *text, const char *source, struct log_format **ret,
                      struct error *err)
{
    *ret = NULL;
    if (strcmp(text, "combined") == 0)
        return 0;
    if (strcmp(text, "json") == 0)
        text = json_format;
    if (!strchr(text, '$') || strlen(text) > MAX_BYTES) {
        error_set(err, source, "must be combined, json, or text with $variables");
        return UV_EINVAL;
    }
    struct log_format *format = calloc(1, sizeof(*format));
    if (!format || !(format->text = strdup(text))) {
        free(format);
        return UV_ENOMEM;
    }
    format->is_json = text[0] == '{';
    int rc = compile(format, source, err);
    if (rc)
        log_format_destroy(format);
    else
        *ret = format;
    return rc;
}

void log_format_destroy(struct log_format *format)
{
    if (!format)
        return;
    free(format->text);
    free(format);
}

/* --- writing --- */

/* \xHH as nginx, or \u00HH: bytes beyond ASCII are taken for Latin-1, so that any line is JSON. */
static void put_escaped(struct writer *out, struct str text, bool is_json)
{
    static const char digits[] = "0123456789ABCDEF";
    if (text.len > ACCESS_LOG_MAX_TEXT)
        text.len = ACCESS_LOG_MAX_TEXT;
    if (text.len == 0 && !is_json)
        writer_char(out, '-');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            writer_char(out, (char)c);
            continue;
        }
        if (is_json)
            WRITER_LITERAL(out, "\\u00");
        else
            WRITER_LITERAL(out, "\\x");
        writer_char(out, digits[c >> 4]);
        writer_char(out, digits[c & 15]);
    }
}

static struct str field_of(const struct access_line *line, struct str name)
{
    for (unsigned i = 0; line->head && i < line->head->field_count; i++) {
        const struct http_field *field = &line->head->fields[i];
        if (str_equal_nocase(http_field_name(line->head, field), name))
            return http_field_value(line->head, field);
    }
    return STR_EMPTY;
}

static struct str text_of(const struct item *item, const struct access_line *line)
{
    const struct http_head *head = line->head;
    switch (item->variable) {
    case VARIABLE_REMOTE_ADDR:
        return line->peer;
    case VARIABLE_TIME_LOCAL:
        return line->time;
    case VARIABLE_TIME_ISO8601:
        return line->iso_time;
    case VARIABLE_REQUEST:
        return line->request;
    case VARIABLE_METHOD:
        return head ? http_span_str(head, head->method_text) : STR_EMPTY;
    case VARIABLE_URI:
        return head ? http_span_str(head, head->target) : STR_EMPTY;
    case VARIABLE_PROTOCOL:
        if (!head)
            return line->scheme.len ? STR("TCP") : STR_EMPTY;
        return head->is_http2        ? STR("HTTP/2.0")
               : head->minor_version ? STR("HTTP/1.1")
                                     : STR("HTTP/1.0");
    case VARIABLE_SERVER_NAME:
        return line->server_name;
    case VARIABLE_SCHEME:
        if (line->scheme.len > 0)
            return line->scheme;
        return line->is_tls ? STR("https") : STR("http");
    case VARIABLE_REQUEST_ID:
        return line->request_id;
    case VARIABLE_SERVICE:
        return line->service;
    case VARIABLE_ROUTE:
        return line->route;
    case VARIABLE_UPSTREAM:
        return line->upstream;
    case VARIABLE_UPSTREAM_ADDR:
        return line->target;
    case VARIABLE_HTTP:
        return field_of(line, item->text);
    default:
        return STR_EMPTY;
    }
}

static void put_item(struct writer *out, const struct item *item, const struct access_line *line,
                     bool is_json)
{
    switch (item->variable) {
    case VARIABLE_NONE:
        writer_str(out, item->text);
        break;
    case VARIABLE_STATUS:
        writer_number(out, line->status);
        break;
    case VARIABLE_BODY_BYTES_SENT:
        writer_number(out, line->body_bytes);
        break;
    case VARIABLE_REQUEST_LENGTH:
        writer_number(out, line->received_bytes);
        break;
    case VARIABLE_REQUEST_TIME:
        writer_seconds(out, line->request_ms);
        break;
    case VARIABLE_UPSTREAM_TIME:
        if (line->upstream_ms != ACCESS_LOG_NO_TIME)
            writer_seconds(out, line->upstream_ms);
        else if (!is_json)
            writer_char(out, '-');
        break;
    case VARIABLE_TRIES:
        writer_number(out, line->tries);
        break;
    default:
        put_escaped(out, text_of(item, line), is_json);
    }
}

size_t log_format_write(const struct log_format *format, const struct access_line *line, char *out,
                        size_t size)
{
    struct writer writer = writer_on(out, size);
    for (unsigned i = 0; i < format->count; i++)
        put_item(&writer, &format->items[i], line, format->is_json);
    writer_char(&writer, '\n');
    return writer.has_overflowed ? 0 : (size_t)(writer.at - out);
}
