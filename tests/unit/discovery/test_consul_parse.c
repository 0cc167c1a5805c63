#include "unit/test.h"

#include <stdlib.h>

#include <uv.h>

#include "discovery/consul_parse.h"

/* As Consul 1.13 answers, but for the meta data. */
static const char real_answer[] =
    "[{\"Node\":{\"ID\":\"6f1c\",\"Node\":\"n1\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc1\","
    "\"TaggedAddresses\":{\"lan\":\"10.0.0.1\"},\"Meta\":{\"consul-network-segment\":\"\"},"
    "\"CreateIndex\":13,\"ModifyIndex\":15},\"Service\":{\"ID\":\"web-1\",\"Service\":\"web\","
    "\"Tags\":[\"v2\"],\"Address\":\"10.0.0.7\",\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":"
    "\"10.0.0.7\",\"Port\":5001}},\"Meta\":null,\"Port\":5001,\"Weights\":{\"Passing\":10,"
    "\"Warning\":3},\"EnableTagOverride\":false,\"Proxy\":{\"Mode\":\"\",\"MeshGateway\":{},"
    "\"Expose\":{}},\"Connect\":{},\"CreateIndex\":17,\"ModifyIndex\":17},\"Checks\":[{\"Node\":"
    "\"n1\",\"CheckID\":\"serfHealth\",\"Name\":\"Serf Health Status\",\"Status\":\"passing\","
    "\"Notes\":\"\",\"Output\":\"Agent alive and reachable\",\"ServiceID\":\"\","
    "\"ServiceName\":\"\",\"ServiceTags\":[],\"Type\":\"\",\"Interval\":\"\",\"Timeout\":\"\","
    "\"ExposedPort\":0,\"Definition\":{},\"CreateIndex\":13,\"ModifyIndex\":13},{\"Node\":\"n1\","
    "\"CheckID\":\"service:web-1\",\"Name\":\"Service 'web' check\",\"Status\":\"critical\","
    "\"Notes\":\"\",\"Output\":\"HTTP GET http://10.0.0.7:5001/health: 500 INTERNAL SERVER ERROR "
    "Output: down\",\"ServiceID\":\"web-1\",\"ServiceName\":\"web\",\"ServiceTags\":[\"v2\"],"
    "\"Type\":\"http\"}]},"
    "{\"Node\":{\"Node\":\"n2\",\"Address\":\"fd00::2\",\"Datacenter\":\"dc1\"},\"Service\":{"
    "\"ID\":\"web-2\",\"Service\":\"web\",\"Tags\":null,\"Address\":\"\",\"Port\":5002},"
    "\"Checks\":[]}]";

static struct consul_answer answer;
static struct consul_view view;

static int parse(const char *body)
{
    return consul_parse(str_of(body), &view, &answer);
}

/* One entry with these parts. */
static int parse_entry(const char *service, const char *checks)
{
    char body[2048];
    snprintf(body, sizeof(body),
             "[{\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc1\"},"
             "\"Service\":{\"ID\":\"a\",\"Port\":80%s},\"Checks\":%s}]",
             service, checks);
    return parse(body);
}

static int teardown(void **state)
{
    (void)state;
    discovered_list_destroy(answer.list);
    answer.list = NULL;
    view = (struct consul_view){0};
    return 0;
}

static void expect_str(struct str s, const char *wanted)
{
    char *copy = str_dup(s);
    assert_string_equal(copy, wanted);
    free(copy);
}

TEST(a_real_answer_is_understood)
{
    assert_int_equal(parse(real_answer), 0);
    assert_int_equal(answer.bad_count, 0);
    assert_int_equal(answer.list->count, 2);
    const struct discovered *first = &answer.list->items[0], *second = &answer.list->items[1];
    expect_str(first->host, "10.0.0.7");
    expect_str(first->instance, "web-1");
    expect_str(first->node, "n1");
    expect_str(first->datacenter, "dc1");
    assert_int_equal(first->port, 5001);
    assert_int_equal(first->weight, 10);
    assert_int_equal(first->weight_warning, 3);
    assert_int_equal(first->status, DISCOVERED_CRITICAL);
    expect_str(first->why, "check 'service:web-1' is critical: HTTP GET "
                           "http://10.0.0.7:5001/health: 500 INTERNAL SERVER ERROR Output: down");
    assert_int_equal(first->address.any.sa_family, AF_INET);
    /* Without an address of its own it has the node's; without weights, one; without checks it is
     * fine. */
    expect_str(second->host, "fd00::2");
    assert_int_equal(second->address.any.sa_family, AF_INET6);
    assert_int_equal(second->weight, 1);
    assert_int_equal(second->weight_warning, 1);
    assert_int_equal(second->status, DISCOVERED_PASSING);
    assert_int_equal(second->why.len, 0);
}

