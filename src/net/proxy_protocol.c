#include "net/proxy_protocol.h"

#include <netinet/in.h>
#include <string.h>

#include "base/str.h"
#include "net/ip.h"

#define V1_MAX_BYTES 107 /* with its CR LF */
#define V2_FIXED_BYTES 16

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Whether `bytes` go on as `expected` begins, as far as they reach. */
static bool may_become(const char *bytes, size_t len, const char *expected, size_t expected_len)
{
    return memcmp(bytes, expected, len < expected_len ? len : expected_len) == 0;
}

/* --- version 1 --- */

static bool read_port(struct str text, uint16_t *ret)
{
    uint64_t port;
    bool has_zeros = text.len > 1 && text.ptr[0] == '0';
    if (has_zeros || text.len > 5 || !str_to_u64(text, &port) || port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    return true;
}

/* "TCP4 <source> <destination> <port> <port>": one space between them, addresses of that family. */
static bool read_v1_addresses(struct str line, struct sockaddr_storage *ret_client)
{
    struct str family = str_cut(&line, ' ');
    struct str source = str_cut(&line, ' ');
    struct str destination = str_cut(&line, ' ');
    struct str source_port = str_cut(&line, ' ');
    struct sockaddr_storage client, server;
    uint16_t port, ignored;
    int wanted = str_equal(family, STR("TCP4"))   ? AF_INET
                 : str_equal(family, STR("TCP6")) ? AF_INET6
                                                  : AF_UNSPEC;
    if (wanted == AF_UNSPEC || !line.ptr || !read_port(source_port, &port) ||
        !read_port(line, &ignored) || memchr(source.ptr, '[', source.len) ||
        !ip_parse(source, port, &client) || !ip_parse(destination, 0, &server) ||
        client.ss_family != wanted || server.ss_family != wanted)
        return false;
    *ret_client = client;
    return true;
}

static enum proxy_protocol_result read_v1(const char *bytes, size_t len, struct proxy_protocol *ret)
{
    size_t seen = len < V1_MAX_BYTES ? len : V1_MAX_BYTES;
    const char *end = memchr(bytes, '\n', seen);
    if (!end)
        return len < V1_MAX_BYTES ? PROXY_PROTOCOL_MORE : PROXY_PROTOCOL_REFUSED;
    if (end[-1] != '\r')
        return PROXY_PROTOCOL_REFUSED;

    struct str line = str_make(bytes + 6, (size_t)(end - 1 - (bytes + 6)));
    struct str rest = line;
    *ret = (struct proxy_protocol){.len = (size_t)(end + 1 - bytes)};
    if (str_equal(str_cut(&rest, ' '), STR("UNKNOWN")))
        return PROXY_PROTOCOL_DONE;
    ret->has_client = read_v1_addresses(line, &ret->client);
    return ret->has_client ? PROXY_PROTOCOL_DONE : PROXY_PROTOCOL_REFUSED;
}

/* --- version 2 --- */

static bool take_v4(const uint8_t *addresses, size_t len, struct sockaddr_storage *ret)
{
    struct sockaddr_in *client = (struct sockaddr_in *)(void *)ret;
    if (len < 12)
        return false;
    *ret = (struct sockaddr_storage){.ss_family = AF_INET};
    memcpy(&client->sin_addr, addresses, 4);
    memcpy(&client->sin_port, addresses + 8, 2);
    return true;
}

static bool take_v6(const uint8_t *addresses, size_t len, struct sockaddr_storage *ret)
{
    struct sockaddr_in6 *client = (struct sockaddr_in6 *)(void *)ret;
    if (len < 36)
        return false;
    *ret = (struct sockaddr_storage){.ss_family = AF_INET6};
    memcpy(&client->sin6_addr, addresses, 16);
    memcpy(&client->sin6_port, addresses + 32, 2);
    return true;
}

static enum proxy_protocol_result read_v2(const uint8_t *bytes, size_t len,
                                          struct proxy_protocol *ret)
{
    if (len < V2_FIXED_BYTES)
        return PROXY_PROTOCOL_MORE;
    unsigned version = bytes[12] >> 4, command = bytes[12] & 15, family = bytes[13] >> 4;
    size_t rest = (size_t)bytes[14] << 8 | bytes[15];
    if (version != 2 || command > 1 || family > 3 || (bytes[13] & 15) > 2 ||
        rest > PROXY_PROTOCOL_MAX_BYTES - V2_FIXED_BYTES)
        return PROXY_PROTOCOL_REFUSED;
    if (len < V2_FIXED_BYTES + rest)
        return PROXY_PROTOCOL_MORE;

    *ret = (struct proxy_protocol){.len = V2_FIXED_BYTES + rest};
    bool is_local = command == 0;
    bool is_stream = (bytes[13] & 15) == 1;
    if (is_local || !is_stream || (family != 1 && family != 2)) /* said, but not for us */
        return PROXY_PROTOCOL_DONE;
    const uint8_t *addresses = bytes + V2_FIXED_BYTES;
    ret->has_client = family == 1 ? take_v4(addresses, rest, &ret->client)
                                  : take_v6(addresses, rest, &ret->client);
    return ret->has_client ? PROXY_PROTOCOL_DONE : PROXY_PROTOCOL_REFUSED;
}

enum proxy_protocol_result proxy_protocol_read(const char *bytes, size_t len,
                                               struct proxy_protocol *ret)
{
    if (len == 0)
        return PROXY_PROTOCOL_MORE;
    if (may_become(bytes, len, "PROXY ", 6))
        return len <= 6 ? PROXY_PROTOCOL_MORE : read_v1(bytes, len, ret);
    if (may_become(bytes, len, v2_signature, sizeof(v2_signature)))
        return read_v2((const uint8_t *)bytes, len, ret);
    return PROXY_PROTOCOL_REFUSED;
}
