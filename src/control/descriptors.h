/* descriptors.h - who may have how many of the process's open files.
 *
 * Thread: control; start-up. */
#ifndef CONTROL_DESCRIPTORS_H
#define CONTROL_DESCRIPTORS_H

#include <stdint.h>

struct descriptor_shares {
    uint32_t clients;        /* connections of clients, each worker's */
    uint32_t idle_upstreams; /* connections to targets that are kept, each worker's */
};

/* Divides `files`, the limit of open files. max_connections (0: no wish) and pool_size are what was
 * asked for; the shares are never more. A client's connection needs one to a target beside it, and
 * a part is kept back for Consul, the Admin API, probes, the database and logs. Each share is at
 * least one for each of `workers`. */
struct descriptor_shares descriptors_divide(uint64_t files, unsigned workers,
                                            uint32_t max_connections, uint32_t pool_size);

/* Raises the process's limit as far as it may, divides it, and says so when that is less than was
 * asked for, or little. */
struct descriptor_shares descriptors_take(unsigned workers, uint32_t max_connections,
                                          uint32_t pool_size);

#endif
