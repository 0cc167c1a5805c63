/* peers.h - both ends of a worker as blocking sockets, played by the test itself: it writes what
 * the client writes, reads what the target reads, and so on in order. */
#ifndef TESTS_UNIT_PROXY_PEERS_H
#define TESTS_UNIT_PROXY_PEERS_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "balance/round_robin.h"
#include "model/target_state.h"
#include "net/listener.h"
#include "proxy/client_address.h"
#include "proxy/router.h"
#include "proxy/worker.h"

#define PEER_TIMEOUT_S 20 /* a peer that waits this long has failed its test */
#define MAX_TARGETS 4

#define GET "GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_3 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz"

/* --- sockets --- */

static inline void set_timeout(int fd)
{
    struct timeval timeout = {.tv_sec = PEER_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

static inline struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int listen_anywhere(uint16_t *ret_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 128), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    *ret_port = ntohs(address.sin_port);
    set_timeout(fd);
    return fd;
}

static inline int connect_to(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_timeout(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline int accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    set_timeout(fd);
    return fd;
}

static inline void put_bytes(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t count = send(fd, bytes, len, MSG_NOSIGNAL);
        assert_true(count > 0);
        bytes += count;
        len -= (size_t)count;
    }
}

static inline void put(int fd, const char *text)
{
    put_bytes(fd, text, strlen(text));
}

/* Reads until `end` stands at the end of what came; that must not come in the midst. */
static inline const char *get_until(int fd, const char *end)
{
    static char text[256 * 1024];
    size_t len = 0, end_len = strlen(end);
    do {
        assert_true(len < sizeof(text) - 1);
        ssize_t count = recv(fd, text + len, 1, 0);
        text[len + (count > 0)] = '\0';
        if (count != 1)
            fail_msg("no \"%s\" after \"%s\": %s", end, text, count ? strerror(errno) : "end");
        len++;
    } while (len < end_len || memcmp(text + len - end_len, end, end_len) != 0);
    return text;
}

static inline const char *get_head(int fd)
{
    return get_until(fd, "\r\n\r\n");
}

static inline void expect_closed(int fd)
{
    char byte;
    ssize_t count = recv(fd, &byte, 1, 0);
    if (count > 0)
        fail_msg("not closed: '%c' came", byte);
    if (count < 0)
        assert_int_equal(errno, ECONNRESET);
}

static inline void expect_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in \"%s\"", part, text);
}

static inline void expect_no_text(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" in \"%s\"", part, text);
}

static inline void reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* --- a worker with one route to one service --- */

struct stage {
    struct worker *worker;
    struct worker_settings settings;
    struct listener_spec listener;
    struct upstream_state *upstream;
    int targets[MAX_TARGETS]; /* listening sockets */
    uint16_t target_ports[MAX_TARGETS];
    struct target_state *target_states[MAX_TARGETS]; /* referenced */
    unsigned target_count;
    uint16_t port;
    char log_path[64];
    /* What a test may change before stage_start. */
    uint32_t retries;
    uint32_t timeout_ms; /* of the service */
    uint32_t protocols;
    bool is_pending;
};

static const struct client_trust trusts_nobody;

static inline struct stage stage_with(unsigned target_count)
{
    struct stage stage = {
        .settings = {.max_clients = 1000,
                     .client_header_timeout_ms = 60000,
                     .client_idle_timeout_ms = 60000,
                     .client_body_timeout_ms = 60000,
                     .upstream_idle_timeout_ms = 60000,
                     .upstream_pool_size = 64,
                     .upstream_max_requests = 1000,
                     .trust = &trusts_nobody,
                     .max_head_bytes = 16384,
                     .add_latency_headers = true},
        .target_count = target_count,
        .retries = 5,
        .timeout_ms = 60000,
        .protocols = PROTOCOL_HTTP | PROTOCOL_HTTPS,
    };
    for (unsigned i = 0; i < target_count; i++)
        stage.targets[i] = listen_anywhere(&stage.target_ports[i]);
    return stage;
}

static inline struct endpoints *stage_endpoints(struct stage *stage)
{
    struct endpoint items[MAX_TARGETS];
    struct endpoints *endpoints;
    for (unsigned i = 0; i < stage->target_count; i++)
        items[i] = (struct endpoint){.target = stage->target_states[i], .weight = 100};
    assert_int_equal(endpoints_create(ENDPOINTS_KNOWN, items, stage->target_count, &endpoints), 0);
    assert_int_equal(round_robin_plan(endpoints), 0);
    return endpoints;
}

