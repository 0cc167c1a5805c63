#include "control/descriptors.h"

#include <sys/resource.h>

#include "base/log.h"

/* Consul's watches share at most 128 sockets; the rest is for the Admin API, probes, the database,
 * DNS and files. */
#define RESERVE 512u
#define FEW_CLIENTS 1000u

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint32_t per_worker(uint64_t total, unsigned workers)
{
    uint64_t share = total / workers;
    return share < 1 ? 1 : (uint32_t)smaller(share, UINT32_MAX);
}

struct descriptor_shares descriptors_divide(uint64_t files, unsigned workers,
                                            uint32_t max_connections, uint32_t pool_size)
{
    uint64_t left = files - smaller(RESERVE, files / 4);
    uint64_t idle = smaller((uint64_t)pool_size * workers, left / 4);
    uint64_t clients = (left - idle) / 2;
    if (max_connections)
        clients = smaller(clients, max_connections);
    return (struct descriptor_shares){
        .clients = per_worker(clients, workers),
        .idle_upstreams = pool_size ? per_worker(idle, workers) : 0,
    };
}

static uint64_t raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 1024;
    rlim_t was = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (was != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit)) {
        log_warn("the limit of open files cannot be raised", LOG_INT("limit", was));
        limit.rlim_cur = was;
    }
    return limit.rlim_cur;
}

struct descriptor_shares descriptors_take(unsigned workers, uint32_t max_connections,
                                          uint32_t pool_size)
{
    uint64_t files = raise_limit();
    struct descriptor_shares shares =
        descriptors_divide(files, workers, max_connections, pool_size);
    uint64_t clients = (uint64_t)shares.clients * workers;
    if (clients + workers <= max_connections || (!max_connections && clients < FEW_CLIENTS))
        log_warn("the limit of open files allows few clients: raise it (ulimit -n, LimitNOFILE)",
                 LOG_INT("open_files", files), LOG_INT("connections", clients));
    return shares;
}
