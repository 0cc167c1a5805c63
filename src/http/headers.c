#include "http/headers.h"

#include <stdint.h>
#include <string.h>

static const struct str names[HEADER_COUNT] = {
    [HEADER_ACCEPT] = STR("accept"),
    [HEADER_CONNECTION] = STR("connection"),
    [HEADER_CONTENT_LENGTH] = STR("content-length"),
    [HEADER_CONTENT_TYPE] = STR("content-type"),
    [HEADER_DATE] = STR("date"),
    [HEADER_EXPECT] = STR("expect"),
    [HEADER_FORWARDED] = STR("forwarded"),
    [HEADER_HOST] = STR("host"),
    [HEADER_KEEP_ALIVE] = STR("keep-alive"),
    [HEADER_MAX_FORWARDS] = STR("max-forwards"),
    [HEADER_PROXY] = STR("proxy"),
    [HEADER_PROXY_AUTHENTICATE] = STR("proxy-authenticate"),
    [HEADER_PROXY_AUTHORIZATION] = STR("proxy-authorization"),
    [HEADER_PROXY_CONNECTION] = STR("proxy-connection"),
    [HEADER_SERVER] = STR("server"),
    [HEADER_TE] = STR("te"),
    [HEADER_TRACEPARENT] = STR("traceparent"),
    [HEADER_TRACESTATE] = STR("tracestate"),
    [HEADER_TRAILER] = STR("trailer"),
    [HEADER_TRANSFER_ENCODING] = STR("transfer-encoding"),
    [HEADER_UPGRADE] = STR("upgrade"),
    [HEADER_VIA] = STR("via"),
    [HEADER_X_FORWARDED_FOR] = STR("x-forwarded-for"),
    [HEADER_X_FORWARDED_HOST] = STR("x-forwarded-host"),
    [HEADER_X_FORWARDED_PATH] = STR("x-forwarded-path"),
    [HEADER_X_FORWARDED_PORT] = STR("x-forwarded-port"),
    [HEADER_X_FORWARDED_PREFIX] = STR("x-forwarded-prefix"),
    [HEADER_X_FORWARDED_PROTO] = STR("x-forwarded-proto"),
    [HEADER_X_KONG_REQUEST_ID] = STR("x-kong-request-id"),
    [HEADER_X_REAL_IP] = STR("x-real-ip"),
};

/* The one known name that `name` can be, told by its length and one or two of its bytes. */
static enum header_id guess(struct str name)
{
    char first = (char)(name.ptr[0] | 0x20);
    char last = (char)(name.ptr[name.len - 1] | 0x20);

    switch (name.len) {
    case 2:
        return HEADER_TE;
    case 3:
        return HEADER_VIA;
    case 4:
        return first == 'h' ? HEADER_HOST : HEADER_DATE;
    case 5:
        return HEADER_PROXY;
    case 6:
        return first == 'a' ? HEADER_ACCEPT : first == 'e' ? HEADER_EXPECT : HEADER_SERVER;
    case 7:
        return first == 't' ? HEADER_TRAILER : HEADER_UPGRADE;
    case 9:
        return first == 'x' ? HEADER_X_REAL_IP : HEADER_FORWARDED;
    case 10:
        return first == 'c'   ? HEADER_CONNECTION
               : first == 't' ? HEADER_TRACESTATE
                              : HEADER_KEEP_ALIVE;
    case 11:
        return HEADER_TRACEPARENT;
    case 12:
        return first == 'c' ? HEADER_CONTENT_TYPE : HEADER_MAX_FORWARDS;
    case 14:
        return HEADER_CONTENT_LENGTH;
    case 15:
        return HEADER_X_FORWARDED_FOR;
    case 16:
        if (first == 'p')
            return HEADER_PROXY_CONNECTION;
        if (last == 'h')
            return HEADER_X_FORWARDED_PATH;
        return (name.ptr[13] | 0x20) == 'o' && (name.ptr[12] | 0x20) == 'h'
                   ? HEADER_X_FORWARDED_HOST
                   : HEADER_X_FORWARDED_PORT;
    case 17:
        if (first == 't')
            return HEADER_TRANSFER_ENCODING;
        return last == 'o' ? HEADER_X_FORWARDED_PROTO : HEADER_X_KONG_REQUEST_ID;
    case 18:
        return first == 'p' ? HEADER_PROXY_AUTHENTICATE : HEADER_X_FORWARDED_PREFIX;
    case 19:
        return HEADER_PROXY_AUTHORIZATION;
    default:
        return HEADER_OTHER;
    }
}

static uint64_t load_lower(const char *at)
{
    uint64_t bytes;
    memcpy(&bytes, at, sizeof(bytes));
    return bytes | 0x2020202020202020u;
}

/* Setting bit 5 folds letters, and leaves digits and '-' as they are; of the bytes that a name may
 * hold no other one is folded into those. `known` has nothing else. */
static bool is_same(const char *name, const char *known, size_t len)
{
    size_t at = 0;
    if (len >= 8) {
        for (; at + 8 <= len; at += 8)
            if (load_lower(name + at) != load_lower(known + at))
                return false;
        return load_lower(name + len - 8) == load_lower(known + len - 8);
    }
    for (; at < len; at++)
        if ((name[at] | 0x20) != known[at])
            return false;
    return true;
}

enum header_id header_recognise(struct str name)
{
    if (name.len < 2)
        return HEADER_OTHER;
    enum header_id id = guess(name);
    if (id == HEADER_OTHER || !is_same(name.ptr, names[id].ptr, name.len))
        return HEADER_OTHER;
    return id;
}

static char fold(char c)
{
    return str_lower_char(c == '_' ? '-' : c);
}

bool header_is_like(struct str name, struct str known)
{
    if (name.len != known.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (fold(name.ptr[i]) != fold(known.ptr[i]))
            return false;
    return true;
}

bool header_tells_consumer(struct str name)
{
    static const struct str prefixes[] = {STR_INIT("x-consumer-"), STR_INIT("x-credential-")};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (name.len >= prefixes[i].len &&
            header_is_like(str_make(name.ptr, prefixes[i].len), prefixes[i]))
            return true;
    return header_is_like(name, STR("x-anonymous-consumer"));
}
