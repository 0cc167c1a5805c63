/* probe_grpc.c - probes by gRPC's health protocol, over HTTP/2 with TLS or without, by libcurl. */
#include "health/probe.h"

#include <stdlib.h>
#include <string.h>

#include "health/grpc_health.h"
#include "health/probe_curl.h"

#define STATUS_UNIMPLEMENTED 12 /* gRPC's */
#define STATUS_ABSENT UINT64_MAX

struct grpc_probe {
    struct probe_curl base; /* first */
    uint8_t request[GRPC_HEALTH_MAX_REQUEST];
    uint8_t response[GRPC_HEALTH_MAX_RESPONSE];
    size_t response_len;
    uint64_t grpc_status; /* of the trailers, or of a head without a message */
};

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct grpc_probe *p = arg;
    size_t len = size * count;
    if (len > sizeof(p->response) - p->response_len)
        return len == 0 ? 0 : CURL_WRITEFUNC_ERROR;
    memcpy(p->response + p->response_len, bytes, len);
    p->response_len += len;
    return len;
}

/* Trailers come here too. */
static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct grpc_probe *p = arg;
    size_t len = size * count;
    struct str line = str_make(bytes, len), value = str_cut(&line, '\r');
    struct str name = str_cut(&value, ':');
    uint64_t status;
    if (str_equal_nocase(str_trim(name), STR("grpc-status")) &&
        str_to_u64(str_trim(value), &status))
        p->grpc_status = status;
    return probe_curl_count_head(&p->base, len);
}

static struct probe_result not_serving(const char *why, uint64_t status)
{
    return (struct probe_result){PROBE_NOT_SERVING, status < 1000 ? (uint16_t)status : 999, why};
}

/* A server without the health service answers UNIMPLEMENTED. It answers, so it is taken for well,
 * as gRPC's own clients do. */
static struct probe_result read_answer(const struct grpc_probe *p)
{
    static const char *const words[] = {
        [GRPC_HEALTH_UNKNOWN] = "UNKNOWN",
        [GRPC_HEALTH_NOT_SERVING] = "NOT_SERVING",
        [GRPC_HEALTH_SERVICE_UNKNOWN] = "SERVICE_UNKNOWN",
        [GRPC_HEALTH_OTHER] = "what is no status of gRPC's",
    };
    enum grpc_health_status status;
    if (p->grpc_status == STATUS_UNIMPLEMENTED)
        return (struct probe_result){PROBE_SERVING, 0, NULL};
    if (p->grpc_status != 0)
        return not_serving("ended with gRPC status", p->grpc_status);
    if (!grpc_health_read_response(p->response, p->response_len, &status))
        return (struct probe_result){PROBE_GARBAGE, 0, "no message of gRPC's health protocol"};
    if (status == GRPC_HEALTH_SERVING)
        return (struct probe_result){PROBE_SERVING, 0, NULL};
    return not_serving(words[status], 0);
}

static struct probe_result read_result(const struct probe_curl *base, CURLcode code)
{
    const struct grpc_probe *p = (const struct grpc_probe *)base;
    long http_status = 0;
    curl_easy_getinfo(base->transfer.easy, CURLINFO_RESPONSE_CODE, &http_status);
    if (p->grpc_status != STATUS_ABSENT && http_status == 200 && code != CURLE_WRITE_ERROR)
        return read_answer(p); /* however the stream ended after it */
    if (code != CURLE_OK)
        return probe_curl_failure(code);
    if (http_status != 200)
        return not_serving("answered HTTP status", (uint64_t)http_status);
    return (struct probe_result){PROBE_GARBAGE, 0, "no gRPC status"};
}

int probe_start_grpc(struct curl_loop *curl, const struct health_rules *rules,
                     const struct target_state *target, probe_done_cb done, void *arg,
                     struct probe **ret)
{
    struct grpc_probe *p = calloc(1, sizeof(*p));
    if (!p)
        return UV_ENOMEM;
    bool has_tls = rules->type == CHECK_GRPCS;
    p->base.read_result = read_result;
    p->grpc_status = STATUS_ABSENT;
    if (probe_curl_prepare(&p->base, curl, rules, target, has_tls ? "https" : "http",
                           GRPC_HEALTH_PATH, done, arg) ||
        probe_curl_add_header(&p->base, "Content-Type: application/grpc") ||
        probe_curl_add_header(&p->base, "TE: trailers"))
        goto fail;
    CURL *easy = p->base.transfer.easy;
    struct str service = rules->grpc_service ? str_of(rules->grpc_service) : STR_EMPTY;
    size_t len = grpc_health_write_request(service, p->request);
    /* With TLS it is negotiated; without, it is known beforehand. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     has_tls ? (long)CURL_HTTP_VERSION_2TLS
                             : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)len);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, p->request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, p);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, p);
    if (probe_curl_start(&p->base))
        goto fail;
    *ret = &p->base.probe;
    return 0;
fail:
    probe_curl_destroy(&p->base);
    return UV_ENOMEM;
}
