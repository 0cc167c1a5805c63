/* Counters, histograms, tallies, and the text that Prometheus reads. */
#include "unit/test.h"

#include <stdio.h>
#include <string.h>

#include "base/metrics_text.h"
#include "base/tally.h"

static const uint32_t bounds[] = {1, 10, 100};
static const struct metrics_shape shape = {bounds, 3};

static struct metrics_text text;

static int setup(void **state)
{
    (void)state;
    metrics_text_init(&text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    metrics_text_deinit(&text);
    return 0;
}

static void assert_text(const char *expected)
{
    assert_false(text.has_failed);
    assert_int_equal(buf_append(&text.buf, "", 1), 0);
    assert_string_equal(buf_str(&text.buf).ptr, expected);
}

TEST(a_value_falls_into_the_first_bucket_that_holds_it)
{
    metrics_cell cells[METRICS_CELLS(3)] = {0};
    static const uint64_t values[] = {0, 1, 2, 10, 11, 100, 101, 5000};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        metrics_observe(shape, cells, values[i]);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(metrics_read(&cells[i]), 2);
    assert_int_equal(metrics_read(&cells[4]), 0 + 1 + 2 + 10 + 11 + 100 + 101 + 5000);
}

TEST(buckets_are_printed_cumulative_and_in_the_familys_unit)
{
    static const uint64_t cells[METRICS_CELLS(3)] = {2, 0, 1, 4, 1500};
    metrics_text_family(&text, "a_seconds", METRICS_HISTOGRAM, "Helps.");
    metrics_text_histogram(&text, &(struct metrics_label){"k", STR("v")}, 1, shape, cells, 1e-3);
    assert_text("# HELP a_seconds Helps.\n# TYPE a_seconds histogram\n"
                "a_seconds_bucket{k=\"v\",le=\"0.001\"} 2\n"
                "a_seconds_bucket{k=\"v\",le=\"0.01\"} 2\n"
                "a_seconds_bucket{k=\"v\",le=\"0.1\"} 3\n"
                "a_seconds_bucket{k=\"v\",le=\"+Inf\"} 7\n"
                "a_seconds_count{k=\"v\"} 7\n"
                "a_seconds_sum{k=\"v\"} 1.5\n");
}

TEST(large_counts_keep_every_digit)
{
    metrics_text_family(&text, "a", METRICS_COUNTER, "h");
    metrics_text_count(&text, NULL, 0, UINT64_MAX);
    metrics_text_real(&text, NULL, 0, 1760000000.125);
    assert_text("# HELP a h\n# TYPE a counter\na 18446744073709551615\na 1760000000.125\n");
}

TEST(label_values_are_escaped_and_always_utf8)
{
    static const struct {
        struct str value;
        const char *printed;
    } table[] = {
        {STR("a\"b"), "a\\\"b"},
        {STR("a\\b"), "a\\\\b"},
        {STR("a\nb"), "a\\nb"},
        {STR("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f"},
        {STR("a\xff"), "a?"},
        {STR("\xc3"), "?"},                /* cut */
        {STR("\xc0\xaf"), "??"},           /* overlong */
        {STR("\xed\xa0\x80"), "???"},      /* a surrogate */
        {STR("\xf4\x90\x80\x80"), "????"}, /* beyond Unicode */
        {STR("\xf0\x9f\x8c\x8a"), "\xf0\x9f\x8c\x8a"},
        {STR_EMPTY, ""},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char expected[128];
        buf_clear(&text.buf);
        metrics_text_family(&text, "a", METRICS_GAUGE, "h");
        metrics_text_count(&text, &(struct metrics_label){"k", table[i].value}, 1, 1);
        snprintf(expected, sizeof(expected), "# HELP a h\n# TYPE a gauge\na{k=\"%s\"} 1\n",
                 table[i].printed);
        assert_text(expected);
    }
}

TEST(a_long_label_is_cut)
{
    char long_text[5000];
    memset(long_text, '"', sizeof(long_text));
    metrics_text_family(&text, "a", METRICS_GAUGE, "h");
    metrics_text_count(&text, &(struct metrics_label){"k", str_make(long_text, sizeof(long_text))},
                       1, 1);
    assert_true(buf_len(&text.buf) < 1200);
}

TEST(a_tally_counts_by_code_and_text)
{
    static struct tally tally;
    memset(&tally, 0, sizeof(tally));
    tally_count(&tally, 400, STR("bad"));
    tally_count(&tally, 400, STR("bad"));
    tally_count(&tally, 431, STR("bad"));
    tally_count(&tally, 400, STR("ba"));
    tally_count(&tally, 400, STR_EMPTY);
    assert_int_equal(tally.row_count, 4);
    assert_int_equal(metrics_read(&tally.rows[0].count), 2);
    assert_string_equal(tally.rows[2].text, "ba");
    assert_string_equal(tally.rows[3].text, "none");
}

TEST(texts_beyond_a_tallys_rows_share_one_count)
{
    static struct tally tally, sum;
    memset(&tally, 0, sizeof(tally));
    memset(&sum, 0, sizeof(sum));
    for (int i = 0; i < TALLY_ROWS + 10; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%d", i);
        tally_count(&tally, 1, str_of(name));
    }
    assert_int_equal(tally.row_count, TALLY_ROWS);
    assert_int_equal(metrics_read(&tally.others), 10);
    tally_add(&sum, &tally);
    tally_add(&sum, &tally);
    assert_int_equal(metrics_read(&sum.rows[5].count), 2);
    assert_int_equal(metrics_read(&sum.others), 20);
}

TEST(a_long_text_is_cut_and_found_again)
{
    static struct tally tally;
    char long_text[300];
    memset(&tally, 0, sizeof(tally));
    memset(long_text, 'x', sizeof(long_text));
    tally_count(&tally, 1, str_make(long_text, sizeof(long_text)));
    tally_count(&tally, 1, str_make(long_text, sizeof(long_text)));
    assert_int_equal(tally.row_count, 1);
    assert_int_equal(strlen(tally.rows[0].text), TALLY_TEXT_BYTES - 1);
}

#define TM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TM(a_value_falls_into_the_first_bucket_that_holds_it),
    TM(buckets_are_printed_cumulative_and_in_the_familys_unit), TM(large_counts_keep_every_digit),
    TM(label_values_are_escaped_and_always_utf8), TM(a_long_label_is_cut),
    TM(a_tally_counts_by_code_and_text), TM(texts_beyond_a_tallys_rows_share_one_count),
    TM(a_long_text_is_cut_and_found_again))
