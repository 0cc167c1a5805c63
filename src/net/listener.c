#include "net/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

#include "net/ip.h"

#define BACKLOG_MAX 65535
#define DEPTH_MAX 64      /* as of the setting ssl_verify_depth */
#define DEFER_ACCEPT_S 60 /* how long the kernel holds a silent connection back */
#define FORM                                                                                       \
    "must be off or a comma list of <ip>:<port> [ssl] [http2] [proxy_protocol] [reuseport] "       \
    "[bind] "                                                                                      \
    "[deferred] [backlog=N] "                                                                      \
    "[so_keepalive=on|off] [ipv6only=on|off] [verify_client=on|optional|off "                      \
    "[client_certificate=<path>] [verify_depth=N]]"

/* Kong's flags that weir knows by name and can't do yet: a listener without its flag would be
 * another listener than the one asked for. */
static const char *const flags_to_come[] = {"udp", "http3", "quic"};

/* Cuts the first word off *rest; empty when there is none. */
static struct str cut_word(struct str *rest)
{
    *rest = str_trim(*rest);
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != ' ' && rest->ptr[len] != '\t')
        len++;
    struct str word = str_make(rest->ptr, len);
    *rest = str_make(rest->ptr + len, rest->len - len);
    return word;
}

static bool parse_v4(const char *host, uint16_t port, union ip_address *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        return false;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    return true;
}

static bool parse_v6(const char *host, uint16_t port, union ip_address *ret)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        return false;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    return true;
}

static bool parse_address(struct str text, struct listener_spec *spec)
{
    if (text.len == 0 || text.len >= sizeof(spec->text))
        return false;
    memcpy(spec->text, text.ptr, text.len);
    spec->text[text.len] = '\0';

    char host[sizeof(spec->text)];
    memcpy(host, spec->text, sizeof(host));
    char *colon = strrchr(host, ':');
    uint64_t port;
    if (!colon || !str_to_u64(str_of(colon + 1), &port) || port > UINT16_MAX)
        return false;
    *colon = '\0';
    spec->port = (uint16_t)port;

    if (host[0] != '[')
        return parse_v4(host, spec->port, &spec->address);
    if (colon[-1] != ']')
        return false;
    colon[-1] = '\0';
    return parse_v6(host + 1, spec->port, &spec->address);
}

static bool parse_on_off(struct str text, bool *ret)
{
    bool is_on = str_equal(text, STR("on"));
    if (!is_on && !str_equal(text, STR("off")))
        return false;
    *ret = is_on;
    return true;
}

static bool parse_check(struct str text, struct listener_clients *clients)
{
    static const char *const names[] = {[TLS_CLIENT_NONE] = "off",
                                        [TLS_CLIENT_OPTIONAL] = "optional",
                                        [TLS_CLIENT_REQUIRED] = "on"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!str_equal(text, str_of(names[i])))
            continue;
        clients->check = (enum tls_client_check)i;
        return clients->is_own = true;
    }
    return false;
}

static bool parse_path(struct str text, char path[LISTENER_PATH_BYTES])
{
    if (text.len == 0 || text.len >= LISTENER_PATH_BYTES)
        return false;
    memcpy(path, text.ptr, text.len);
    path[text.len] = '\0';
    return true;
}

static bool parse_depth(struct str text, struct listener_clients *clients)
{
    uint64_t depth;
    if (!str_to_u64(text, &depth) || depth > DEPTH_MAX)
        return false;
    clients->depth = (uint32_t)depth;
    return clients->has_depth = true;
}

static bool parse_flag(struct str flag, struct listener_spec *spec)
{
    struct str value = flag;
    struct str key = str_cut(&value, '=');

    if (str_equal(flag, STR("ssl")))
        return spec->is_tls = true;
    if (str_equal(flag, STR("http2")))
        return spec->is_http2 = true;
    if (str_equal(flag, STR("proxy_protocol")))
        return spec->has_proxy_protocol = true;
    if (str_equal(flag, STR("reuseport")))
        return spec->has_reuseport = true;
    if (str_equal(flag, STR("bind")))
        return spec->has_bind = true;
    if (str_equal(flag, STR("deferred")))
        return spec->is_deferred = true;
    if (str_equal(key, STR("so_keepalive")))
        return parse_on_off(value, &spec->is_kept_alive);
    if (str_equal(key, STR("ipv6only")))
        return parse_on_off(value, &spec->is_v6_only);
    if (str_equal(key, STR("verify_client")))
        return parse_check(value, &spec->clients);
    if (str_equal(key, STR("client_certificate")))
        return parse_path(value, spec->clients.ca_file);
    if (str_equal(key, STR("verify_depth")))
        return parse_depth(value, &spec->clients);
    uint64_t backlog;
    if (str_equal(key, STR("backlog")) && str_to_u64(value, &backlog) && backlog >= 1 &&
        backlog <= BACKLOG_MAX) {
        spec->backlog = (int)backlog;
        return true;
    }
    return false;
}

