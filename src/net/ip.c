#include "net/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static struct sockaddr_in *as_v4(struct sockaddr_storage *address)
{
    return (struct sockaddr_in *)(void *)address;
}

static struct sockaddr_in6 *as_v6(struct sockaddr_storage *address)
{
    return (struct sockaddr_in6 *)(void *)address;
}

bool ip_parse(struct str text, uint16_t port, struct sockaddr_storage *ret)
{
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = str_make(text.ptr + 1, text.len - 2);

    char ip[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(ip) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(ip, text.ptr, text.len);
    ip[text.len] = '\0';

    struct sockaddr_storage address = {0};
    if (inet_pton(AF_INET, ip, &as_v4(&address)->sin_addr) == 1)
        address.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, ip, &as_v6(&address)->sin6_addr) == 1)
        address.ss_family = AF_INET6;
    else
        return false;
    ip_set_port(&address, port);
    *ret = address;
    return true;
}

void ip_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6)
        as_v6(address)->sin6_port = htons(port);
    else
        as_v4(address)->sin_port = htons(port);
}

uint16_t ip_port(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

int ip_compare(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return a->ss_family == AF_INET6 ? 1 : b->ss_family == AF_INET6 ? -1 : 0;
    int order;
    if (a->ss_family == AF_INET6)
        order = memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                       &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr,
                       sizeof(struct in6_addr));
    else
        order = memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr,
                       &((const struct sockaddr_in *)(const void *)b)->sin_addr,
                       sizeof(struct in_addr));
    return order ? order : (int)ip_port(a) - (int)ip_port(b);
}

bool ip_is_routable(const struct sockaddr_storage *address)
{
    struct sockaddr_storage copy = *address;
    ip_set_port(&copy, 9); /* a datagram socket: connecting only looks the route up */
    int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    socklen_t len =
        address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    bool is_routable = connect(fd, (const struct sockaddr *)&copy, len) == 0;
    close(fd);
    return is_routable;
}