TEST(the_worst_check_decides)
{
    static const struct {
        const char *checks;
        enum discovered_status status;
    } table[] = {
        {"[]", DISCOVERED_PASSING},
        {"null", DISCOVERED_PASSING},
        {"[{\"CheckID\":\"a\",\"Status\":\"passing\"}]", DISCOVERED_PASSING},
        {"[{\"CheckID\":\"a\",\"Status\":\"warning\"},{\"CheckID\":\"b\",\"Status\":\"passing\"}]",
         DISCOVERED_WARNING},
        {"[{\"CheckID\":\"a\",\"Status\":\"warning\"},{\"CheckID\":\"b\",\"Status\":\"critical\"}]",
         DISCOVERED_CRITICAL},
        {"[{\"CheckID\":\"serfHealth\",\"Status\":\"critical\"},"
         "{\"CheckID\":\"b\",\"Status\":\"passing\"}]",
         DISCOVERED_CRITICAL},
        {"[{\"CheckID\":\"a\",\"Status\":\"what?\"}]", DISCOVERED_CRITICAL},
        {"[{\"CheckID\":\"a\"}]", DISCOVERED_CRITICAL},
        {"[7, null]", DISCOVERED_CRITICAL},
        {"[{\"CheckID\":\"b\",\"Status\":\"critical\"},"
         "{\"CheckID\":\"_node_maintenance\",\"Status\":\"critical\"}]",
         DISCOVERED_MAINTENANCE},
        {"[{\"CheckID\":\"_service_maintenance:a\",\"Status\":\"critical\"},"
         "{\"CheckID\":\"b\",\"Status\":\"critical\"}]",
         DISCOVERED_MAINTENANCE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(parse_entry("", table[i].checks), 0);
        assert_int_equal(answer.list->items[0].status, table[i].status);
        teardown(NULL);
    }
}

TEST(maintenance_tells_its_reason)
{
    assert_int_equal(parse_entry("", "[{\"CheckID\":\"_service_maintenance:a\",\"Status\":"
                                     "\"critical\",\"Notes\":\"new disk\"}]"),
                     0);
    expect_str(answer.list->items[0].why, "maintenance: new disk");
}

TEST(a_long_output_is_cut_to_one_short_line)
{
    assert_int_equal(parse_entry("", "[{\"CheckID\":\"a\",\"Status\":\"critical\",\"Output\":"
                                     "\"first\\nsecond\"}]"),
                     0);
    expect_str(answer.list->items[0].why, "check 'a' is critical: first");
    teardown(NULL);

    char checks[1200] = "[{\"CheckID\":\"a\",\"Status\":\"critical\",\"Output\":\"";
    for (int i = 0; i < 300; i++)
        strcat(checks, "\xc3\xa4");
    strcat(checks, "\"}]");
    assert_int_equal(parse_entry("", checks), 0);
    assert_true(answer.list->items[0].why.len <= 150);
    assert_int_equal(answer.list->items[0].why.ptr[answer.list->items[0].why.len - 1], '\xa4');
}

TEST(weights_that_make_no_sense_are_one)
{
    static const struct {
        const char *service;
        uint32_t weight, warning;
    } table[] = {
        {"", 1, 1},
        {",\"Weights\":null", 1, 1},
        {",\"Weights\":{\"Passing\":0,\"Warning\":0}", 1, 0},
        {",\"Weights\":{\"Passing\":65535,\"Warning\":65535}", 65535, 65535},
        {",\"Weights\":{\"Passing\":65536,\"Warning\":-1}", 1, 1},
        {",\"Weights\":{\"Passing\":\"3\",\"Warning\":1.5}", 1, 1},
        {",\"Weights\":[2]", 1, 1},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(parse_entry(table[i].service, "[]"), 0);
        assert_int_equal(answer.list->items[0].weight, table[i].weight);
        assert_int_equal(answer.list->items[0].weight_warning, table[i].warning);
        teardown(NULL);
    }
}

#define GOOD "{\"Node\":{\"Address\":\"10.0.0.9\"},\"Service\":{\"ID\":\"good\",\"Port\":80}}"

TEST(an_entry_that_makes_no_sense_is_left_out_alone)
{
    static const char *const bad[] = {
        "null",
        "7",
        "{}",
        "{\"Service\":null}",
        "{\"Service\":{\"ID\":\"a\",\"Port\":80}}", /* no address at all */
        "{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"Port\":80}}",
        "{\"Node\":{\"Address\":7},\"Service\":{\"ID\":\"a\",\"Port\":80}}",
        "{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":\"a\",\"Port\":\"80\"}}",
        "{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":\"a\",\"Port\":-1}}",
        "{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":\"a\",\"Port\":65536}}",
        "{\"Node\":{\"Address\":\"10.0.0.1\\u0000x\"},\"Service\":{\"ID\":\"a\",\"Port\":1}}",
        "{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":\"a\",\"Port\":1},\"Checks\":7}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char body[1024];
        snprintf(body, sizeof(body), "[%s,%s]", bad[i], GOOD);
        assert_int_equal(parse(body), 0);
        assert_int_equal(answer.bad_count, 1);
        assert_true(answer.bad_reason[0] != '\0');
        assert_int_equal(answer.list->count, 1);
        expect_str(answer.list->items[0].instance, "good");
        teardown(NULL);
    }
}

TEST(an_answer_that_is_mostly_bad_is_not_believed)
{
    assert_int_equal(parse("[{},{}," GOOD "]"), UV_EINVAL);
    assert_null(answer.list);
    assert_int_equal(parse("[{}]"), UV_EINVAL);
}

TEST(what_is_no_array_is_not_believed)
{
    static const char *const bad[] = {
        "",
        " ",
        "null",
        "{}",
        "7",
        "\"x\"",
        "[",
        "[]]",
        "<html></html>",
        "[{\"Node\":{\"No",
        "[NaN]",
        "[\"\xff\"]",
        "Unexpected response code: 500",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i]), UV_EINVAL);
        assert_null(answer.list);
        assert_true(answer.bad_reason[0] != '\0');
    }
}

