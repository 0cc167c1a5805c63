#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "net/cidr.h"
#include "net/ip.h"

#define V1_MAX_BYTES 107 /* with its CR LF */
#define V2_FIXED_BYTES 16
#define V2_PROXY 0x21 /* version 2, on behalf of somebody */
#define V2_TCP4 0x11
#define V2_TCP6 0x21
#define V2_TYPE_AUTHORITY 2 /* the server name that the client asked for */

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
static bool read_v1_addresses(struct str line, union ip_address *ret_client)
{
    struct str family = str_cut(&line, ' ');
    struct str source = str_cut(&line, ' ');
    struct str destination = str_cut(&line, ' ');
    struct str source_port = str_cut(&line, ' ');
    union ip_address client, server;
    uint16_t port, ignored;
    int wanted = str_equal(family, STR("TCP4"))   ? AF_INET
                 : str_equal(family, STR("TCP6")) ? AF_INET6
                                                  : AF_UNSPEC;
    if (wanted == AF_UNSPEC || !line.ptr || !read_port(source_port, &port) ||
        !read_port(line, &ignored) || memchr(source.ptr, '[', source.len) ||
        !ip_parse(source, port, &client) || !ip_parse(destination, 0, &server) ||
        client.any.sa_family != wanted || server.any.sa_family != wanted)
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

static bool take_v4(const uint8_t *addresses, size_t len, union ip_address *ret)
{
    struct sockaddr_in *client = (struct sockaddr_in *)(void *)ret;
    if (len < 12)
        return false;
    *ret = (union ip_address){.v6.sin6_family = AF_INET};
    memcpy(&client->sin_addr, addresses, 4);
    memcpy(&client->sin_port, addresses + 8, 2);
    return true;
}

static bool take_v6(const uint8_t *addresses, size_t len, union ip_address *ret)
{
    struct sockaddr_in6 *client = (struct sockaddr_in6 *)(void *)ret;
    if (len < 36)
        return false;
    *ret = (union ip_address){.v6.sin6_family = AF_INET6};
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

/* --- writing --- */

/* Two addresses of one family, in network order. */
struct address_pair {
    struct cidr_address client, server;
    size_t skip; /* bytes of both that are not told: 12 for IPv4 */
    uint16_t client_port, server_port;
};

static struct address_pair pair_of(const union ip_address *client, const union ip_address *server)
{
    struct address_pair pair;
    cidr_take_address((const struct sockaddr *)client, &pair.client);
    cidr_take_address((const struct sockaddr *)server, &pair.server);
    pair.client_port = ip_port(client);
    pair.server_port = ip_port(server);
    pair.skip = cidr_is_v4(&pair.client) && cidr_is_v4(&pair.server) ? 12 : 0;
    return pair;
}

static size_t write_v1(const struct address_pair *pair, char *out)
{
    char client[INET6_ADDRSTRLEN], server[INET6_ADDRSTRLEN];
    int family = pair->skip ? AF_INET : AF_INET6;
    inet_ntop(family, pair->client.bytes + pair->skip, client, sizeof(client));
    inet_ntop(family, pair->server.bytes + pair->skip, server, sizeof(server));
    int len = snprintf(out, PROXY_PROTOCOL_WRITE_BYTES, "PROXY TCP%d %s %s %u %u\r\n",
                       pair->skip ? 4 : 6, client, server, pair->client_port, pair->server_port);
    return (size_t)len;
}

static void put_u16(uint8_t *out, size_t number)
{
    out[0] = (uint8_t)(number >> 8);
    out[1] = (uint8_t)number;
}

static size_t write_v2(const struct address_pair *pair, struct str server_name, uint8_t *out)
{
    size_t address_len = sizeof(pair->client.bytes) - pair->skip;
    uint8_t *at = out + V2_FIXED_BYTES;
    memcpy(at, pair->client.bytes + pair->skip, address_len);
    memcpy(at + address_len, pair->server.bytes + pair->skip, address_len);
    at += 2 * address_len;
    put_u16(at, pair->client_port);
    put_u16(at + 2, pair->server_port);
    at += 4;
    if (server_name.len > 0 && server_name.len <= UINT8_MAX) {
        *at++ = V2_TYPE_AUTHORITY;
        put_u16(at, server_name.len);
        memcpy(at + 2, server_name.ptr, server_name.len);
        at += 2 + server_name.len;
    }
    memcpy(out, v2_signature, sizeof(v2_signature));
    out[12] = V2_PROXY;
    out[13] = pair->skip ? V2_TCP4 : V2_TCP6;
    put_u16(out + 14, (size_t)(at - out) - V2_FIXED_BYTES);
    return (size_t)(at - out);
}

size_t proxy_protocol_write(enum proxy_protocol_version version, const union ip_address *client,
                            const union ip_address *server, struct str server_name,
                            char out[PROXY_PROTOCOL_WRITE_BYTES])
{
    if (version == PROXY_PROTOCOL_NONE)
        return 0;
    struct address_pair pair = pair_of(client, server);
    return version == PROXY_PROTOCOL_V1 ? write_v1(&pair, out)
                                        : write_v2(&pair, server_name, (uint8_t *)out);
}
