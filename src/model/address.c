#include "model/address.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "net/cidr.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum address_kind kind_of(struct str text)
{
    size_t colons = 0;
    bool only_digits = true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ':')
            colons++;
        else if (!is_digit(text.ptr[i]) && text.ptr[i] != '.')
            only_digits = false;
    }
    if (colons > 1)
        return ADDRESS_IPV6;
    return only_digits && text.len > colons ? ADDRESS_IPV4 : ADDRESS_NAME;
}

static bool is_number(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_digit(text.ptr[i]))
            return false;
    return text.len > 0;
}

/* `digits` are digits; what does not fit is too large. */
static enum address_error read_port(struct str digits, struct address *ret)
{
    uint64_t port;
    if (!str_to_u64(digits, &port) || port > UINT16_MAX)
        return ADDRESS_BAD_PORT;
    ret->has_port = true;
    ret->port = (uint16_t)port;
    return ADDRESS_FINE;
}

static bool read_ipv4(struct str text, char ip[ADDRESS_IP_BYTES])
{
    uint64_t parts[4];
    for (int i = 0; i < 4; i++) {
        struct str part = str_cut(&text, '.');
        if (part.len > 3 || !str_to_u64(part, &parts[i]) || parts[i] > 255 ||
            (i < 3) != (text.ptr != NULL))
            return false;
    }
    snprintf(ip, ADDRESS_IP_BYTES, "%u.%u.%u.%u", (unsigned)parts[0], (unsigned)parts[1],
             (unsigned)parts[2], (unsigned)parts[3]);
    return true;
}

static enum address_error parse_ipv4(struct str text, struct address *ret)
{
    struct str port = text;
    struct str host = str_cut(&port, ':');
    if (!read_ipv4(host, ret->ip))
        return ADDRESS_BAD_HOST;
    if (!port.ptr)
        return ADDRESS_FINE;
    return is_number(port) ? read_port(port, ret) : ADDRESS_BAD_HOST;
}

static bool read_ipv6(struct str text, char ip[ADDRESS_IP_BYTES])
{
    char terminated[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (text.len >= sizeof(terminated))
        return false;
    memcpy(terminated, text.ptr, text.len);
    terminated[text.len] = '\0';
    if (inet_pton(AF_INET6, terminated, &address) != 1)
        return false;
    int at = 0;
    for (int i = 0; i < 16; i += 2)
        at += snprintf(ip + at, ADDRESS_IP_BYTES - (size_t)at, "%s%02x%02x", i ? ":" : "",
                       address.s6_addr[i], address.s6_addr[i + 1]);
    return true;
}

static enum address_error parse_ipv6(struct str text, struct address *ret)
{
    if (text.ptr[0] != '[')
        return read_ipv6(text, ret->ip) ? ADDRESS_FINE : ADDRESS_BAD_HOST;

    struct str rest = str_make(text.ptr + 1, text.len - 1);
    struct str host = str_cut(&rest, ']');
    if (!rest.ptr || !read_ipv6(host, ret->ip))
        return ADDRESS_BAD_HOST;
    if (rest.len == 0)
        return ADDRESS_FINE;
    struct str port = str_make(rest.ptr + 1, rest.len - 1);
    if (rest.ptr[0] != ':' || !is_number(port))
        return ADDRESS_BAD_HOST;
    return read_port(port, ret);
}

static bool is_label_char(char c)
{
    return is_digit(c) || (str_lower_char(c) >= 'a' && str_lower_char(c) <= 'z') || c == '-' ||
           c == '_';
}

/* Labels of letters, digits, '-' and '_', none ending in '-', none empty but for a last one. */
static bool is_name(struct str name)
{
    if (name.len == 0)
        return false;
    do {
        struct str label = str_cut(&name, '.');
        for (size_t i = 0; i < label.len; i++)
            if (!is_label_char(label.ptr[i]))
                return false;
        if (label.len == 0 && name.ptr)
            return false;
        if (label.len > 0 && label.ptr[label.len - 1] == '-')
            return false;
    } while (name.len > 0);
    return true;
}

static enum address_error parse_name(struct str text, struct address *ret)
{
    struct str port = text;
    struct str name = str_cut(&port, ':');
    if (port.ptr) {
        if (!is_number(port))
            return ADDRESS_BAD_HOST;
        enum address_error error = read_port(port, ret);
        if (error)
            return error;
    }
    ret->name = name;
    return is_name(name) ? ADDRESS_FINE : ADDRESS_BAD_HOST;
}

enum address_error address_parse(struct str text, struct address *ret)
{
    struct address address = {.kind = kind_of(text)};
    enum address_error error;
    switch (address.kind) {
    case ADDRESS_IPV4:
        error = parse_ipv4(text, &address);
        break;
    case ADDRESS_IPV6:
        error = parse_ipv6(text, &address);
        break;
    default:
        error = parse_name(text, &address);
        break;
    }
    if (error)
        ret->kind = address.kind;
    else
        *ret = address;
    return error;
}

bool address_is_ip_or_cidr(struct str text)
{
    struct cidr_range range; /* what compares addresses is the judge */
    return text.len > 0 && text.ptr[0] != '[' && cidr_read_range(text, &range);
}
