#include "loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

void loopback_die(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback_address(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return address;
}

static void disable_delay(int fd)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        loopback_die("TCP_NODELAY");
}

static void lift_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        loopback_die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        loopback_die("setrlimit");
}

int loopback_listen(uint16_t port)
{
    lift_file_limit();

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        loopback_die("socket");
    int on = 1;
    struct sockaddr_in address = loopback_address(port);
    socklen_t length = sizeof(address);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        loopback_die("listen");

    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int loopback_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        disable_delay(fd);
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        loopback_die("accept");
    return fd;
}

int loopback_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        loopback_die("socket");
    disable_delay(fd);
    struct sockaddr_in address = loopback_address(port);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS)
        loopback_die("connect");
    return fd;
}

uint16_t loopback_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || port > UINT16_MAX) {
        fprintf(stderr, "%s is not a port\n", text);
        exit(1);
    }
    return (uint16_t)port;
}
