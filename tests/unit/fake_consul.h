/* fake_consul.h - an agent on the test's own loop that answers health queries by the rules,
 * blocking ones too, until told to do something else. */
#ifndef UNIT_FAKE_CONSUL_H
#define UNIT_FAKE_CONSUL_H

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#define FAKE_CONSUL_REQUESTS 256
#define FAKE_CONSUL_SCRIPT 16
#define FAKE_CONSUL_CLIENTS 16
#define FAKE_CONSUL_HANG ((const char *)-1)
#define FAKE_CONSUL_HANG_UP ((const char *)-2)

struct fake_consul_client {
    uv_tcp_t tcp;
    struct fake_consul *consul;
    bool is_blocked; /* its query waits for a change */
    bool is_hanging; /* for nothing */
    size_t len;
    char bytes[8192];
};

struct fake_consul {
    uv_loop_t *loop;
    uv_tcp_t *tcp; /* NULL: stopped */
    int port;
    char url[64];
    unsigned index;
    char body[8192];
    /* Raw answers for the next requests, in order; then it answers by the rules again. */
    const char *script[FAKE_CONSUL_SCRIPT];
    const char *headers;      /* more lines of answers by the rules; NULL: none */
    const char *wanted_token; /* others are refused; NULL: any is fine */
    unsigned script_len, script_at;
    char heads[FAKE_CONSUL_REQUESTS][512]; /* each request's, cut */
    unsigned request_count;
    struct fake_consul_client *clients[FAKE_CONSUL_CLIENTS];
};

static inline void fake_consul_on_client_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static inline void fake_consul_hang_up(struct fake_consul_client *client)
{
    for (int i = 0; i < FAKE_CONSUL_CLIENTS; i++)
        if (client->consul->clients[i] == client)
            client->consul->clients[i] = NULL;
    if (!uv_is_closing((uv_handle_t *)&client->tcp))
        uv_close((uv_handle_t *)&client->tcp, fake_consul_on_client_closed);
}

static inline void fake_consul_send(struct fake_consul_client *client, const char *text)
{
    uv_buf_t out = uv_buf_init((char *)(size_t)text, (unsigned)strlen(text));
    uv_try_write((uv_stream_t *)&client->tcp, &out, 1);
}

static inline void fake_consul_answer(struct fake_consul_client *client)
{
    char text[9000];
    struct fake_consul *consul = client->consul;
    client->is_blocked = false;
    snprintf(text, sizeof(text),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: %u\r\n"
             "%sContent-Length: %zu\r\n\r\n%s",
             consul->index, consul->headers ? consul->headers : "", strlen(consul->body),
             consul->body);
    fake_consul_send(client, text);
}

static inline void fake_consul_on_request(struct fake_consul_client *client)
{
    struct fake_consul *consul = client->consul;
    snprintf(consul->heads[consul->request_count++ % FAKE_CONSUL_REQUESTS],
             sizeof(consul->heads[0]), "%.500s", client->bytes);
    if (consul->script_at < consul->script_len) {
        const char *text = consul->script[consul->script_at++];
        if (text == FAKE_CONSUL_HANG_UP)
            fake_consul_hang_up(client);
        else if (text == FAKE_CONSUL_HANG)
            client->is_hanging = true;
        else
            fake_consul_send(client, text);
        return;
    }
    if (consul->wanted_token && !strstr(client->bytes, consul->wanted_token)) {
        fake_consul_send(client,
                         "HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\nACL not found");
        return;
    }
    const char *index = strstr(client->bytes, "index=");
    client->is_blocked = index && strtoul(index + 6, NULL, 10) >= consul->index;
    if (!client->is_blocked)
        fake_consul_answer(client);
}

static inline void fake_consul_on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)size;
    struct fake_consul_client *client = handle->data;
    *buf = uv_buf_init(client->bytes + client->len,
                       (unsigned)(sizeof(client->bytes) - 1 - client->len));
}

static inline void fake_consul_on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    (void)buf;
    struct fake_consul_client *client = stream->data;
    if (len < 0) {
        fake_consul_hang_up(client);
        return;
    }
    client->len += (size_t)len;
    client->bytes[client->len] = '\0';
    if (!strstr(client->bytes, "\r\n\r\n"))
        return;
    client->len = 0;
    fake_consul_on_request(client);
}

