/* api.h - an Admin API on a loop of its own, with a node behind it that is all fakes, and clients
 * that talk to it over loopback sockets. For the tests beside it, one program each.
 *
 * Client and server share one thread: whoever waits for an answer turns the loop. */
#ifndef UNIT_ADMIN_API_H
#define UNIT_ADMIN_API_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>
#include <uv.h>

#include "unit/test.h"

#include "admin/server.h"
#include "discovery/registry.h"
#include "store/store.h"

struct api {
    uv_loop_t loop;
    struct config *config;
    json_t *settings;
    struct admin_server *server;
    struct sockaddr_in address;
    struct list writes; /* those that wait, when is_deferring */
    bool is_deferring;
    int refusal; /* what the store says to every commit */
    bool is_draining;
    const char *behind; /* what a wait for all nodes ends with; NULL: all have it */
    uint64_t wait_ms;   /* the limit of the last wait; 0: there was none */
    bool is_closed;
    struct upstream_state *upstream; /* what the registry finds under upstream_key; may be NULL */
    char upstream_key[128];
};

static struct api api;

/* ---- the node ---- */

struct upstream_state *registry_find(struct registry *registry, struct str key)
{
    assert_non_null(registry);
    return str_equal(key, str_of(api.upstream_key)) ? api.upstream : NULL;
}

struct events *registry_events(struct registry *registry)
{
    static struct events events;
    assert_non_null(registry);
    if (events.next == 0)
        events_init(&events);
    return &events;
}

json_t *registry_status(struct registry *registry)
{
    assert_non_null(registry);
    return json_pack("{s:{s:b}}", "consul", "reachable", 1);
}

json_t *registry_discovery(struct registry *registry)
{
    assert_non_null(registry);
    return json_pack("[{s:s, s:s}]", "source", "consul", "name", "users");
}

json_t *registry_explain(struct registry *registry, struct str key)
{
    assert_non_null(registry);
    return str_equal(key, str_of(api.upstream_key)) ? json_pack("[{s:s}]", "target", "10.0.0.1:80")
                                                    : NULL;
}

int store_is_reachable(const struct store *store)
{
    assert_non_null(store);
    return 1;
}

/* What control does with a write, without a store and workers. */
static void carry_out(struct config_write *write)
{
    int rc = write->plan(write, api.config);
    if (rc == 0 && write->change.count > 0) {
        rc = api.refusal;
        if (rc == 0)
            config_apply(api.config, &write->change);
    }
    write->done(write, rc);
}

static void fake_submit(void *control, struct config_write *write)
{
    assert_ptr_equal(control, &api);
    if (api.is_deferring)
        list_push_back(&api.writes, &write->link);
    else
        carry_out(write);
}

static void carry_out_deferred(void)
{
    LIST_EACH(node, &api.writes)
    {
        list_remove(node);
        carry_out(LIST_ENTRY(node, struct config_write, link));
    }
}

static json_t *fake_counters(void *control)
{
    assert_ptr_equal(control, &api);
    return json_pack("{s:i}", "total_requests", 7);
}

static const char *fake_state(void *control)
{
    assert_ptr_equal(control, &api);
    return api.is_draining ? "draining" : "ready";
}

static json_t *fake_status(void *control)
{
    assert_ptr_equal(control, &api);
    return json_pack("{s:i}", "sequence", 5);
}

static void fake_set_draining(void *control, bool is_draining)
{
    assert_ptr_equal(control, &api);
    api.is_draining = is_draining;
}

static void fake_list_nodes(void *control, void (*done)(void *arg, json_t *list), void *arg)
{
    assert_ptr_equal(control, &api);
    done(arg, json_pack("[{s:s}]", "id", "n"));
}

static void fake_wait_all(void *control, uint64_t limit_ms,
                          void (*done)(void *arg, const char *behind), void *arg)
{
    assert_ptr_equal(control, &api);
    api.wait_ms = limit_ms;
    done(arg, api.behind);
}

static const struct admin_cluster fake_cluster = {fake_state, fake_status, fake_set_draining,
                                                  fake_list_nodes, fake_wait_all};