TEST(an_entry_whose_contents_are_broken_spoils_only_itself)
{
    static const char *const bad[] = {
        "{\"Service\":{\"ID\":\"\xff\"}}",
        "{\"Service\":{\"ID\":\"a\",\"Port\":99999999999999999999999}}",
        "{\"a\\u0000b\":1}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
        "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char body[1024];
        snprintf(body, sizeof(body), "[%s,%s]", bad[i], GOOD);
        assert_int_equal(parse(body), 0);
        assert_int_equal(answer.bad_count, 1);
        assert_string_equal(answer.bad_entry, "entry 1");
        assert_int_equal(answer.list->count, 1);
        teardown(NULL);
    }
}

TEST(a_bad_entry_is_named)
{
    assert_int_equal(parse("[" GOOD ",{\"Node\":{\"Node\":\"n1\"},\"Service\":{\"ID\":\"a\"}}]"),
                     0);
    assert_string_equal(answer.bad_entry, "n1/a");
    assert_string_equal(answer.bad_reason, "an entry has no address");
}

TEST(damaged_bytes_are_refused_whole)
{
    static const char *const bad[] = {
        "[" GOOD "," GOOD ",{\"Node\":tru}]",
        "[" GOOD "," GOOD ",{\"a\":1}{}]",
        "[" GOOD " " GOOD "]",
        "[" GOOD "," GOOD ",]",
        "[" GOOD "," GOOD ",,{}]",
        "[" GOOD "," GOOD ",{]}]",
        "[" GOOD "," GOOD "] x",
        "[" GOOD "," GOOD "][]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i]), UV_EINVAL);
        assert_null(answer.list);
        assert_true(answer.bad_reason[0] != '\0');
    }
}

TEST(an_answer_says_the_same_however_it_is_cut)
{
    for (size_t step = 1; step < 300; step += 7) {
        struct consul_parser parser;
        consul_parser_init(&parser, &view, NULL);
        for (size_t at = 0; at < sizeof(real_answer) - 1; at += step) {
            size_t left = sizeof(real_answer) - 1 - at;
            char *piece = malloc(step); /* a block of its own: sanitizers see who reads on */
            memcpy(piece, real_answer + at, left < step ? left : step);
            consul_parser_feed(&parser, str_make(piece, left < step ? left : step));
            free(piece);
        }
        assert_int_equal(consul_parser_end(&parser, &answer), 0);
        consul_parser_deinit(&parser);
        assert_int_equal(answer.list->count, 2);
        expect_str(answer.list->items[1].host, "fd00::2");
        teardown(NULL);
    }
}

