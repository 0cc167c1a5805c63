#include "model/target_state.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

static uint16_t port_of(const struct sockaddr *address)
{
    return ntohs(address->sa_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)(const void *)address)->sin6_port
                     : ((const struct sockaddr_in *)(const void *)address)->sin_port);
}

static void write_name(const struct sockaddr *address, char *name, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET6) {
        uv_ip6_name((const struct sockaddr_in6 *)(const void *)address, ip, sizeof(ip));
        snprintf(name, size, "[%s]:%u", ip, port_of(address));
    } else {
        uv_ip4_name((const struct sockaddr_in *)(const void *)address, ip, sizeof(ip));
        snprintf(name, size, "%s:%u", ip, port_of(address));
    }
}

static char *append(char **at, struct str s)
{
    char *copy = *at;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    *at += s.len + 1;
    return copy;
}

int target_state_create(const struct target_identity *identity, uint32_t worker_count,
                        struct target_state **ret)
{
    char name[INET6_ADDRSTRLEN + 16];
    write_name(identity->address, name, sizeof(name));

    size_t text_bytes =
        strlen(name) + identity->host.len + identity->instance.len + identity->node.len + 4;
    size_t line = alignof(struct target_slot);
    size_t bytes = sizeof(struct target_state) + worker_count * sizeof(struct target_slot);
    bytes = (bytes + text_bytes + line - 1) / line * line; /* as aligned_alloc wants it */
    struct target_state *target = aligned_alloc(line, bytes);
    if (!target)
        return UV_ENOMEM;
    memset(target, 0, bytes);
    char *text = (char *)&target->slots[worker_count];
    atomic_init(&target->refs, 1);
    target->name = append(&text, str_of(name));
    target->host = append(&text, identity->host);
    target->instance = append(&text, identity->instance);
    target->node = append(&text, identity->node);
    target->port = port_of(identity->address);
    memcpy(&target->address, identity->address,
           identity->address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                    : sizeof(struct sockaddr_in));
    target->worker_count = worker_count;
    atomic_init(&target->ready_since_ms, uv_hrtime() / 1000000);
    *ret = target;
    return 0;
}

struct target_state *target_state_ref(struct target_state *target)
{
    atomic_fetch_add_explicit(&target->refs, 1, memory_order_relaxed);
    return target;
}

void target_state_unref(struct target_state *target)
{
    if (target && atomic_fetch_sub_explicit(&target->refs, 1, memory_order_acq_rel) == 1)
        free(target);
}

bool target_state_is_at(const struct target_state *target, struct str host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr wanted, own;
    if (target->instance[0] || target->port != port)
        return false;
    if (str_equal_nocase(host, str_of(target->host)))
        return true;
    if (host.len >= sizeof(text) || !host.len || !memchr(host.ptr, ':', host.len))
        return false;
    snprintf(text, sizeof(text), "%.*s", STR_ARG(host));
    return uv_inet_pton(AF_INET6, text, &wanted) == 0 &&
           uv_inet_pton(AF_INET6, target->host, &own) == 0 &&
           memcmp(&wanted, &own, sizeof(own)) == 0;
}
