/* probe_https.c - probes over TLS, by libcurl: it knows certificates, names and time-outs. */
#include "health/probe.h"

#include <stdlib.h>

#include "health/probe_curl.h"

/* The status is all that counts: the body's first byte ends the transfer. */
static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * count == 0 ? 0 : CURL_WRITEFUNC_ERROR;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    return probe_curl_count_head(arg, size * count);
}

static struct probe_result read_result(const struct probe_curl *p, CURLcode code)
{
    long status = 0;
    curl_easy_getinfo(p->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status <= 999 && (code == CURLE_OK || code == CURLE_WRITE_ERROR))
        return (struct probe_result){PROBE_ANSWERED, (uint16_t)status, NULL};
    return probe_curl_failure(code);
}

int probe_start_https(struct curl_loop *curl, const struct health_rules *rules,
                      const struct target_state *target, probe_done_cb done, void *arg,
                      struct probe **ret)
{
    struct probe_curl *p = calloc(1, sizeof(*p));
    if (!p)
        return UV_ENOMEM;
    p->read_result = read_result;
    if (probe_curl_prepare(p, curl, rules, target, "https", rules->path, done, arg))
        goto fail;
    CURL *easy = p->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, p);
    if (probe_curl_start(p))
        goto fail;
    *ret = &p->probe;
    return 0;
fail:
    probe_curl_destroy(p);
    return UV_ENOMEM;
}