static int parse_knowing(struct known_entries *known, const char *body)
{
    struct consul_parser parser;
    consul_parser_init(&parser, &view, known);
    consul_parser_feed(&parser, str_of(body));
    int rc = consul_parser_end(&parser, &answer);
    consul_parser_deinit(&parser);
    return rc;
}

TEST(what_was_read_before_is_not_parsed_again_and_what_has_changed_is)
{
    struct discovered_list *last = NULL;
    struct known_entries known;
    known_entries_init(&known, &last);
    assert_int_equal(parse_knowing(&known, real_answer), 0);
    last = answer.list;
    last->items[0].weight = 77; /* the mark of the old one */
    assert_int_equal(parse_knowing(&known, real_answer), 0);
    assert_int_equal(answer.list->count, 2);
    assert_int_equal(answer.list->items[0].weight, 77);
    expect_str(answer.list->items[1].host, "fd00::2");
    discovered_list_destroy(answer.list);

    char changed[sizeof(real_answer)];
    memcpy(changed, real_answer, sizeof(changed));
    memcpy(strstr(changed, "critical"), "passing\"", 8); /* and no JSON any more */
    assert_int_equal(parse_knowing(&known, changed), UV_EINVAL);
    memcpy(changed, real_answer, sizeof(changed));
    *strstr(changed, "10,\"Warning") = '2';
    assert_int_equal(parse_knowing(&known, changed), 0);
    assert_int_equal(answer.list->items[0].weight, 20);
    discovered_list_destroy(answer.list);

    /* What was changed since it was read is read anew. */
    last->items[0].fingerprint = 0;
    known.indexed = NULL;
    assert_int_equal(parse_knowing(&known, real_answer), 0);
    assert_int_equal(answer.list->items[0].weight, 10);
    discovered_list_destroy(last);
    known_entries_deinit(&known);
}

TEST(an_entry_that_is_too_large_is_left_out)
{
    size_t size = JSON_PIECE_MAX_BYTES + 100, len = 0;
    char *body = malloc(size + sizeof(GOOD) + 10);
    body[len++] = '[';
    body[len++] = '"';
    memset(body + len, 'x', size);
    len += size;
    len += (size_t)sprintf(body + len, "\",%s]", GOOD);
    struct consul_parser parser;
    consul_parser_init(&parser, &view, NULL);
    for (size_t at = 0; at < len; at += 65536)
        consul_parser_feed(&parser, str_make(body + at, len - at < 65536 ? len - at : 65536));
    assert_int_equal(consul_parser_end(&parser, &answer), 0);
    consul_parser_deinit(&parser);
    free(body);
    assert_int_equal(answer.bad_count, 1);
    assert_int_equal(answer.list->count, 1);
}

TEST(deep_nesting_is_refused)
{
    size_t depth = 100000;
    char *body = malloc(2 * depth + 1);
    memset(body, '[', depth);
    memset(body + depth, ']', depth);
    assert_int_equal(consul_parse(str_make(body, 2 * depth), &view, &answer), UV_EINVAL);
    free(body);
}

TEST(an_empty_array_is_an_answer)
{
    assert_int_equal(parse("[]"), 0);
    assert_int_equal(answer.list->count, 0);
}

TEST(every_cut_of_a_real_answer_is_refused)
{
    for (size_t len = 0; len < sizeof(real_answer) - 1; len++) {
        assert_int_equal(consul_parse(str_make(real_answer, len), &view, &answer), UV_EINVAL);
        assert_null(answer.list);
    }
}

TEST(a_tagged_address_is_used_where_there_is_one)
{
    static const struct {
        const char *kind, *service, *host;
        int port;
    } table[] = {
        {"wan", ",\"Address\":\"10.0.0.7\"", "10.0.0.7", 80},
        {"wan", ",\"TaggedAddresses\":{\"wan\":{\"Address\":\"1.2.3.4\",\"Port\":8080}}", "1.2.3.4",
         8080},
        {"wan", ",\"TaggedAddresses\":{\"wan\":{\"Address\":\"1.2.3.4\",\"Port\":0}}", "1.2.3.4",
         80},
        {"lan", ",\"TaggedAddresses\":{\"wan\":{\"Address\":\"1.2.3.4\",\"Port\":8080}}",
         "10.0.0.1", 80},
        {"wan", ",\"TaggedAddresses\":{\"wan\":7}", "10.0.0.1", 80},
        {"wan", ",\"TaggedAddresses\":null", "10.0.0.1", 80},
        {"", ",\"TaggedAddresses\":{\"\":{\"Address\":\"1.2.3.4\",\"Port\":8080}}", "10.0.0.1", 80},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        view.tagged_address = str_of(table[i].kind);
        assert_int_equal(parse_entry(table[i].service, "[]"), 0);
        expect_str(answer.list->items[0].host, table[i].host);
        assert_int_equal(answer.list->items[0].port, table[i].port);
        teardown(NULL);
    }
}

