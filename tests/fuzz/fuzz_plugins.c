/* A request of any bytes, through every plugin that does its work: each leaves whole lines, a
 * status that is one or none, and a query that may stand in a request. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "http/http1.h"
#include "model/config.h"
#include "plugins/registry.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define CONSUMER "00000000-0000-0000-0000-00000000000a"
#define OWNED "{\"id\":\"" CONSUMER "\",\"consumer\":{\"id\":\"" CONSUMER "\"},"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *plugin;
    const char *config;
} configured[] = {
    {"correlation-id", "{\"header_name\":\"X-Id\",\"echo_downstream\":true}"},
    {"cors", "{\"origins\":[\"https://a.test\",\"(.*[.])?b[.]test\"],\"credentials\":true}"},
    {"jwt", "{\"uri_param_names\":[\"jwt\"],\"cookie_names\":[\"c\"],"
            "\"header_names\":[\"authorization\"],\"claims_to_verify\":[\"exp\",\"nbf\"]}"},
    {"key-auth", "{\"key_names\":[\"apikey\"],\"key_in_header\":true,\"key_in_query\":true,"
                 "\"hide_credentials\":true,\"anonymous\":\"ann\"}"},
    {"basic-auth", "{\"hide_credentials\":true,\"realm\":\"r\"}"},
    {"hmac-auth", "{\"clock_skew\":4e9,\"algorithms\":[\"hmac-sha256\"]}"},
    {"rate-limiting", "{\"year\":1000000000,\"limit_by\":\"header\",\"header_name\":\"X-Who\"}"},
    {"request-size-limiting", "{\"allowed_payload_size\":1,\"size_unit\":\"kilobytes\"}"},
    {"request-transformer",
     "{\"remove\":{\"querystring\":[\"gone\"],\"headers\":[\"X-Gone\"]},"
     "\"rename\":{\"querystring\":[\"old:new\"],\"headers\":[\"X-Old:X-New\"]},"
     "\"add\":{\"querystring\":[\"a:$(headers.x)\"],\"headers\":[\"X-A:$(query_params.a)\"]},"
     "\"replace\":{\"uri\":\"/$(query_params.p)\",\"headers\":[\"host:$(headers.x)\"]}}"},
    {"response-transformer", "{\"add\":{\"headers\":[\"X-A:1\"]},"
                             "\"rename\":{\"headers\":[\"X-Old:X-New\"]}}"},
};

static struct consumers *make_consumers(void)
{
    static const char *const rows[][2] = {
        {"consumers", "{\"id\":\"" CONSUMER "\",\"username\":\"ann\"}"},
        {"keyauth_credentials", OWNED "\"key\":\"k\"}"},
        {"basicauth_credentials", OWNED "\"username\":\"u\",\"password\":\"00\"}"},
        {"jwt_secrets", OWNED "\"key\":\"j\",\"secret\":\"s\",\"algorithm\":\"HS256\"}"},
        {"hmacauth_credentials", OWNED "\"username\":\"u\",\"secret\":\"s\"}"},
    };
    struct config *config;
    struct consumers *made;
    MUST(config_create(&config) == 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        MUST(config_load(config, rows[i][0], CONSUMER, rows[i][1]) == 0);
    MUST(consumers_create(config, NULL, &made) == 0);
    config_destroy(config);
    return made;
}

/* Each line ends, and nothing else does. */
static void check_lines(struct str lines)
{
    for (size_t i = 0; i < lines.len; i++) {
        if (lines.ptr[i] == '\r')
            MUST(i + 1 < lines.len && lines.ptr[i + 1] == '\n');
        if (lines.ptr[i] == '\n')
            MUST(i > 0 && lines.ptr[i - 1] == '\r');
    }
    MUST(lines.len == 0 || lines.ptr[lines.len - 1] == '\n');
}

static void try_plugin(const char *name, const char *text, struct plugin_request *request)
{
    const struct plugin *plugin = plugins_find(str_of(name));
    struct plugin_effect effect = {.status = 0};
    const void *compiled;
    json_t *config = json_loads(text, 0, NULL), *row = json_object();
    MUST(config && plugin->compile(row, config, request->arena, &compiled) == 0);
    struct plugin_response response = {.status = 200, .lines = &effect.response_lines};
    if (plugin->access)
        plugin->access(compiled, request, &effect);
    if (plugin->respond)
        plugin->respond(compiled, request, &effect, &response);
    MUST(effect.status == 0 || (effect.status >= 200 && effect.status < 600));
    MUST(!effect.credential || effect.consumer);
    check_lines(effect.request_lines);
    check_lines(effect.response_lines);
    check_lines(effect.answer_lines);
    MUST(effect.path.len == 0 || effect.path.ptr[0] == '/');
    for (size_t i = 0; i < request->uri->query.len; i++)
        MUST((unsigned char)request->uri->query.ptr[i] > 0x20);
    json_decref(config);
    json_decref(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct consumers *consumers;
    static const struct route route = {.protocols = PROTOCOL_HTTP};
    if (!consumers)
        consumers = make_consumers();
    for (size_t i = 0; i < sizeof(configured) / sizeof(configured[0]); i++) {
        struct http1_parser parser;
        struct http_head head;
        struct uri uri;
        struct arena arena;
        struct random_state random = {{1, 2, 3, 4}};
        http1_begin_request(&parser, &head, 8192);
        if (http1_read_head(&parser, (const char *)data, size) != HTTP1_DONE ||
            !uri_parse(http_span_str(&head, head.target), &uri))
            return 0;
        arena_init(&arena, 4096, 1 << 20);
        struct plugin_request request = {.head = &head,
                                         .uri = &uri,
                                         .path = uri.path,
                                         .client = STR("192.0.2.1"),
                                         .route = &route,
                                         .consumers = consumers,
                                         .request_id = "0123456789abcdef0123456789abcdef",
                                         .random = &random,
                                         .arena = &arena};
        try_plugin(configured[i].plugin, configured[i].config, &request);
        arena_deinit(&arena);
    }
    return 0;
}
