/* Replays the corpora of control's fuzz targets. */
#include "fuzz/replay.h"

#include "fuzz/fuzz_acme.c"

#include "unit/test.h"

TEST(no_answer_of_an_authority_breaks_what_reads_it)
{
    replay(LLVMFuzzerTestOneInput, "acme");
    free(good_cert);
    tls_wipe_text(good_key);
}

RUN(T(no_answer_of_an_authority_breaks_what_reads_it))