TEST(instances_with_an_excluded_tag_do_not_count)
{
    static const struct str excluded[] = {STR("canary"), STR("old")};
    static const struct {
        const char *service;
        uint32_t count;
    } table[] = {
        {"", 1},
        {",\"Tags\":null", 1},
        {",\"Tags\":[\"v2\",7,\"canary2\"]", 1},
        {",\"Tags\":[\"v2\",\"canary\"]", 0},
        {",\"Tags\":[\"old\"]", 0},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        view = (struct consul_view){.excluded_tags = excluded, .excluded_count = 2};
        assert_int_equal(parse_entry(table[i].service, "[]"), 0);
        assert_int_equal(answer.list->count, table[i].count);
        assert_int_equal(answer.bad_count, 0);
        teardown(NULL);
    }
}

TEST(an_instance_without_a_check_of_its_own_can_be_kept_out)
{
    static const struct {
        const char *checks;
        enum discovered_status status;
    } table[] = {
        {"[]", DISCOVERED_CRITICAL},
        {"[{\"CheckID\":\"serfHealth\",\"Status\":\"passing\",\"ServiceID\":\"\"}]",
         DISCOVERED_CRITICAL},
        {"[{\"CheckID\":\"c\",\"Status\":\"passing\",\"ServiceID\":\"a\"}]", DISCOVERED_PASSING},
        {"[{\"CheckID\":\"_node_maintenance\",\"Status\":\"critical\"}]", DISCOVERED_MAINTENANCE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        view.require_service_check = true;
        assert_int_equal(parse_entry("", table[i].checks), 0);
        assert_int_equal(answer.list->items[0].status, table[i].status);
        teardown(NULL);
    }
}

TEST(the_first_entries_left_out_are_named_and_all_are_counted)
{
    char body[8192];
    int len = snprintf(body, sizeof(body), "[");
    for (int i = 0; i < 20; i++) /* bad ones, and as many good ones */
        len += snprintf(body + len, sizeof(body) - (size_t)len,
                        "{\"Service\":{\"ID\":\"b%d\",\"Address\":\"10.0.0.1\",\"Port\":-1}},"
                        "{\"Service\":{\"ID\":\"g%d\",\"Address\":\"10.0.0.1\",\"Port\":1}}%s",
                        i, i, i < 19 ? "," : "]");
    assert_int_equal(parse(body), 0);
    assert_int_equal(answer.bad_count, 20);
    for (int i = 0; i < CONSUL_SKIPPED_MAX; i++) {
        char id[16];
        snprintf(id, sizeof(id), "/b%d", i);
        assert_string_equal(answer.skipped[i].entry, id);
        assert_string_equal(answer.skipped[i].why, "a port is out of range");
    }
}

#define TL(name) cmocka_unit_test_teardown(name, teardown)

RUN(TL(a_real_answer_is_understood), TL(the_worst_check_decides), TL(maintenance_tells_its_reason),
    TL(a_long_output_is_cut_to_one_short_line), TL(weights_that_make_no_sense_are_one),
    TL(an_entry_that_makes_no_sense_is_left_out_alone),
    TL(an_entry_whose_contents_are_broken_spoils_only_itself), TL(a_bad_entry_is_named),
    TL(damaged_bytes_are_refused_whole), TL(an_answer_says_the_same_however_it_is_cut),
    TL(what_was_read_before_is_not_parsed_again_and_what_has_changed_is),
    TL(an_entry_that_is_too_large_is_left_out), TL(an_answer_that_is_mostly_bad_is_not_believed),
    TL(what_is_no_array_is_not_believed), TL(deep_nesting_is_refused),
    TL(an_empty_array_is_an_answer), TL(every_cut_of_a_real_answer_is_refused),
    TL(a_tagged_address_is_used_where_there_is_one),
    TL(instances_with_an_excluded_tag_do_not_count),
    TL(an_instance_without_a_check_of_its_own_can_be_kept_out),
    TL(the_first_entries_left_out_are_named_and_all_are_counted))