static int api_setup(void **state)
{
    (void)state;
    memset(&api, 0, sizeof(api));
    list_init(&api.writes);
    assert_int_equal(uv_loop_init(&api.loop), 0);
    assert_int_equal(config_create(&api.config), 0);
    api.settings = json_pack("{s:s}", "database", "postgres");
    struct admin_node node = {
        .config = api.config,
        .registry = (struct registry *)&api,
        .store = (struct store *)&api,
        .submit = fake_submit,
        .control = &api,
        .node_id = "a6a1f0d4-3b0c-4b6e-8f66-0d5f5f2f0001",
        .settings = api.settings,
        .server_counters = fake_counters,
        .cluster = &fake_cluster,
        .worker_count = 2,
    };
    struct listener_spec specs[LISTENER_MAX];
    unsigned count;
    struct error err = {{0}, {0}};
    assert_int_equal(listener_parse(STR("127.0.0.1:0"), "admin_listen", specs, &count, &err), 0);
    int rc = admin_server_start(&api.loop, specs, count, &node, &api.server, &err);
    if (rc != 0)
        print_error("%s: %s\n", err.field, err.sentence);
    assert_int_equal(rc, 0);
    api.address.sin_family = AF_INET;
    api.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    api.address.sin_port = htons(admin_server_port(api.server, 0));
    return 0;
}

static void on_api_closed(void *arg)
{
    assert_ptr_equal(arg, &api);
    api.is_closed = true;
}

static int api_teardown(void **state)
{
    (void)state;
    admin_server_close(api.server, on_api_closed, &api);
    while (!api.is_closed)
        uv_run(&api.loop, UV_RUN_ONCE);
    carry_out_deferred();
    assert_int_equal(uv_loop_close(&api.loop), 0);
    config_destroy(api.config);
    json_decref(api.settings);
    upstream_state_unref(api.upstream);
    return 0;
}

/* ---- clients ---- */

struct client {
    int fd;
    char *in; /* owned; what was received and not yet taken */
    size_t len;
    bool is_closed; /* by the server */
};

struct reply {
    int status;
    char *head;   /* owned, terminated */
    char *text;   /* owned, terminated: the body */
    json_t *body; /* owned; NULL when it is no JSON */
};

static void connect_client(struct client *client)
{
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(client->fd >= 0);
    assert_int_equal(
        connect(client->fd, (const struct sockaddr *)&api.address, sizeof(api.address)), 0);
}

static void close_client(struct client *client)
{
    close(client->fd);
    free(client->in);
}

/* Lets the server go on until there is something for the client, or time for a timer. */
static void turn(struct client *client, short events)
{
    struct pollfd fds[2] = {{.fd = client->fd, .events = events},
                            {.fd = uv_backend_fd(&api.loop), .events = POLLIN}};
    poll(fds, 2, uv_backend_timeout(&api.loop));
    uv_run(&api.loop, UV_RUN_NOWAIT);
}

static void send_bytes(struct client *client, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(client->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* the server has closed: its answer may still be there */
        if (sent > 0)
            bytes = str_make(bytes.ptr + sent, bytes.len - (size_t)sent);
        else
            turn(client, POLLIN | POLLOUT);
    }
}

static void receive_more(struct client *client)
{
    client->in = realloc(client->in, client->len + 65536 + 1);
    assert_non_null(client->in);
    ssize_t got = recv(client->fd, client->in + client->len, 65536, MSG_DONTWAIT);
    if (got > 0)
        client->len += (size_t)got;
    else if (got == 0 || errno != EAGAIN)
        client->is_closed = true;
    else
        turn(client, POLLIN);
    client->in[client->len] = '\0'; /* it is read as a string */
}