static inline void fake_consul_on_connection(uv_stream_t *server, int status)
{
    (void)status;
    struct fake_consul *consul = server->data;
    struct fake_consul_client *client = calloc(1, sizeof(*client));
    client->consul = consul;
    uv_tcp_init(consul->loop, &client->tcp);
    client->tcp.data = client;
    uv_accept(server, (uv_stream_t *)&client->tcp);
    for (int i = 0; i < FAKE_CONSUL_CLIENTS; i++) {
        if (!consul->clients[i]) {
            consul->clients[i] = client;
            break;
        }
    }
    uv_read_start((uv_stream_t *)&client->tcp, fake_consul_on_alloc, fake_consul_on_read);
}

/* Listens, on the port it had before if it has been stopped. */
static inline void fake_consul_start(struct fake_consul *consul)
{
    struct sockaddr_in address;
    int size = sizeof(address);
    uv_ip4_addr("127.0.0.1", consul->port, &address);
    consul->tcp = malloc(sizeof(*consul->tcp));
    uv_tcp_init(consul->loop, consul->tcp);
    consul->tcp->data = consul;
    uv_tcp_bind(consul->tcp, (struct sockaddr *)&address, 0);
    if (uv_listen((uv_stream_t *)consul->tcp, 16, fake_consul_on_connection))
        abort();
    uv_tcp_getsockname(consul->tcp, (struct sockaddr *)&address, &size);
    consul->port = ntohs(address.sin_port);
    snprintf(consul->url, sizeof(consul->url), "http://127.0.0.1:%d", consul->port);
}

static inline void fake_consul_open(struct fake_consul *consul, uv_loop_t *loop)
{
    memset(consul, 0, sizeof(*consul));
    consul->loop = loop;
    consul->index = 10;
    strcpy(consul->body, "[]");
    fake_consul_start(consul);
}

static inline void fake_consul_on_server_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Breaks all connections; new ones are refused. Twice is harmless. */
static inline void fake_consul_stop(struct fake_consul *consul)
{
    if (!consul->tcp)
        return;
    uv_close((uv_handle_t *)consul->tcp, fake_consul_on_server_closed);
    consul->tcp = NULL;
    for (int i = 0; i < FAKE_CONSUL_CLIENTS; i++)
        if (consul->clients[i])
            fake_consul_hang_up(consul->clients[i]);
}

/* The catalog has changed: blocking queries return. */
static inline void fake_consul_set_body(struct fake_consul *consul, const char *body)
{
    snprintf(consul->body, sizeof(consul->body), "%s", body);
    consul->index++;
    for (int i = 0; i < FAKE_CONSUL_CLIENTS; i++)
        if (consul->clients[i] && consul->clients[i]->is_blocked)
            fake_consul_answer(consul->clients[i]);
}

/* "web-1:5001:passing web-2:5002:critical" as Consul would say it. */
static inline void fake_consul_set(struct fake_consul *consul, const char *instances)
{
    char body[sizeof(consul->body)] = "[", text[256];
    char id[32], status[16];
    int port, used;
    for (const char *at = instances;
         sscanf(at, " %31[^:]:%d:%15s%n", id, &port, status, &used) == 3; at += used) {
        snprintf(text, sizeof(text),
                 "%s{\"Node\":{\"Node\":\"n1\",\"Address\":\"127.0.0.1\",\"Datacenter\":\"dc1\"},"
                 "\"Service\":{\"ID\":\"%s\",\"Address\":\"\",\"Port\":%d},"
                 "\"Checks\":[{\"CheckID\":\"service:%s\",\"Status\":\"%s\"}]}",
                 body[1] ? "," : "", id, port, id, status);
        strcat(body, text);
    }
    strcat(body, "]");
    fake_consul_set_body(consul, body);
}

/* Breaks all connections; it goes on listening. */
static inline void fake_consul_drop(struct fake_consul *consul)
{
    for (int i = 0; i < FAKE_CONSUL_CLIENTS; i++)
        if (consul->clients[i])
            fake_consul_hang_up(consul->clients[i]);
}

static inline void fake_consul_script(struct fake_consul *consul, const char *answer)
{
    consul->script[consul->script_len++] = answer;
}

static inline const char *fake_consul_last(const struct fake_consul *consul)
{
    return consul->request_count ? consul->heads[(consul->request_count - 1) % FAKE_CONSUL_REQUESTS]
                                 : "";
}

/* How many queries wait for a change. */
static inline unsigned fake_consul_blocked(const struct fake_consul *consul)
{
    unsigned count = 0;
    for (int i = 0; i < FAKE_CONSUL_CLIENTS; i++)
        count += consul->clients[i] && consul->clients[i]->is_blocked;
    return count;
}

#endif
