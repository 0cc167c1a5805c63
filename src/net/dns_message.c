#include "net/dns_message.h"

#include <string.h>

#include <uv.h> /* error codes only */

/* RFC 1035, section 4; RFC 2782 for SRV, RFC 6891 for OPT. */
#define HEADER_BYTES 12
#define QUESTION_BYTES 4 /* behind the name: type and class */
#define RECORD_BYTES 10  /* behind the name: type, class, TTL, length */
#define SRV_BYTES 6      /* before the target */
#define TYPE_CNAME 5
#define TYPE_SRV 33
#define TYPE_OPT 41
#define CLASS_IN 1
#define NAME_MAX_BYTES 255
#define ALIASES_MAX 8
#define TTL_MAX_S 0x7fffffffu /* beyond: counts as 0 (RFC 2181, section 8) */

struct message {
    const uint8_t *bytes;
    size_t len;
};

struct name {
    char text[NAME_MAX_BYTES + 1]; /* labels with dots between them, lower case, terminated */
    size_t len;
    bool is_host; /* of letters, digits, '-', '_' alone: fit for a host, and for a log */
};

struct record {
    struct name owner;
    uint16_t type, class;
    uint32_t ttl_s;
    size_t data, data_len;
};

static uint16_t read_u16(const struct message *message, size_t at)
{
    return (uint16_t)(message->bytes[at] << 8 | message->bytes[at + 1]);
}

static bool is_host_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool add_label(struct name *name, const uint8_t *label, size_t len)
{
    if (name->len + (name->len > 0) + len > NAME_MAX_BYTES - 1)
        return false;
    if (name->len > 0)
        name->text[name->len++] = '.';
    for (size_t i = 0; i < len; i++) {
        name->text[name->len++] = str_lower_char((char)label[i]);
        name->is_host &= is_host_byte(label[i]);
    }
    return true;
}

/* The name at *at, which moves behind it. Each pointer must lead further back than the one before:
 * then there is no circle. */
static bool read_name(const struct message *message, size_t *at, struct name *name)
{
    size_t pos = *at, before = *at;
    bool has_jumped = false;
    name->len = 0;
    name->is_host = true;
    for (;;) {
        if (pos >= message->len)
            return false;
        uint8_t len = message->bytes[pos];
        if ((len & 0xc0) == 0xc0) {
            if (pos + 2 > message->len)
                return false;
            size_t to = read_u16(message, pos) & 0x3fffu;
            if (!has_jumped)
                *at = pos + 2;
            has_jumped = true;
            if (to >= before || to < HEADER_BYTES)
                return false;
            pos = before = to;
            continue;
        }
        if (len & 0xc0 || pos + 1 + len > message->len)
            return false;
        pos++;
        if (len == 0)
            break;
        if (!add_label(name, message->bytes + pos, len))
            return false;
        pos += len;
    }
    if (!has_jumped)
        *at = pos;
    name->text[name->len] = '\0';
    return true;
}

static bool read_record(const struct message *message, size_t *at, struct record *record)
{
    if (!read_name(message, at, &record->owner) || message->len - *at < RECORD_BYTES)
        return false;
    record->type = read_u16(message, *at);
    record->class = read_u16(message, *at + 2);
    record->ttl_s =
        (uint32_t)read_u16(message, *at + 4) << 16 | (uint32_t)read_u16(message, *at + 6);
    if (record->ttl_s > TTL_MAX_S)
        record->ttl_s = 0;
    record->data_len = read_u16(message, *at + 8);
    *at += RECORD_BYTES;
    record->data = *at;
    if (message->len - *at < record->data_len)
        return false;
    *at += record->data_len;
    return true;
}

