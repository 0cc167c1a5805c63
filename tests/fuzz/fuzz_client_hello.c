/* A ClientHello of any bytes: read alike however it comes, never past its end. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/client_hello.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of just its size, so that a read past it is seen. */
static enum client_hello_result read_copy(const uint8_t *data, size_t size,
                                          struct client_hello *ret)
{
    char *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    enum client_hello_result result = client_hello_read(copy, size, ret);
    free(copy);
    return result;
}

/* The same message, in records of at most so many bytes. Returns their length; 0: no room. */
static size_t recut(const uint8_t *data, size_t size, size_t most, uint8_t *out, size_t room)
{
    size_t len = 0;
    for (size_t at = 0; at + 5 <= size;) {
        size_t record = (size_t)data[at + 3] << 8 | data[at + 4];
        if (record > size - at - 5)
            record = size - at - 5;
        for (size_t from = 0; from < record; from += most) {
            size_t part = record - from < most ? record - from : most;
            if (len + 5 + part > room)
                return 0;
            memcpy(out + len, data + at, 3);
            out[len + 3] = (uint8_t)(part >> 8);
            out[len + 4] = (uint8_t)part;
            memcpy(out + len + 5, data + at + 5 + from, part);
            len += 5 + part;
        }
        at += 5 + record;
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_hello whole, part;
    enum client_hello_result result = read_copy(data, size, &whole);
    MUST(result != CLIENT_HELLO_MORE || size < CLIENT_HELLO_MAX_BYTES);
    MUST((result == CLIENT_HELLO_REFUSED) == (whole.why != NULL));
    MUST(whole.name_len <= CLIENT_HELLO_NAME_BYTES);
    MUST(result == CLIENT_HELLO_DONE || whole.name_len == 0);
    for (size_t i = 0; i < whole.name_len; i++)
        MUST(whole.name[i] > ' ' && whole.name[i] < 0x7f &&
             whole.name[i] == str_lower_char(whole.name[i]));
    for (size_t len = 0; len < size && len < 2000; len++) {
        enum client_hello_result early = read_copy(data, len, &part);
        if (early != CLIENT_HELLO_MORE) {
            MUST(early == result);
            MUST(str_equal(client_hello_name(&part), client_hello_name(&whole)));
            break;
        }
    }
    uint8_t out[CLIENT_HELLO_MAX_BYTES];
    size_t len = result == CLIENT_HELLO_DONE ? recut(data, size, 7, out, sizeof(out)) : 0;
    if (len > 0) {
        MUST(read_copy(out, len, &part) == CLIENT_HELLO_DONE);
        MUST(str_equal(client_hello_name(&part), client_hello_name(&whole)));
    }
    return 0;
}
