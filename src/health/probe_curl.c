#include "health/probe_curl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#define MAX_HEAD_BYTES (16 * 1024) /* of an answer, trailers with it */

static int add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer)
        return UV_ENOMEM;
    *list = longer;
    return 0;
}

static int add_headers(struct probe_curl *p, const struct health_rules *rules,
                       const struct target_state *target)
{
    char host[512];
    snprintf(host, sizeof(host), "Host: %s", rules->host ? rules->host : target->host);
    int rc = add_line(&p->headers, host);
    char *lines = strdup(rules->header_lines), *rest = NULL;
    if (!lines)
        return UV_ENOMEM;
    for (char *line = strtok_r(lines, "\r\n", &rest); line && !rc;
         line = strtok_r(NULL, "\r\n", &rest))
        rc = add_line(&p->headers, line);
    free(lines);
    return rc;
}

/* The URL has the name that the certificate must be for, which is sent as SNI too; where it leads
 * is said beside it. */
static int set_address(struct probe_curl *p, const struct health_rules *rules,
                       const struct target_state *target, const char *scheme, const char *path)
{
    CURL *easy = p->transfer.easy;
    char url[4096], where[700], ip[INET6_ADDRSTRLEN] = "";
    bool is_ipv6 = target->address.any.sa_family == AF_INET6;
    const char *name = rules->sni ? rules->sni : target->host;
    bool is_bare_ipv6 = strchr(name, ':') && name[0] != '[';
    if (is_ipv6)
        uv_ip6_name(&target->address.v6, ip, sizeof(ip));
    else
        uv_ip4_name(&target->address.v4, ip, sizeof(ip));
    snprintf(url, sizeof(url), is_bare_ipv6 ? "%s://[%s]:%u%s" : "%s://%s:%u%s", scheme, name,
             target->port, path);
    snprintf(where, sizeof(where), is_ipv6 ? "::[%s]:%u" : "::%s:%u", ip, target->port);
    if (add_line(&p->addresses, where))
        return UV_ENOMEM;
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, p->addresses);
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK ? 0 : UV_ENOMEM;
}

int probe_curl_add_header(struct probe_curl *p, const char *line)
{
    return add_line(&p->headers, line);
}

static void cancel(struct probe *probe)
{
    struct probe_curl *p = (struct probe_curl *)probe;
    curl_loop_cancel(p->curl, &p->transfer);
    probe_curl_destroy(p);
}

static void on_done(struct curl_transfer *transfer, CURLcode code)
{
    struct probe_curl *p =
        (struct probe_curl *)(void *)((char *)transfer - offsetof(struct probe_curl, transfer));
    struct probe_result result = {PROBE_GARBAGE, 0, "its answer's head is too long"};
    if (p->head_bytes <= MAX_HEAD_BYTES)
        result = p->read_result(p, code);
    probe_done_cb done = p->probe.done;
    void *arg = p->probe.arg;
    probe_curl_destroy(p);
    done(arg, &result);
}

int probe_curl_prepare(struct probe_curl *p, struct curl_loop *curl,
                       const struct health_rules *rules, const struct target_state *target,
                       const char *scheme, const char *path, probe_done_cb done, void *arg)
{
    p->probe = (struct probe){cancel, done, arg};
    p->curl = curl;
    p->transfer.done = on_done;
    CURL *easy = p->transfer.easy = curl_easy_init();
    if (!easy || add_headers(p, rules, target) || set_address(p, rules, target, scheme, path))
        return UV_ENOMEM;
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "weir/" WEIR_VERSION " (health check)");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, scheme);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, rules->verify_certificate ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, rules->verify_certificate ? 2L : 0L);
    if (rules->client_cert) {
        struct curl_blob cert = {rules->client_cert, strlen(rules->client_cert), CURL_BLOB_COPY};
        struct curl_blob key = {rules->client_key, strlen(rules->client_key), CURL_BLOB_COPY};
        if (curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &cert) ||
            curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key))
            return UV_ENOMEM;
    }
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)rules->timeout_ms);
    return 0;
}

int probe_curl_start(struct probe_curl *p)
{
    curl_easy_setopt(p->transfer.easy, CURLOPT_HTTPHEADER, p->headers);
    return curl_loop_start(p->curl, &p->transfer) ? UV_ENOMEM : 0;
}

void probe_curl_destroy(struct probe_curl *p)
{
    curl_easy_cleanup(p->transfer.easy);
    curl_slist_free_all(p->headers);
    curl_slist_free_all(p->addresses);
    free(p);
}

size_t probe_curl_count_head(struct probe_curl *p, size_t len)
{
    p->head_bytes += len;
    return p->head_bytes > MAX_HEAD_BYTES ? 0 : len;
}

struct probe_result probe_curl_failure(CURLcode code)
{
    const char *why = curl_easy_strerror(code);
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return (struct probe_result){PROBE_TIMED_OUT, 0, why};
    case CURLE_OK:
    case CURLE_WRITE_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return (struct probe_result){PROBE_GARBAGE, 0, why};
    default:
        return (struct probe_result){PROBE_FAILED, 0, why};
    }
}
