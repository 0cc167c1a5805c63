/* A response of any bytes, to a GET and to a HEAD. */
#include "fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(FEED_RESPONSE_TO_HEAD, data, size);
    return fuzz_message(FEED_RESPONSE, data, size);
}
