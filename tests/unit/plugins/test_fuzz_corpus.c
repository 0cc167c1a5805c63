/* Replays the corpus of the plugins' fuzz target. */
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_plugins
#include "fuzz/fuzz_plugins.c"
#undef LLVMFuzzerTestOneInput

static void requests_leave_whole_lines(void **state)
{
    (void)state;
    replay(fuzz_plugins, "plugins");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(requests_leave_whole_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
