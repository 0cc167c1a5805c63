/* A PROXY protocol header of any bytes: read alike however it comes, never past its end. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy_protocol.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of just its size, so that a read past it is seen. */
static enum proxy_protocol_result read_copy(const uint8_t *data, size_t size,
                                            struct proxy_protocol *ret)
{
    char *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    enum proxy_protocol_result result = proxy_protocol_read(copy, size, ret);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_protocol whole, part;
    enum proxy_protocol_result result = read_copy(data, size, &whole);
    MUST(result != PROXY_PROTOCOL_MORE || size < PROXY_PROTOCOL_MAX_BYTES);
    if (result == PROXY_PROTOCOL_DONE) {
        MUST(whole.len > 0 && whole.len <= size && whole.len <= PROXY_PROTOCOL_MAX_BYTES);
        MUST(!whole.has_client || whole.client.any.sa_family == AF_INET ||
             whole.client.any.sa_family == AF_INET6);
    }
    for (size_t len = 0; len < size && len < 300; len++) {
        enum proxy_protocol_result early = read_copy(data, len, &part);
        if (early != PROXY_PROTOCOL_MORE) {
            MUST(early == result);
            MUST(early == PROXY_PROTOCOL_REFUSED || part.len == whole.len);
            break;
        }
    }
    return 0;
}