static bool is_same_name(const struct name *a, const struct name *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void note_ttl(struct dns_services *out, bool *has_ttl, uint32_t ttl_s)
{
    if (!*has_ttl || ttl_s < out->ttl_s)
        out->ttl_s = ttl_s;
    *has_ttl = true;
}

/* One look through the answers for an alias of *name: replaces it. 1: found, 0: none. */
static int follow_alias(const struct message *message, size_t at, unsigned answers,
                        struct name *name, struct dns_services *out, bool *has_ttl)
{
    struct record record;
    for (unsigned i = 0; i < answers; i++) {
        if (!read_record(message, &at, &record))
            return UV_EPROTO;
        if (record.type != TYPE_CNAME || record.class != CLASS_IN ||
            !is_same_name(&record.owner, name))
            continue;
        size_t data = record.data;
        if (!read_name(message, &data, name) || data != record.data + record.data_len)
            return UV_EPROTO;
        note_ttl(out, has_ttl, record.ttl_s);
        return 1;
    }
    return 0;
}

static void note_skipped(struct dns_services *out, unsigned place)
{
    if (out->skipped_count < DNS_MESSAGE_SKIPPED_MAX)
        out->skipped_at[out->skipped_count] = place;
    out->skipped_count++;
}

static int add_service(const struct message *message, const struct record *record, unsigned place,
                       struct arena *arena, struct dns_services *out)
{
    struct name target;
    size_t data = record->data + SRV_BYTES;
    if (record->data_len <= SRV_BYTES || !read_name(message, &data, &target) ||
        data != record->data + record->data_len)
        return UV_EPROTO;
    if (!target.is_host || out->count == DNS_MESSAGE_MAX_SERVICES) {
        note_skipped(out, place);
        return 0;
    }
    struct str host = arena_copy(arena, str_make(target.text, target.len));
    if (!host.ptr)
        return UV_ENOMEM;
    out->items[out->count++] = (struct dns_service){
        .host = host.ptr,
        .priority = read_u16(message, record->data),
        .weight = read_u16(message, record->data + 2),
        .port = read_u16(message, record->data + 4),
    };
    return 0;
}

static int collect(const struct message *message, size_t *at, unsigned answers,
                   const struct name *name, struct arena *arena, struct dns_services *out,
                   bool *has_ttl)
{
    struct record record;
    for (unsigned i = 0; i < answers; i++) {
        if (!read_record(message, at, &record))
            return UV_EPROTO;
        if (record.type != TYPE_SRV || record.class != CLASS_IN ||
            !is_same_name(&record.owner, name))
            continue;
        int rc = add_service(message, &record, i + 1, arena, out);
        if (rc)
            return rc;
        note_ttl(out, has_ttl, record.ttl_s);
    }
    return 0;
}

/* The other sections matter for one thing only, and may be cut or odd. */
static bool has_edns(const struct message *message, size_t at, unsigned records)
{
    struct record record;
    for (unsigned i = 0; i < records && read_record(message, &at, &record); i++)
        if (record.type == TYPE_OPT)
            return true;
    return false;
}

int dns_message_read_services(const uint8_t *bytes, size_t len, struct arena *arena,
                              struct dns_services *ret)
{
    const struct message message = {bytes, len};
    struct dns_services out = {0};
    struct name name;
    size_t at = HEADER_BYTES;
    bool has_ttl = false;
    if (len < HEADER_BYTES || read_u16(&message, 4) != 1 || !read_name(&message, &at, &name) ||
        len - at < QUESTION_BYTES)
        return UV_EPROTO;
    at += QUESTION_BYTES;
    unsigned answers = read_u16(&message, 6);
    unsigned others = read_u16(&message, 8) + read_u16(&message, 10);

    int aliases = 0, rc;
    while ((rc = follow_alias(&message, at, answers, &name, &out, &has_ttl)) == 1)
        if (++aliases > ALIASES_MAX)
            return UV_ELOOP;
    if (rc)
        return rc;
    /* A record takes at least a byte of name and what is behind it. */
    size_t most = (len - at) / (1 + RECORD_BYTES);
    if (most > answers)
        most = answers;
    if (most > DNS_MESSAGE_MAX_SERVICES)
        most = DNS_MESSAGE_MAX_SERVICES;
    out.items = arena_alloc(arena, (most + 1) * sizeof(*out.items));
    if (!out.items)
        return UV_ENOMEM;
    if ((rc = collect(&message, &at, answers, &name, arena, &out, &has_ttl)))
        return rc;
    out.has_edns = has_edns(&message, at, others);
    *ret = out;
    return 0;
}
