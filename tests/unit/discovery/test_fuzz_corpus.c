/* Replays the corpora of discovery's fuzz targets. */
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_consul
#include "fuzz/fuzz_consul.c"
#undef LLVMFuzzerTestOneInput
#undef MUST
#define LLVMFuzzerTestOneInput fuzz_dns
#include "fuzz/fuzz_dns.c"
#undef LLVMFuzzerTestOneInput

static void answers_stay_within_their_bounds(void **state)
{
    (void)state;
    replay(fuzz_consul, "consul");
}

static void dns_answers_stay_within_their_bounds(void **state)
{
    (void)state;
    replay(fuzz_dns, "dns");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_stay_within_their_bounds),
                                       cmocka_unit_test(dns_answers_stay_within_their_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