static inline struct snapshot *stage_snapshot(struct stage *stage, uint64_t version,
                                              const char *service_path)
{
    struct snapshot *snapshot;
    struct error err;
    assert_int_equal(snapshot_create(version, &snapshot), 0);
    struct service *service = arena_alloc(&snapshot->arena, sizeof(*service));
    struct route *route = arena_alloc(&snapshot->arena, sizeof(*route));
    struct str *paths = arena_alloc(&snapshot->arena, sizeof(*paths));
    *service = (struct service){.id = STR("s"),
                                .name = STR("service"),
                                .protocol = PROTOCOL_HTTP,
                                .host = STR("upstream"),
                                .port = 80,
                                .path = str_of(service_path),
                                .connect_timeout_ms = stage->timeout_ms,
                                .write_timeout_ms = stage->timeout_ms,
                                .read_timeout_ms = stage->timeout_ms,
                                .retries = stage->retries,
                                .upstream = upstream_state_ref(stage->upstream)};
    *paths = STR("/api");
    *route = (struct route){.id = STR("r"),
                            .name = STR("route"),
                            .protocols = stage->protocols,
                            .https_redirect_status_code = 426,
                            .strip_path = true,
                            .paths = paths,
                            .path_count = 1,
                            .service = service};
    snapshot->services = service;
    snapshot->service_count = 1;
    snapshot->routes = route;
    snapshot->route_count = 1;
    assert_int_equal(router_create(route, 1, NULL, &snapshot->router, &err), 0);
    snapshot->destroy_router = router_destroy;
    return snapshot;
}

static inline void stage_start(struct stage *stage)
{
    struct error err;
    assert_int_equal(upstream_state_create(STR("upstream"), 1, &stage->upstream), 0);
    for (unsigned i = 0; i < stage->target_count; i++) {
        struct sockaddr_in address = loopback(stage->target_ports[i]);
        struct target_identity identity = {.host = STR("127.0.0.1"),
                                           .address = (struct sockaddr *)&address};
        assert_int_equal(target_state_create(&identity, 1, &stage->target_states[i]), 0);
    }
    if (!stage->is_pending)
        endpoints_destroy(upstream_state_swap(stage->upstream, stage_endpoints(stage)));

    struct sockaddr_in any = loopback(0);
    memcpy(&stage->listener.address, &any, sizeof(any));
    stage->listener.backlog = 128;
    snprintf(stage->log_path, sizeof(stage->log_path), "/tmp/weir_test_worker.XXXXXX");
    int log = mkstemp(stage->log_path);
    assert_true(log >= 0);
    close(log);
    stage->settings.listeners = &stage->listener;
    stage->settings.listener_count = 1;
    stage->settings.access_log_path = stage->log_path;
    assert_int_equal(worker_start(&stage->settings, 0, &stage->worker, &err), 0);
    stage->port = worker_port(stage->worker, 0);
    worker_publish(stage->worker, stage_snapshot(stage, 1, ""));
}

static inline int stage_client(const struct stage *stage)
{
    return connect_to(stage->port);
}

static inline void ignore_stop(void *arg)
{
    (void)arg;
}

/* Returns the access log, to be freed. */
static inline char *stage_stop(struct stage *stage)
{
    worker_stop(stage->worker, 10000, ignore_stop, NULL);
    worker_join(stage->worker);
    for (unsigned i = 0; i < stage->target_count; i++) {
        target_state_unref(stage->target_states[i]);
        if (stage->targets[i] >= 0)
            close(stage->targets[i]);
    }
    upstream_state_unref(stage->upstream);

    char *text = calloc(1, 64 * 1024);
    FILE *file = fopen(stage->log_path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, 64 * 1024 - 1, file);
    text[len] = '\0';
    fclose(file);
    unlink(stage->log_path);
    return text;
}

static inline void stage_end(struct stage *stage)
{
    free(stage_stop(stage));
}

/* --- what most of them say --- */

static inline void exchange_once(int client, int target)
{
    put(client, GET);
    get_head(target);
    put(target, OK_3);
    get_until(client, "\r\n\r\nxyz");
}

#endif
