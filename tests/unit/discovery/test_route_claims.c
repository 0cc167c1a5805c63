#include "unit/test.h"

#include "discovery/route_claims.h"

static char text[ROUTE_CLAIMS_BYTES];

/* The claims of a service with these tags and meta, as JSON. */
static struct str read_claims(const char *json)
{
    json_t *service = json_loads(json, 0, NULL);
    assert_non_null(service);
    struct str lines = route_claims_read(service, text);
    json_decref(service);
    return lines;
}

static void expect(const char *json, const char *wanted)
{
    struct str lines = read_claims(json);
    if (!str_equal(lines, str_of(wanted)))
        fail_msg("%s: got '%.*s', not '%s'", json, STR_ARG(lines), wanted);
}

TEST(tags_are_claims)
{
    expect("{\"Tags\": [\"v1\", \"weir.route=/users\"]}", "* /users * http * 0 00\n");
    expect("{\"Tags\": [\"weir.route=a.test/x methods=GET,PUT  strip=true priority=-3\"]}",
           "a.test /x GET,PUT http * -3 10\n");
    expect("{\"Tags\": [\"weir.route=a.test\", \"weir.route=~/u/\\\\d+\"]}",
           "a.test / * http * 0 00\n* ~/u/\\d+ * http * 0 00\n");
}

TEST(fabios_tags_are_claims)
{
    expect("{\"Tags\": [\"urlprefix-/a/b strip=/a proto=https host=dst\"]}",
           "* /a/b * https /b 0 11\n");
    expect("{\"Tags\": [\"urlprefix-a.test/ weight=0.25\"]}", "a.test / * http * 0 00\t2500\n");
}

TEST(options_of_their_own_count_for_all_of_weirs_routes)
{
    expect("{\"Tags\": [\"weir.route=/a\", \"weir.methods=GET\", \"weir.host=h\", "
           "\"urlprefix-/b\", \"weir.strip=1\"]}",
           "h /a GET http * 0 10\n* /b * http * 0 00\n");
}

TEST(meta_counts_where_it_names_a_route_or_a_tag_says_so)
{
    expect("{\"Tags\": [], \"Meta\": {\"weir-route\": \"/a\", \"weir-methods\": \"GET\"}}",
           "* /a GET http * 0 00\n");
    expect("{\"Tags\": [], \"Meta\": {\"weir-methods\": \"GET\", \"weird\": \"/a\"}}", "");
    expect("{\"Tags\": [\"weir\"], \"Meta\": {\"weir-route\": \"/a\", \"weir_route_2\": \"/b\", "
           "\"weir-priority\": \"7\"}}",
           "* /a * http * 7 00\n* /b * http * 7 00\n");
}

TEST(what_is_no_route_is_said)
{
    static const char *const bad[] = {"urlprefix-:80 proto=tcp",
                                      "urlprefix-/x proto=tcp",
                                      "urlprefix-/x auth=a",
                                      "urlprefix-/x strip=/y",
                                      "weir.route=",
                                      "weir.route=/x weight=2",
                                      "weir.route=/x methods=g",
                                      "weir.route=/x methods=,",
                                      "weir.route=/x methods=GET,",
                                      "weir.route=/xy strip=/x",
                                      "weir.route=/x\\n/y",
                                      "weir.route=/x priority=1.5"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char json[200];
        snprintf(json, sizeof(json), "{\"Tags\": [\"%s\"]}", bad[i]);
        struct str lines = read_claims(json);
        if (lines.len == 0 || lines.ptr[0] != '!' || strchr(lines.ptr, '\n')[1] == '*')
            fail_msg("%s: got '%.*s'", bad[i], STR_ARG(lines));
    }
}

TEST(an_option_that_nobody_knows_is_said_and_passed_over)
{
    struct str lines = read_claims("{\"Tags\": [\"weir.route=/x colour=blue\"]}");
    assert_true(str_starts_with(lines, STR("!'colour=blue' is an option")));
    assert_true(str_ends_with(lines, STR("\n* /x * http * 0 00\n")));
}

TEST(a_claim_that_is_made_twice_is_one)
{
    expect("{\"Tags\": [\"urlprefix-/x weight=0.5\", \"weir.route=/x\", \"weir.route=/y\", "
           "\"weir.route=/x weight=0.1\"]}",
           "* /x * http * 0 00\t5000\n* /y * http * 0 00\n");
}

TEST(a_part_to_strip_is_of_whole_segments)
{
    expect("{\"Tags\": [\"weir.route=/a/b strip=/a/\", \"weir.route=/c strip=/\"]}",
           "* /a/b * http /b 0 10\n* /c * http * 0 00\n");
}

TEST(too_much_is_cut_and_said)
{
    json_t *tags = json_array();
    for (int i = 0; i < 2000; i++)
        json_array_append_new(tags, json_sprintf("weir.route=/%0*d", 1 + i % 900, i));
    json_t *service = json_pack("{s:o}", "Tags", tags);
    struct str lines = route_claims_read(service, text);
    json_decref(service);
    assert_in_range(lines.len, 1000, ROUTE_CLAIMS_BYTES);
    assert_int_equal(lines.ptr[lines.len - 1], '\n');
    assert_true(str_ends_with(
        lines, STR("\n!the tags after these: they claim more than weir reads of one instance\n")));
}

TEST(a_line_is_read_as_it_was_written)
{
    struct route_claim claim;
    uint32_t share;
    struct str lines = read_claims(
        "{\"Tags\": [\"weir.route=/x\", \"weir.route=h.test/a/b strip=/a methods=GET priority=9 "
        "proto=https preserve_host=no weight=0.5\"]}");
    struct str rest = lines;
    str_cut(&rest, '\n');
    struct str key = route_claims_key(str_cut(&rest, '\n'), &share);
    assert_int_equal(share, 5000);
    route_claims_parse(key, &claim);
    assert_true(str_equal(claim.host, STR("h.test")) && str_equal(claim.path, STR("/a/b")));
    assert_true(str_equal(claim.methods, STR("GET")) && str_equal(claim.protocol, STR("https")));
    assert_true(str_equal(claim.to, STR("/b")) && claim.strips && claim.loses_host);
    assert_int_equal(claim.priority, 9);
    assert_true(route_claims_find(lines, key, &share));
    assert_int_equal(share, 5000);
    assert_false(route_claims_find(lines, STR("* /y * http * 0 00"), &share));
    assert_int_equal(share, 0);
}

RUN(cmocka_unit_test(tags_are_claims), cmocka_unit_test(fabios_tags_are_claims),
    cmocka_unit_test(options_of_their_own_count_for_all_of_weirs_routes),
    cmocka_unit_test(meta_counts_where_it_names_a_route_or_a_tag_says_so),
    cmocka_unit_test(what_is_no_route_is_said),
    cmocka_unit_test(an_option_that_nobody_knows_is_said_and_passed_over),
    cmocka_unit_test(a_claim_that_is_made_twice_is_one),
    cmocka_unit_test(a_part_to_strip_is_of_whole_segments),
    cmocka_unit_test(too_much_is_cut_and_said), cmocka_unit_test(a_line_is_read_as_it_was_written))
