/* A request of any bytes: the parser says the same of it however it is cut, and decodes its body as
 * llhttp does. */
#include "fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_message(FEED_REQUEST, data, size);
}
