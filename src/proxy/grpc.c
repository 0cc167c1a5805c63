#include "proxy/grpc.h"

#include "proxy/writer.h"

#define CONTENT_TYPE "application/grpc"
#define MAX_TIMEOUT_DIGITS 8
#define NS_PER_MS 1000000u

bool grpc_has_type(const struct http_head *head)
{
    const struct http_field *field = http_head_find(head, HEADER_CONTENT_TYPE);
    struct str type = field ? http_field_value(head, field) : STR_EMPTY;
    return type.len >= sizeof(CONTENT_TYPE) - 1 &&
           str_equal_nocase(str_make(type.ptr, sizeof(CONTENT_TYPE) - 1), STR(CONTENT_TYPE));
}

bool grpc_is_request(const struct http_head *head)
{
    if (!head->is_http2 || !grpc_has_type(head))
        return false;
    struct str type = http_field_value(head, http_head_find(head, HEADER_CONTENT_TYPE));
    char next = type.len > sizeof(CONTENT_TYPE) - 1 ? type.ptr[sizeof(CONTENT_TYPE) - 1] : ';';
    return next == ';' || next == '+' || next == ' ';
}

static struct str find(const struct http_head *head, struct str name)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->name_len == name.len && str_equal_nocase(http_field_name(head, field), name))
            return http_field_value(head, field);
    }
    return STR_EMPTY;
}

/* Nanoseconds; 0: no unit. */
static uint64_t unit_ns(char unit)
{
    switch (unit) {
    case 'H':
        return 3600000000000u;
    case 'M':
        return 60000000000u;
    case 'S':
        return 1000000000u;
    case 'm':
        return 1000000u;
    case 'u':
        return 1000u;
    case 'n':
        return 1u;
    default:
        return 0;
    }
}

bool grpc_read_timeout(const struct http_head *head, uint32_t *ret_ms)
{
    struct str value = find(head, STR("grpc-timeout"));
    uint64_t count;
    if (value.len < 2 || value.len > MAX_TIMEOUT_DIGITS + 1)
        return false;
    uint64_t unit = unit_ns(value.ptr[value.len - 1]);
    if (unit == 0 || !str_to_u64(str_make(value.ptr, value.len - 1), &count))
        return false;
    uint64_t ms =
        unit >= NS_PER_MS ? count * (unit / NS_PER_MS) : (count * unit + NS_PER_MS - 1) / NS_PER_MS;
    *ret_ms = ms < 1 ? 1 : ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    return true;
}

enum grpc_status grpc_status_of_http(uint16_t status)
{
    switch (status) {
    case 400:
    case 500:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
    case 405:
    case 501:
        return GRPC_UNIMPLEMENTED;
    case 408:
    case 504:
        return GRPC_DEADLINE_EXCEEDED;
    case 413:
    case 414:
    case 429:
    case 431:
        return GRPC_RESOURCE_EXHAUSTED;
    case 502:
    case 503:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

void grpc_write_status(struct writer *out, enum grpc_status status, struct str message)
{
    static const char digits[] = "0123456789ABCDEF";
    WRITER_LITERAL(out, "grpc-status: ");
    writer_number(out, status);
    WRITER_LITERAL(out, "\r\ngrpc-message: ");
    for (size_t i = 0; i < message.len; i++) {
        unsigned char c = (unsigned char)message.ptr[i];
        if (c >= ' ' && c < 0x7f && c != '%') {
            writer_char(out, (char)c);
            continue;
        }
        writer_char(out, '%');
        writer_char(out, digits[c >> 4]);
        writer_char(out, digits[c & 15]);
    }
    WRITER_LITERAL(out, "\r\n");
}

static enum grpc_status parse_status(struct str value)
{
    uint64_t status;
    return str_to_u64(str_trim(value), &status) && status < GRPC_NO_STATUS
               ? (enum grpc_status)status
               : GRPC_NO_STATUS;
}

enum grpc_status grpc_find_status(const struct http_head *head)
{
    return parse_status(find(head, STR("grpc-status")));
}

enum grpc_status grpc_find_status_in(struct str trailers)
{
    while (trailers.len > 0) {
        struct str line = str_cut(&trailers, '\n');
        struct str value = str_cut(&line, '\r');
        struct str name = str_cut(&value, ':');
        if (str_equal_nocase(name, STR("grpc-status")))
            return parse_status(value);
    }
    return GRPC_NO_STATUS;
}
