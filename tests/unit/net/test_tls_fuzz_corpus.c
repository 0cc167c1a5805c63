/* Replays the corpus of the fuzz target of handshakes. */
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_tls_handshake
#include "fuzz/fuzz_tls_handshake.c"
#undef LLVMFuzzerTestOneInput

static void a_client_of_any_bytes_gets_no_further_than_it_may(void **state)
{
    (void)state;
    setenv("WEIR_FUZZ_MUTATIONS", "20", 0); /* a handshake takes a millisecond */
    replay(fuzz_tls_handshake, "tls_handshake");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_of_any_bytes_gets_no_further_than_it_may)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
