#include "net/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

bool ip_parse(struct str text, uint16_t port, union ip_address *ret)
{
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = str_make(text.ptr + 1, text.len - 2);

    char ip[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(ip) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(ip, text.ptr, text.len);
    ip[text.len] = '\0';

    union ip_address address = {.v6 = {0}};
    if (inet_pton(AF_INET, ip, &address.v4.sin_addr) == 1)
        address.any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, ip, &address.v6.sin6_addr) == 1)
        address.any.sa_family = AF_INET6;
    else
        return false;
    ip_set_port(&address, port);
    *ret = address;
    return true;
}

void ip_set_port(union ip_address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
    else
        address->v4.sin_port = htons(port);
}

uint16_t ip_port(const union ip_address *address)
{
    if (address->any.sa_family == AF_INET6)
        return ntohs(address->v6.sin6_port);
    return ntohs(address->v4.sin_port);
}

int ip_compare(const union ip_address *a, const union ip_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return a->any.sa_family == AF_INET6 ? 1 : b->any.sa_family == AF_INET6 ? -1 : 0;
    int order;
    if (a->any.sa_family == AF_INET6)
        order = memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(struct in6_addr));
    else
        order = memcmp(&a->v4.sin_addr, &b->v4.sin_addr, sizeof(struct in_addr));
    return order ? order : (int)ip_port(a) - (int)ip_port(b);
}

bool ip_is_routable(const union ip_address *address)
{
    union ip_address copy = *address;
    ip_set_port(&copy, 9); /* a datagram socket: connecting only looks the route up */
    int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    socklen_t len = address->any.sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                      : sizeof(struct sockaddr_in6);
    bool is_routable = connect(fd, &copy.any, len) == 0;
    close(fd);
    return is_routable;
}
