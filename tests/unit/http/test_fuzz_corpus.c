/* Replays the corpora of HTTP's fuzz targets. */
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_request
#include "fuzz/fuzz_request.c"
#undef LLVMFuzzerTestOneInput
#undef MUST
#define LLVMFuzzerTestOneInput fuzz_response
#include "fuzz/fuzz_response.c"
#undef LLVMFuzzerTestOneInput
#undef MUST
#define LLVMFuzzerTestOneInput fuzz_uri
#include "fuzz/fuzz_uri.c"
#undef LLVMFuzzerTestOneInput
#undef MUST
#define LLVMFuzzerTestOneInput fuzz_http2
#include "fuzz/fuzz_http2.c"
#undef LLVMFuzzerTestOneInput
#undef MUST
#define LLVMFuzzerTestOneInput fuzz_http2_client
#include "fuzz/fuzz_http2_client.c"
#undef LLVMFuzzerTestOneInput

static void requests_are_read_alike_however_they_come(void **state)
{
    (void)state;
    replay(fuzz_request, "request");
}

static void responses_are_read_alike_however_they_come(void **state)
{
    (void)state;
    replay(fuzz_response, "response");
}

static void targets_stay_within_their_bounds(void **state)
{
    (void)state;
    replay(fuzz_uri, "uri");
}

static void sessions_of_http_2_stay_within_their_bounds(void **state)
{
    (void)state;
    replay(fuzz_http2, "http2");
}

static void a_targets_bytes_stay_within_their_bounds(void **state)
{
    (void)state;
    replay(fuzz_http2_client, "http2_client");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_alike_however_they_come),
        cmocka_unit_test(responses_are_read_alike_however_they_come),
        cmocka_unit_test(targets_stay_within_their_bounds),
        cmocka_unit_test(sessions_of_http_2_stay_within_their_bounds),
        cmocka_unit_test(a_targets_bytes_stay_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
