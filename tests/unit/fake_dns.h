/* fake_dns.h - a DNS server on the test's own loop, over UDP and TCP: a table of names, and moods.
 */
#ifndef UNIT_FAKE_DNS_H
#define UNIT_FAKE_DNS_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#define FAKE_DNS_MAX 16
#define FAKE_DNS_A 1
#define FAKE_DNS_AAAA 28
#define FAKE_DNS_SRV 33

struct fake_dns_record {
    const char *name;
    int type;
    uint32_t ttl_s;
    const char *value; /* an address; for SRV "priority weight port target" */
};

enum fake_dns_mood { FAKE_DNS_ANSWERS = 0, FAKE_DNS_SERVFAIL, FAKE_DNS_SILENT };

struct fake_dns {
    uv_udp_t udp;
    uv_tcp_t tcp;
    char servers[64]; /* as a setting */
    struct fake_dns_record records[FAKE_DNS_MAX];
    enum fake_dns_mood mood;
    int failing_type; /* SERVFAIL for questions of that type */
    bool refuses_tcp; /* closes connections */
    bool last_had_edns;
    unsigned query_count;
    unsigned tcp_query_count;
    char buffer[2048];
};

struct fake_dns_client {
    uv_tcp_t tcp;
    struct fake_dns *dns;
    size_t len;
    unsigned char bytes[1024];
};

static inline unsigned char *fake_dns_put(unsigned char *at, uint32_t number, int size)
{
    while (size-- > 0)
        *at++ = (unsigned char)(number >> (8 * size));
    return at;
}

static inline unsigned char *fake_dns_put_name(unsigned char *at, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        *at++ = (unsigned char)len;
        memcpy(at, name, len);
        at += len;
        name += len + (name[len] == '.');
    }
    *at++ = 0;
    return at;
}

static inline unsigned char *fake_dns_put_record(unsigned char *at,
                                                 const struct fake_dns_record *record)
{
    at = fake_dns_put(at, 0xc00c, 2); /* the name of the question */
    at = fake_dns_put(at, (uint32_t)record->type, 2);
    at = fake_dns_put(at, 1, 2);
    at = fake_dns_put(at, record->ttl_s, 4);
    unsigned char *data = at + 2, *end = data;
    if (record->type == FAKE_DNS_SRV) {
        unsigned priority, weight, port;
        char target[128];
        sscanf(record->value, "%u %u %u %127s", &priority, &weight, &port, target);
        end = fake_dns_put(end, priority, 2);
        end = fake_dns_put(end, weight, 2);
        end = fake_dns_put(end, port, 2);
        end = fake_dns_put_name(end, target);
    } else {
        bool is_v4 = record->type == FAKE_DNS_A;
        uv_inet_pton(is_v4 ? AF_INET : AF_INET6, record->value, data);
        end += is_v4 ? 4 : 16;
    }
    fake_dns_put(at, (uint32_t)(end - data), 2);
    return end;
}

/* Returns the answer's length; 0: none. */
static inline size_t fake_dns_respond(struct fake_dns *dns, const unsigned char *query, size_t len,
                                      unsigned char *answer)
{
    char name[256] = "";
    size_t at = 12, used = 0;
    dns->query_count++;
    while (at < len && query[at]) {
        memcpy(name + used, query + at + 1, query[at]);
        used += query[at];
        name[used++] = '.';
        at += query[at] + 1u;
    }
    if (used)
        name[used - 1] = '\0';
    int type = query[at + 1] << 8 | query[at + 2];
    size_t question_end = at + 5;
    dns->last_had_edns = query[11] > 0;
    if (dns->mood == FAKE_DNS_SILENT)
        return 0;

    memcpy(answer, query, question_end);
    unsigned char *end = answer + question_end;
    unsigned count = 0;
    bool exists = false;
    for (int i = 0; i < FAKE_DNS_MAX; i++) {
        const struct fake_dns_record *record = &dns->records[i];
        if (!record->name || strcmp(record->name, name) != 0)
            continue;
        exists = true;
        if (record->type == type) {
            end = fake_dns_put_record(end, record);
            count++;
        }
    }
    unsigned code = dns->mood == FAKE_DNS_SERVFAIL || dns->failing_type == type ? 2
                    : exists                                                    ? 0
                                                                                : 3;
    if (code) {
        count = 0;
        end = answer + question_end;
    }
    fake_dns_put(answer + 2, 0x8180 | code, 2);
    fake_dns_put(answer + 6, count, 2);
    fake_dns_put(answer + 8, 0, 4);
    return (size_t)(end - answer);
}

