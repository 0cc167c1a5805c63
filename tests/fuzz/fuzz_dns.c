/* Any bytes as the answer to a question for SRV records: what is read from them is within its
 * bounds, and makes targets. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/dns_partial.h"
#include "discovery/dns_srv.h"
#include "net/dns_message.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_services(const struct dns_services *found, size_t size)
{
    MUST(found->count <= size / 11);
    for (unsigned i = 0; i < found->count; i++) {
        const char *host = found->items[i].host;
        MUST(strlen(host) < 255);
        MUST(strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(host));
    }
    MUST(found->ttl_s <= 0x7fffffff);
}

static void check_targets(const struct dns_services *found)
{
    const struct resolver_services services = {
        .items = found->items, .count = found->count, .ttl_s = found->ttl_s};
    struct discovered_list *list, *merged;
    struct dns_partial partial = {0};
    MUST(dns_srv_list(&services, STR("web.service.consul"), &list) == 0);
    MUST(list->count <= found->count);
    for (uint32_t i = 0; i < list->count; i++)
        MUST(list->items[i].host.len > 0 && list->items[i].weight > 0);
    MUST(dns_partial_merge(&partial, list, list, 1, &merged) == 0);
    MUST(discovered_list_equal(list, merged));
    dns_partial_deinit(&partial);
    discovered_list_destroy(merged);
    discovered_list_destroy(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct dns_services found;
    arena_init(&arena, 4096, 16u << 20);
    if (dns_message_read_services(data, size, &arena, &found) == 0) {
        check_services(&found, size);
        check_targets(&found);
    }
    arena_deinit(&arena);
    return 0;
}