static bool is_to_come(struct str flag)
{
    for (size_t i = 0; i < sizeof(flags_to_come) / sizeof(flags_to_come[0]); i++)
        if (str_equal(flag, str_of(flags_to_come[i])))
            return true;
    return false;
}

/* What would check nobody, though somebody thinks that it does. NULL: nothing. */
static const char *idle_flag(const struct listener_spec *spec)
{
    const struct listener_clients *clients = &spec->clients;
    if (clients->is_own && !spec->is_tls)
        return "verify_client needs the flag ssl";
    if (clients->check == TLS_CLIENT_NONE && (clients->ca_file[0] || clients->has_depth))
        return "client_certificate and verify_depth need verify_client=on or optional";
    return NULL;
}

static int parse_one(struct str text, const char *name, struct listener_spec *spec,
                     struct error *err)
{
    *spec = (struct listener_spec){.backlog = SOMAXCONN, .is_v6_only = true};
    struct str rest = text;
    struct str address = cut_word(&rest);
    if (!parse_address(address, spec)) {
        error_set(err, name, "%s, not \"%.*s\"", FORM, STR_ARG(text));
        return UV_EINVAL;
    }
    for (struct str flag = cut_word(&rest); flag.len > 0; flag = cut_word(&rest)) {
        if (is_to_come(flag)) {
            error_set(err, name, "\"%.*s\" in \"%.*s\" is not built yet; leave this address out",
                      STR_ARG(flag), STR_ARG(text));
            return UV_EINVAL;
        }
        if (!parse_flag(flag, spec)) {
            error_set(err, name, "%s; \"%.*s\" is none of these", FORM, STR_ARG(flag));
            return UV_EINVAL;
        }
    }
    const char *idle = idle_flag(spec);
    if (idle) {
        error_set(err, name, "%s, in \"%.*s\"", idle, STR_ARG(text));
        return UV_EINVAL;
    }
    return 0;
}

/* Our own sockets would share it and hide the mistake. */
static bool is_listed(const struct listener_spec *spec, const struct listener_spec *specs,
                      unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (spec->port != 0 &&
            memcmp(&specs[i].address, &spec->address, sizeof(spec->address)) == 0)
            return true;
    return false;
}

int listener_parse(struct str text, const char *name, struct listener_spec specs[LISTENER_MAX],
                   unsigned *ret_count, struct error *err)
{
    assert(name && specs && ret_count);

    text = str_trim(text);
    if (str_equal(text, STR("off"))) {
        *ret_count = 0;
        return 0;
    }

    unsigned count = 0;
    struct str rest = text;
    do {
        if (count == LISTENER_MAX) {
            error_set(err, name, "must be at most %d addresses", LISTENER_MAX);
            return UV_EINVAL;
        }
        struct listener_spec *spec = &specs[count];
        int rc = parse_one(str_trim(str_cut(&rest, ',')), name, spec, err);
        if (rc < 0)
            return rc;
        if (is_listed(spec, specs, count)) {
            error_set(err, name, "lists %s twice", spec->text);
            return UV_EINVAL;
        }
        count++;
    } while (rest.ptr);

    *ret_count = count;
    return 0;
}

void listener_ask_clients(const struct listener_spec *spec, struct tls_server_settings *settings)
{
    const struct listener_clients *clients = &spec->clients;
    if (!clients->is_own)
        return;
    settings->client_check = clients->check;
    if (clients->ca_file[0])
        settings->client_ca_file = clients->ca_file;
    if (clients->has_depth)
        settings->client_depth = clients->depth;
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static int set_options(int fd, const struct listener_spec *spec, bool reuse_port)
{
    int rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0)
        rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0 && reuse_port)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && spec->is_deferred)
        rc = set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_ACCEPT_S);
    if (rc == 0 && spec->is_kept_alive)
        rc = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (rc == 0 && spec->address.any.sa_family == AF_INET6)
        rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, spec->is_v6_only);
    return rc;
}

int listener_bind(const struct listener_spec *spec, bool reuse_port, int *ret_fd, struct error *err)
{
    assert(spec && ret_fd);

    socklen_t len = spec->address.any.sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                            : sizeof(struct sockaddr_in);
    int rc;
    int fd = socket(spec->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        rc = -errno;
        goto fail;
    }
    rc = set_options(fd, spec, reuse_port);
    if (rc < 0)
        goto fail;
    if (bind(fd, (const struct sockaddr *)&spec->address, len) < 0) {
        rc = -errno;
        goto fail;
    }
    *ret_fd = fd;
    return 0;
fail:
    if (fd >= 0)
        close(fd);
    error_set(err, spec->text, "cannot be listened on: %s", uv_strerror(rc));
    return rc;
}

int listener_check_free(const struct listener_spec *spec, struct error *err)
{
    int fd;
    int rc = listener_bind(spec, false, &fd, err);
    if (rc == 0)
        close(fd);
    return rc;
}
