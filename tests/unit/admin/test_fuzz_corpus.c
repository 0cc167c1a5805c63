/* Replays the corpora of the Admin API's fuzz targets. */
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_declarative
#include "fuzz/fuzz_declarative.c"
#undef LLVMFuzzerTestOneInput
#undef MUST
#define LLVMFuzzerTestOneInput fuzz_form
#include "fuzz/fuzz_form.c"
#undef LLVMFuzzerTestOneInput

static void files_are_read_or_refused(void **state)
{
    (void)state;
    replay(fuzz_declarative, "declarative");
}

static void bodies_are_read_or_refused(void **state)
{
    (void)state;
    replay(fuzz_form, "form");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_are_read_or_refused),
                                       cmocka_unit_test(bodies_are_read_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
