#include "plugins/edits.h"

#include "unit/model/rows.h"
#include "unit/plugins/plugins.h"

#define HEAD(target) "GET " target " HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\n"

/* What is left of the head, and the lines beside it. */
static void makes(enum edits_of of, const char *config, const char *left, const char *lines_wanted)
{
    struct seen seen;
    struct edits edits;
    struct str lines = STR_EMPTY;
    char text[64] = "";
    json_t *json = parse(config);
    seen_init(&seen, HEAD("/"));
    assert_int_equal(edits_compile(json, of, &seen.arena, &edits), 0);
    plugin_add_line(&seen.arena, &lines, STR("L"), STR("9"));
    edits_apply_to_head(&edits, edits_render(&edits, &seen.request, lines), &seen.arena, &seen.head,
                        &lines);
    for (unsigned i = 1; i < seen.head.field_count; i++)
        if (!seen.head.fields[i].is_hop_by_hop)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s",
                     STR_ARG(http_field_value(&seen.head, &seen.head.fields[i])));
    assert_string_equal(text, left);
    assert_str(lines, lines_wanted);
    json_decref(json);
    seen_deinit(&seen);
}

TEST(fields_are_edited_in_kongs_order)
{
    enum edits_of of = EDITS_OF_REQUEST;
    makes(of, "{'remove':{'headers':['a','L']}}", "2", "");
    makes(of, "{'rename':{'headers':['A:C','none:D']}}", "2", "L: 9\r\nC: 1\r\nC: 3\r\n");
    makes(of, "{'rename':{'headers':['L:B']}}", "13", "B: 9\r\n");
    makes(of, "{'rename':{'headers':['a:A']}}", "123", "L: 9\r\n");
    makes(of, "{'replace':{'headers':['a:x:y','c:z']}}", "2", "L: 9\r\na: x:y\r\n");
    makes(of, "{'add':{'headers':['B:x','C:z']}}", "123", "L: 9\r\nC: z\r\n");
    makes(of, "{'append':{'headers':['B:x','B:y']}}", "123", "L: 9\r\nB: x\r\nB: y\r\n");
    makes(of,
          "{'append':{'headers':['E:4']},'add':{'headers':['A:3','E:3']},"
          "'rename':{'headers':['B:D']},'replace':{'headers':['D:2']},'remove':{'headers':['A']}}",
          "", "L: 9\r\nD: 2\r\nA: 3\r\nE: 3\r\nE: 4\r\n");
}

TEST(what_frames_a_message_is_left_alone)
{
    static const char config[] = "{'remove':{'headers':['Content-Length','Host']},"
                                 "'add':{'headers':['Transfer-Encoding:chunked','C:1']},"
                                 "'rename':{'headers':['A:Connection']}}";
    json_t *json = parse(config);
    makes(EDITS_OF_REQUEST, config, "123", "L: 9\r\nC: 1\r\n");
    assert_false(edits_are_understood(json, EDITS_OF_REQUEST));
    json_decref(json);
}

/* 'A' gets the name that the argument says; `left` is empty where it does. */
static void renames(const char *argument, const char *left, const char *lines_wanted)
{
    struct seen seen;
    struct edits edits;
    struct str lines = STR_EMPTY;
    char bytes[256];
    json_t *json = parse("{'rename':{'headers':['A:$(query_params.n)']}}");
    snprintf(bytes, sizeof(bytes), "GET /?n=%s HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n", argument);
    seen_init(&seen, bytes);
    assert_int_equal(edits_compile(json, EDITS_OF_REQUEST, &seen.arena, &edits), 0);
    edits_apply_to_head(&edits, edits_render(&edits, &seen.request, lines), &seen.arena, &seen.head,
                        &lines);
    assert_int_equal(seen.head.fields[1].is_hop_by_hop, left[0] == '\0');
    assert_str(lines, lines_wanted);
    json_decref(json);
    seen_deinit(&seen);
}

TEST(a_name_that_a_request_chooses_can_only_be_a_plain_one)
{
    static const char *const bad[] = {
        "X:%201%0D%0AEvil",
        "X%0AY",
        "X%00",
        "X%20Y",
        "",
        "Transfer-Encoding",
        "Host",
        "host",
        "Content-length",
        "Connection",
        "X-Consumer-ID",
        "x_consumer_username",
        "X-Credential-Identifier",
        "X_Anonymous-Consumer",
        "X-Consumer-Groups",
    };
    renames("X-Fine", "", "X-Fine: 1\r\n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        renames(bad[i], "1", "");
    makes(EDITS_OF_REQUEST, "{'rename':{'headers':['B:X-Consumer-ID']}}", "13",
          "L: 9\r\nX-Consumer-ID: 2\r\n");
    makes(EDITS_OF_RESPONSE, "{'rename':{'headers':['B:C D']},'add':{'headers':['E F:1']}}", "123",
          "L: 9\r\n");
}

TEST(a_value_of_a_response_is_no_template)
{
    makes(EDITS_OF_RESPONSE, "{'add':{'headers':['C:$(headers.a)']}}", "123",
          "L: 9\r\nC: $(headers.a)\r\n");
    makes(EDITS_OF_REQUEST, "{'add':{'headers':['C:$(headers.a)','D:$(os)']}}", "123",
          "L: 9\r\nC: 1\r\n");
}

static void makes_query(const char *config, const char *target, const char *wanted)
{
    struct seen seen;
    struct edits edits;
    char bytes[256];
    json_t *json = parse(config);
    snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target);
    seen_init(&seen, bytes);
    assert_int_equal(edits_compile(json, EDITS_OF_QUERY, &seen.arena, &edits), 0);
    edits_apply_to_query(&edits, edits_render(&edits, &seen.request, STR_EMPTY), &seen.request);
    assert_str(seen.uri.query, wanted);
    json_decref(json);
    seen_deinit(&seen);
}

TEST(arguments_are_edited_and_the_others_stay_as_they_were)
{
    makes_query("{'remove':{'querystring':['a']}}", "/?a=1&b=%7e&%61", "b=%7e");
    makes_query("{'remove':{'querystring':['a']}}", "/?a=1", "");
    makes_query("{'remove':{'querystring':['x']}}", "/", "");
    makes_query("{'rename':{'querystring':['a:c d','x:b']}}", "/?a=1&b&c+d=2&a", "c%20d=1&b&c%20d");
    makes_query("{'replace':{'querystring':['a:&=','x:1']}}", "/?b=1&a=2&a=3", "b=1&a=%26%3D");
    makes_query("{'add':{'querystring':['a:9','c:$(query_params.b)']}}", "/?a&b=%26",
                "a&b=%26&c=%26");
    makes_query("{'append':{'querystring':['a:9','c:8']}}", "/?a=1", "a=1&a=9&c=8");
}

RUN(T(fields_are_edited_in_kongs_order), T(what_frames_a_message_is_left_alone),
    T(a_name_that_a_request_chooses_can_only_be_a_plain_one),
    T(a_value_of_a_response_is_no_template),
    T(arguments_are_edited_and_the_others_stay_as_they_were))
