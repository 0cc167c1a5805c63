#include "proxy/handshake_limit.h"

#include <stdlib.h>

#include <uv.h>

#include "base/rate_limit.h"
#include "base/siphash.h"
#include "net/cidr.h"

#define CLIENT_BUCKETS 16384
#define LOG_EVERY_MS 1000

struct handshake_limit {
    uv_mutex_t lock; /* guards all below; held for a few additions a handshake */
    struct siphash_key key;
    struct rate_limit all, clients;
    struct rate_bucket all_bucket;
    struct rate_bucket client_buckets[CLIENT_BUCKETS];
    bool has_logged;
    uint64_t logged_at_ms;
    uint64_t unlogged;
};

int handshake_limit_create(uint32_t per_s, uint32_t per_client_s, struct handshake_limit **ret)
{
    struct handshake_limit *limit = calloc(1, sizeof(*limit));
    if (!limit)
        return UV_ENOMEM;
    int rc = uv_mutex_init(&limit->lock);
    if (rc) {
        free(limit);
        return rc;
    }
    limit->key = siphash_random_key();
    limit->all = (struct rate_limit){per_s, 1, &limit->all_bucket};
    limit->clients = (struct rate_limit){per_client_s, CLIENT_BUCKETS, limit->client_buckets};
    *ret = limit;
    return 0;
}

void handshake_limit_destroy(struct handshake_limit *limit)
{
    if (!limit)
        return;
    uv_mutex_destroy(&limit->lock);
    free(limit);
}

static uint64_t hash(const struct handshake_limit *limit, struct str text)
{
    struct cidr_address address;
    if (!cidr_read_address(text, &address))
        return siphash(&limit->key, text);
    const char *bytes = (const char *)address.bytes;
    bool is_v4 = cidr_is_v4(&address);
    return siphash(&limit->key, is_v4 ? str_make(bytes + 12, 4) : str_make(bytes, 8));
}

/* The client's own limit comes first, so that who is over it takes nothing from the others. */
enum handshake_verdict handshake_limit_take(struct handshake_limit *limit, struct str address,
                                            bool is_trusted, uint64_t now_ms)
{
    bool is_told_apart = limit->clients.per_s > 0 && !is_trusted;
    uint64_t client = is_told_apart ? hash(limit, address) : 0;
    enum handshake_verdict verdict = HANDSHAKE_MAY;
    uv_mutex_lock(&limit->lock);
    if (is_told_apart && !rate_limit_take(&limit->clients, client, now_ms))
        verdict = HANDSHAKE_CLIENT_RATE;
    else if (!rate_limit_take(&limit->all, 0, now_ms))
        verdict = HANDSHAKE_RATE;
    uv_mutex_unlock(&limit->lock);
    return verdict;
}

bool handshake_limit_may_log(struct handshake_limit *limit, uint64_t now_ms, uint64_t *ret_unlogged)
{
    uv_mutex_lock(&limit->lock);
    bool may = !limit->has_logged || now_ms >= limit->logged_at_ms + LOG_EVERY_MS;
    if (may) {
        *ret_unlogged = limit->unlogged;
        limit->unlogged = 0;
        limit->logged_at_ms = now_ms;
        limit->has_logged = true;
    } else {
        limit->unlogged++;
    }
    uv_mutex_unlock(&limit->lock);
    return may;
}