static inline void fake_dns_on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)size;
    struct fake_dns *dns = handle->data;
    *buf = uv_buf_init(dns->buffer, sizeof(dns->buffer));
}

static inline void fake_dns_on_query(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf,
                                     const struct sockaddr *from, unsigned flags)
{
    (void)flags;
    unsigned char answer[2048];
    if (len <= 12 || !from)
        return;
    size_t size =
        fake_dns_respond(udp->data, (const unsigned char *)buf->base, (size_t)len, answer);
    uv_buf_t out = uv_buf_init((char *)answer, (unsigned)size);
    if (size)
        uv_udp_try_send(udp, &out, 1, from);
}

static inline void fake_dns_on_client_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static inline void fake_dns_on_client_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)size;
    struct fake_dns_client *client = handle->data;
    *buf = uv_buf_init((char *)client->bytes + client->len,
                       (unsigned)(sizeof(client->bytes) - client->len));
}

static inline void fake_dns_on_client_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    (void)buf;
    struct fake_dns_client *client = stream->data;
    if (len < 0) {
        uv_close((uv_handle_t *)stream, fake_dns_on_client_closed);
        return;
    }
    client->len += (size_t)len;
    size_t size = client->len >= 2 ? (size_t)client->bytes[0] << 8 | client->bytes[1] : 0;
    if (size == 0 || client->len < size + 2)
        return;
    unsigned char answer[2048];
    client->dns->tcp_query_count++;
    size_t answer_len = fake_dns_respond(client->dns, client->bytes + 2, size, answer + 2);
    client->len = 0;
    if (answer_len == 0)
        return;
    fake_dns_put(answer, (uint32_t)answer_len, 2);
    uv_buf_t out = uv_buf_init((char *)answer, (unsigned)answer_len + 2);
    uv_try_write(stream, &out, 1);
}

static inline void fake_dns_on_connection(uv_stream_t *server, int status)
{
    (void)status;
    struct fake_dns_client *client = calloc(1, sizeof(*client));
    client->dns = server->data;
    uv_tcp_init(server->loop, &client->tcp);
    client->tcp.data = client;
    if (uv_accept(server, (uv_stream_t *)&client->tcp) || client->dns->refuses_tcp)
        uv_close((uv_handle_t *)&client->tcp, fake_dns_on_client_closed);
    else
        uv_read_start((uv_stream_t *)&client->tcp, fake_dns_on_client_alloc,
                      fake_dns_on_client_read);
}

/* A port that is free for both: the kernel only promises it for one. */
static inline int fake_dns_bind(struct fake_dns *dns, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int size = sizeof(address);
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, &dns->tcp);
    uv_udp_init(loop, &dns->udp);
    dns->tcp.data = dns->udp.data = dns;
    uv_tcp_bind(&dns->tcp, (struct sockaddr *)&address, 0);
    uv_listen((uv_stream_t *)&dns->tcp, 16, fake_dns_on_connection);
    uv_tcp_getsockname(&dns->tcp, (struct sockaddr *)&address, &size);
    snprintf(dns->servers, sizeof(dns->servers), "127.0.0.1:%d", ntohs(address.sin_port));
    return uv_udp_bind(&dns->udp, (struct sockaddr *)&address, 0);
}

static inline void fake_dns_close(struct fake_dns *dns)
{
    uv_close((uv_handle_t *)&dns->udp, NULL);
    uv_close((uv_handle_t *)&dns->tcp, NULL);
}

static inline void fake_dns_open(struct fake_dns *dns, uv_loop_t *loop)
{
    memset(dns, 0, sizeof(*dns));
    while (fake_dns_bind(dns, loop)) {
        fake_dns_close(dns);
        uv_run(loop, UV_RUN_NOWAIT);
    }
    uv_udp_recv_start(&dns->udp, fake_dns_on_alloc, fake_dns_on_query);
}

#endif