static const char *find_field(const struct reply *reply, const char *name)
{
    static char value[1024];
    char pattern[128];
    snprintf(pattern, sizeof(pattern), "\r\n%s: ", name);
    const char *at = strcasestr(reply->head, pattern);
    if (!at)
        return NULL;
    at += strlen(pattern);
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

/* The next reply; without_body: of a HEAD request. Fails the test when the server closes first. */
static struct reply read_reply(struct client *client, bool without_body)
{
    const char *end;
    while (!(end = client->len ? memmem(client->in, client->len, "\r\n\r\n", 4) : NULL)) {
        assert_false(client->is_closed);
        receive_more(client);
    }
    struct reply reply = {.status = 0};
    size_t head_len = (size_t)(end - client->in) + 2;
    reply.head = strndup(client->in, head_len);
    assert_int_equal(sscanf(reply.head, "HTTP/1.1 %d ", &reply.status), 1);
    const char *length = find_field(&reply, "Content-Length");
    size_t body_len = length && !without_body ? (size_t)atol(length) : 0;
    size_t whole = head_len + 2 + body_len;
    while (client->len < whole) {
        assert_false(client->is_closed);
        receive_more(client);
    }
    reply.text = strndup(client->in + head_len + 2, body_len);
    reply.body = json_loads(reply.text, 0, NULL);
    memmove(client->in, client->in + whole, client->len - whole);
    client->len -= whole;
    return reply;
}

static void free_reply(struct reply *reply)
{
    free(reply->head);
    free(reply->text);
    json_decref(reply->body);
}

static void send_text(struct client *client, const char *text)
{
    send_bytes(client, str_of(text));
}

static void send_request(struct client *client, const char *method, const char *target,
                         const char *content_type, const char *body)
{
    char head[1024];
    int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: admin\r\n", method, target);
    if (content_type)
        len +=
            snprintf(head + len, sizeof(head) - (size_t)len, "Content-Type: %s\r\n", content_type);
    if (body)
        len += snprintf(head + len, sizeof(head) - (size_t)len, "Content-Length: %zu\r\n",
                        strlen(body));
    len += snprintf(head + len, sizeof(head) - (size_t)len, "\r\n");
    send_bytes(client, str_make(head, (size_t)len));
    if (body)
        send_text(client, body);
}

/* One request on a connection of its own. A body that begins with '{' is JSON, else a form. */
static struct reply call(const char *method, const char *target, const char *body)
{
    const char *type = !body            ? NULL
                       : body[0] == '{' ? "application/json"
                                        : "application/x-www-form-urlencoded";
    struct client client;
    connect_client(&client);
    send_request(&client, method, target, type, body);
    struct reply reply = read_reply(&client, strcmp(method, "HEAD") == 0);
    close_client(&client);
    return reply;
}

/* A call of which only the status matters. */
static void assert_status(const char *method, const char *target, const char *body, int status)
{
    struct reply reply = call(method, target, body);
    if (reply.status != status)
        print_error("%s %s: %d %s\n", method, target, reply.status, reply.text);
    assert_int_equal(reply.status, status);
    free_reply(&reply);
}

/* Status and whole body, with the keys sorted. */
static void assert_answer(const char *method, const char *target, const char *body, int status,
                          const char *expected)
{
    struct reply reply = call(method, target, body);
    char *sorted = reply.body ? json_dumps(reply.body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    assert_string_equal(sorted ? sorted : reply.text, expected);
    assert_int_equal(reply.status, status);
    free(sorted);
    free_reply(&reply);
}

/* The text of a member, by its dotted path ("data.0.name"); "(none)" where there is none. */
static const char *text_at(const json_t *root, const char *path)
{
    static char text[1024];
    struct str rest = str_of(path);
    while (rest.len > 0 && root) {
        struct str name = str_cut(&rest, '.');
        uint64_t index;
        root = json_is_array(root) && str_to_u64(name, &index)
                   ? json_array_get(root, (size_t)index)
                   : json_object_getn(root, name.ptr, name.len);
    }
    if (json_is_string(root))
        return json_string_value(root);
    char *dump = root ? json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS |
                                             JSON_REAL_PRECISION(15))
                      : NULL;
    snprintf(text, sizeof(text), "%s", dump ? dump : "(none)");
    free(dump);
    return text;
}

#define A(name) cmocka_unit_test_setup_teardown(name, api_setup, api_teardown)

#endif
