#include "control/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "control/setting.h"

#define LIST(...) ((char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct options options;
static struct error err;

static int read_all(char **flags, char **environment)
{
    options_deinit(&options);
    err = (struct error){"", ""};
    return options_init(&options, flags, environment, &err);
}

#define FLAGS(...) read_all(LIST(__VA_ARGS__), LIST("HOME=/home/jane"))
#define VARIABLES(...) read_all(LIST(), LIST("HOME=/home/jane", __VA_ARGS__))

static int forget(void **state)
{
    (void)state;
    options_deinit(&options);
    return 0;
}

/* A file with `text`; the caller unlinks it. */
static void write_file(char path[64], const char *text)
{
    snprintf(path, 64, "/tmp/weir-test-options-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void without_settings_the_defaults_are_in_force(void **state)
{
    (void)state;
    assert_int_equal(FLAGS(), 0);
    assert_int_equal(options.proxy_listener_count, 1);
    assert_string_equal(options.proxy_listeners[0].text, "0.0.0.0:8000");
    assert_string_equal(options.admin_listeners[0].text, "127.0.0.1:8001");
    assert_string_equal(options.consul_url, "http://127.0.0.1:8500");
    assert_null(options.consul_token);
    assert_null(options.dns_servers);
    assert_in_range(options.workers, 1, OPTIONS_WORKERS_MAX);
    assert_int_equal(options.log_level, LOG_INFO);
    assert_string_equal(options.access_log_path, "/dev/stdout");
    assert_int_equal(options.max_head_bytes, 32768);
    assert_int_equal(options.max_body_bytes, 0);
    assert_int_equal(options.stop_timeout_ms, 30000);
    assert_int_equal(options.client_header_timeout_ms, 60000);
    assert_int_equal(options.client_idle_timeout_ms, 75000);
    assert_int_equal(options.client_body_timeout_ms, 60000);
    assert_int_equal(options.upstream_pool_size, 512);
    assert_int_equal(options.upstream_max_requests, 10000);
    assert_int_equal(options.upstream_idle_timeout_ms, 60000);
    assert_true(options.add_latency_headers);
}

static void data_goes_to_the_home_of_a_user(void **state)
{
    (void)state;
    const char *expected = geteuid() == 0 ? "/var/lib/weir" : "/home/jane/.local/share/weir";
    assert_int_equal(FLAGS(), 0);
    assert_string_equal(options.data_dir, expected);
    assert_int_equal(VARIABLES("XDG_DATA_HOME=/data/jane"), 0);
    assert_string_equal(options.data_dir, geteuid() == 0 ? "/var/lib/weir" : "/data/jane/weir");
    assert_int_equal(FLAGS("--data-dir", "/tmp/x"), 0);
    assert_string_equal(options.data_dir, "/tmp/x");
}

static void the_stronger_source_wins(void **state)
{
    (void)state;
    char path[64], variable[96];
    write_file(path, "workers = 2\n");
    snprintf(variable, sizeof(variable), "WEIR_CONFIG=%s", path);

    assert_int_equal(VARIABLES(variable), 0);
    assert_int_equal(options.workers, 2);
    assert_int_equal(VARIABLES(variable, "KONG_NGINX_WORKER_PROCESSES=3"), 0);
    assert_int_equal(options.workers, 3);
    assert_int_equal(VARIABLES(variable, "WEIR_WORKERS=4", "KONG_NGINX_WORKER_PROCESSES=3"), 0);
    assert_int_equal(options.workers, 4);
    assert_int_equal(
        read_all(LIST("--workers=5"), LIST(variable, "HOME=/home/jane", "WEIR_WORKERS=4")), 0);
    assert_int_equal(options.workers, 5);
    unlink(path);
}

static void consuls_own_variables_are_read_where_ours_are_not_set(void **state)
{
    (void)state;
    assert_int_equal(
        VARIABLES("CONSUL_HTTP_ADDR=https://consul:8501/", "CONSUL_HTTP_TOKEN=their-token"), 0);
    assert_string_equal(options.consul_url, "https://consul:8501");
    assert_string_equal(options.consul_token, "their-token");
    assert_int_equal(VARIABLES("CONSUL_HTTP_ADDR=consul:8501", "WEIR_CONSUL_ADDR=[::1]:8500",
                               "WEIR_CONSUL_TOKEN=our-token"),
                     0);
    assert_string_equal(options.consul_url, "http://[::1]:8500");
    assert_string_equal(options.consul_token, "our-token");
    assert_int_equal(VARIABLES("CONSUL_HTTP_ADDR=consul:8501", "WEIR_CONSUL_ADDR=off"), 0);
    assert_null(options.consul_url);
}

static void an_empty_value_counts_as_not_set(void **state)
{
    (void)state;
    assert_int_equal(VARIABLES("WEIR_WORKERS=", "KONG_NGINX_WORKER_PROCESSES=3"), 0);
    assert_int_equal(options.workers, 3);
    assert_int_equal(read_all(LIST("--workers="), LIST("HOME=/", "WEIR_WORKERS=4")), 0);
    assert_int_equal(options.workers, 4);
}

static void flags_take_their_value_in_both_forms(void **state)
{
    (void)state;
    assert_int_equal(FLAGS("--proxy-listen", "127.0.0.1:1", "--admin_listen=off", "--workers=2"),
                     0);
    assert_string_equal(options.proxy_listeners[0].text, "127.0.0.1:1");
    assert_int_equal(options.admin_listener_count, 0);
    assert_int_equal(options.workers, 2);
}

static void a_file_is_read_as_kong_reads_its_own(void **state)
{
    (void)state;
    char path[64];
    write_file(path, "# weir\n"
                     "\n"
                     "proxy_listen = 127.0.0.1:9000 reuseport   # a comment\r\n"
                     "  weir_max_body=10m\n"
                     "consul_token = a#b\n"
                     "stop_timeout = 1.25");
    assert_int_equal(FLAGS("-c", path), 0);
    assert_string_equal(options.proxy_listeners[0].text, "127.0.0.1:9000");
    assert_int_equal(options.max_body_bytes, 10 << 20);
    assert_string_equal(options.consul_token, "a#b");
    assert_int_equal(options.stop_timeout_ms, 1250);
    unlink(path);
}

static void an_error_in_a_file_says_where(void **state)
{
    (void)state;
    char path[64], expected[128];
    write_file(path, "\nworkers = many\n");
    assert_int_equal(FLAGS("-c", path), UV_EINVAL);
    snprintf(expected, sizeof(expected), "must be 1 to 64 or auto, not \"many\" (%s, line 2)",
             path);
    assert_string_equal(err.field, "workers");
    assert_string_equal(err.sentence, expected);
    unlink(path);

    write_file(path, "wrokers = 2\n");
    assert_int_equal(FLAGS("-c", path), UV_EINVAL);
    snprintf(expected, sizeof(expected), "is not a setting; did you mean workers? (%s, line 1)",
             path);
    assert_string_equal(err.field, "wrokers");
    assert_string_equal(err.sentence, expected);
    unlink(path);

    write_file(path, "workers\n");
    assert_int_equal(FLAGS("-c", path), UV_EINVAL);
    assert_string_equal(err.field, path);
    assert_string_equal(err.sentence, "line 1 must be `name = value`");
    unlink(path);

    write_file(path, "config = x\n");
    assert_int_equal(FLAGS("-c", path), UV_EINVAL);
    unlink(path);

    assert_int_equal(FLAGS("-c", "/nonexistent"), UV_ENOENT);
    assert_string_equal(err.field, "-c");
    assert_string_equal(err.sentence, "can't read /nonexistent: no such file or directory");
    assert_int_equal(FLAGS("-c", "/"), UV_EISDIR);
}

static void unknown_names_are_errors_with_a_suggestion(void **state)
{
    (void)state;
    assert_int_equal(VARIABLES("WEIR_PROXY_LISTN=x"), UV_EINVAL);
    assert_string_equal(err.field, "WEIR_PROXY_LISTN");
    assert_string_equal(err.sentence, "is not a setting; did you mean WEIR_PROXY_LISTEN?");
    assert_int_equal(FLAGS("--proxy-liste=x"), UV_EINVAL);
    assert_string_equal(err.field, "--proxy-liste");
    assert_string_equal(err.sentence, "is not a setting; did you mean --proxy-listen?");
    assert_int_equal(FLAGS("--something-else", "x"), UV_EINVAL);
    assert_string_equal(err.sentence, "is not a setting; `weir run --help` lists them all");
    assert_int_equal(FLAGS("start"), UV_EINVAL);
    assert_string_equal(err.field, "start");
    assert_int_equal(FLAGS("--workers"), UV_EINVAL);
    assert_string_equal(err.sentence, "needs a value: COUNT");
}

static void variables_of_others_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(VARIABLES("KONG_PG_RO_HOST=db", "KONG_NGINX_DAEMON=off", "KONG_PLUGINS=x"), 0);
    assert_int_equal(VARIABLES("WEIR_SERVICE_HOST=10.0.0.1", "WEIR_SERVICE_PORT_HTTP=80",
                               "WEIR_PORT=tcp://10.0.0.1:80", "WEIR_PORT_80_TCP_ADDR=10.0.0.1",
                               "WEIR_ADMIN_PORT_80_TCP=tcp://10.0.0.1:80"),
                     0);
}

static void an_error_is_one_line_that_names_the_variable_and_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        char *variable;
        const char *field, *sentence;
    } cases[] = {
        {"WEIR_WORKERS=x", "WEIR_WORKERS", "must be 1 to 64 or auto, not \"x\""},
        {"WEIR_WORKERS=0", "WEIR_WORKERS", "must be 1 to 64 or auto, not \"0\""},
        {"WEIR_WORKERS=65", "WEIR_WORKERS", "must be 1 to 64 or auto, not \"65\""},
        {"WEIR_DATABASE=mysql", "WEIR_DATABASE", "must be sqlite, postgres or off, not \"mysql\""},
        {"WEIR_PG_PORT=0", "WEIR_PG_PORT", "must be 1 to 65535, not \"0\""},
        {"WEIR_PG_SCHEMA=Weir; --", "WEIR_PG_SCHEMA",
         "must be at most 48 lower-case letters, digits and underscores, not beginning with a "
         "digit, not \"Weir; --\""},
        {"KONG_PG_SSL=maybe", "KONG_PG_SSL", "must be on or off, not \"maybe\""},
        {"KONG_PG_TIMEOUT=5s", "KONG_PG_TIMEOUT", "must be 100 to 600000 milliseconds, not \"5s\""},
        {"WEIR_MIGRATE=yes", "WEIR_MIGRATE", "must be auto or off, not \"yes\""},
        {"KONG_PROXY_LISTEN=0.0.0.0:8000, 0.0.0.0:8443 http3 ssl", "KONG_PROXY_LISTEN",
         "\"http3\" in \"0.0.0.0:8443 http3 ssl\" is not built yet; leave this address out"},
        {"KONG_ADMIN_LISTEN=127.0.0.1:8001 http2", "KONG_ADMIN_LISTEN",
         "http2 without ssl is for proxy_listen only"},
        {"WEIR_CONSUL_TOKEN=se cret", "WEIR_CONSUL_TOKEN",
         "must be text without spaces and control characters"},
        {"WEIR_LOG_LEVEL=loud", "WEIR_LOG_LEVEL",
         "must be debug, info, notice, warn, error, crit, alert or emerg, not \"loud\""},
        {"KONG_HEADERS=X-Kong-Upstream-Status", "KONG_HEADERS",
         "must be a comma list of server_tokens, X-Kong-Request-Id and, if wanted, latency_tokens, "
         "not \"X-Kong-Upstream-Status\""},
        {"KONG_HEADERS=off", "KONG_HEADERS",
         "\"off\" is not built yet; must be a comma list of server_tokens, X-Kong-Request-Id and, "
         "if wanted, latency_tokens"},
        {"KONG_PROXY_ACCESS_LOG=/dev/stdout json", "KONG_PROXY_ACCESS_LOG",
         "must be a path without spaces, or off, not \"/dev/stdout json\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (VARIABLES(cases[i].variable) != UV_EINVAL)
            fail_msg("accepted: %s", cases[i].variable);
        assert_string_equal(err.field, cases[i].field);
        assert_string_equal(err.sentence, cases[i].sentence);
    }
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    static char *const bad[] = {
        "WEIR_CONSUL_ADDR=consul",
        "WEIR_CONSUL_ADDR=consul:port",
        "WEIR_CONSUL_ADDR=consul:99999",
        "WEIR_CONSUL_ADDR=:8500",
        "WEIR_CONSUL_ADDR=unix://run/consul.sock",
        "WEIR_CONSUL_ADDR=http://user:pass@consul:8500",
        "WEIR_CONSUL_ADDR=http://consul:8500/?a=b",
        "WEIR_CONSUL_ADDR=http://con sul:8500",
        "WEIR_DNS_RESOLVER=dns.example",
        "WEIR_DNS_RESOLVER=10.0.0.1:0",
        "WEIR_DNS_RESOLVER=10.0.0.1,",
        "WEIR_DNS_RESOLVER=[::1",
        "WEIR_DNS_RESOLVER=[::1]53",
        "WEIR_HEADERS=latency_tokens",
        "WEIR_HEADERS=server_tokens,",
        "WEIR_MAX_HEAD=0",
        "WEIR_MAX_HEAD=2m",
        "WEIR_MAX_HEAD=k",
        "WEIR_MAX_BODY=-1",
        "WEIR_MAX_BODY=10mb",
        "WEIR_MAX_BODY=18446744073709551615k",
        "WEIR_STOP_TIMEOUT=soon",
        "WEIR_STOP_TIMEOUT=1.",
        "WEIR_STOP_TIMEOUT=.5",
        "WEIR_STOP_TIMEOUT=1.2.3",
        "WEIR_STOP_TIMEOUT=86401",
        "WEIR_STOP_TIMEOUT=86400.001",
        "WEIR_CLIENT_IDLE_TIMEOUT=0",
        "WEIR_CLIENT_IDLE_TIMEOUT=0.0001",
        "WEIR_UPSTREAM_KEEPALIVE_POOL_SIZE=65536",
        "WEIR_UPSTREAM_KEEPALIVE_MAX_REQUESTS=4294967296",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (VARIABLES(bad[i]) != UV_EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_true(err.sentence[0] != '\0');
    }
}

static void good_values_mean_what_they_say(void **state)
{
    (void)state;
    assert_int_equal(VARIABLES("KONG_DNS_RESOLVER=127.0.0.1:8600, ::1,[::1]:53, [::2],1.1.1.1",
                               "WEIR_MAX_HEAD=1K", "WEIR_MAX_BODY=2g", "WEIR_STOP_TIMEOUT=0",
                               "WEIR_CLIENT_HEADER_TIMEOUT=0.0019", "WEIR_ACCESS_LOG=off",
                               "KONG_UPSTREAM_KEEPALIVE_MAX_REQUESTS=0",
                               "KONG_UPSTREAM_KEEPALIVE_POOL_SIZE=0", "KONG_LOG_LEVEL=emerg",
                               "KONG_HEADERS=Server_Tokens, x-kong-request-id"),
                     0);
    assert_string_equal(options.dns_servers, "127.0.0.1:8600,::1,[::1]:53,[::2],1.1.1.1");
    assert_int_equal(options.max_head_bytes, 1024);
    assert_int_equal(options.max_body_bytes, 2ULL << 30);
    assert_int_equal(options.stop_timeout_ms, 0);
    assert_int_equal(options.client_header_timeout_ms, 1);
    assert_null(options.access_log_path);
    assert_int_equal(options.upstream_max_requests, UINT32_MAX);
    assert_int_equal(options.upstream_pool_size, 0);
    assert_int_equal(options.log_level, LOG_CRIT);
    assert_false(options.add_latency_headers);
}

static void the_json_has_kongs_keys_and_no_secret(void **state)
{
    (void)state;
    assert_int_equal(VARIABLES("WEIR_CONSUL_TOKEN=hidden", "WEIR_ADMIN_LISTEN=off",
                               "WEIR_PROXY_LISTEN=0.0.0.0:8000 reuseport backlog=16384, [::]:80"),
                     0);
    json_t *json = options_to_json(&options);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "database")), "sqlite");
    assert_string_equal(json_string_value(json_object_get(json, "router_flavor")),
                        "traditional_compatible");
    assert_string_equal(json_string_value(json_object_get(json, "consul_token")), "******");
    assert_true(json_is_object(json_object_get(json, "loaded_plugins")));

    json_t *listen = json_object_get(json, "proxy_listen");
    assert_string_equal(json_string_value(json_array_get(listen, 0)),
                        "0.0.0.0:8000 reuseport backlog=16384");
    json_t *listeners = json_object_get(json, "proxy_listeners");
    assert_int_equal(json_array_size(listeners), 2);
    json_t *first = json_array_get(listeners, 0);
    assert_string_equal(json_string_value(json_object_get(first, "ip")), "0.0.0.0");
    assert_int_equal(json_integer_value(json_object_get(first, "port")), 8000);
    assert_true(json_is_true(json_object_get(first, "reuseport")));
    assert_true(json_is_false(json_object_get(first, "ssl")));
    assert_true(json_is_true(json_object_get(first, "backlog=16384")));
    assert_int_equal(json_array_size(json_object_get(json, "admin_listeners")), 0);

    char *text = json_dumps(json, 0);
    assert_null(strstr(text, "hidden"));
    free(text);
    json_decref(json);
}

static void the_help_names_every_setting(void **state)
{
    (void)state;
    struct buf help;
    buf_init(&help, 1 << 20);
    assert_int_equal(options_help(&help), 0);
    assert_int_equal(buf_append(&help, "", 1), 0);
    for (unsigned i = 0; i < setting_count; i++) {
        char name[SETTING_NAME_BYTES];
        setting_flag(settings[i].name, name);
        assert_non_null(strstr(buf_str(&help).ptr, name));
        setting_variable(settings[i].name, name);
        assert_non_null(strstr(buf_str(&help).ptr, name));
    }
    buf_deinit(&help);
}

static void the_page_of_the_documentation_is_up_to_date(void **state)
{
    (void)state;
    struct buf page, file;
    buf_init(&page, 1 << 20);
    buf_init(&file, 1 << 20);
    assert_int_equal(options_help_markdown(&page), 0);

    /* TEST_DATA_DIR itself need not exist. */
    char path[512];
    int root = (int)(strlen(TEST_DATA_DIR) - strlen("/tests/data"));
    snprintf(path, sizeof(path), "%.*s/docs/configuration.md", root, TEST_DATA_DIR);
    FILE *stream = fopen(path, "re");
    assert_non_null(stream);
    char *space = buf_reserve(&file, 1 << 19);
    assert_non_null(space);
    buf_commit(&file, fread(space, 1, 1 << 19, stream));
    fclose(stream);
    if (!str_equal(buf_str(&page), buf_str(&file)))
        fail_msg("write it anew: weir run --help=markdown > docs/configuration.md");
    buf_deinit(&page);
    buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(without_settings_the_defaults_are_in_force, forget),
        cmocka_unit_test_teardown(data_goes_to_the_home_of_a_user, forget),
        cmocka_unit_test_teardown(the_stronger_source_wins, forget),
        cmocka_unit_test_teardown(consuls_own_variables_are_read_where_ours_are_not_set, forget),
        cmocka_unit_test_teardown(an_empty_value_counts_as_not_set, forget),
        cmocka_unit_test_teardown(flags_take_their_value_in_both_forms, forget),
        cmocka_unit_test_teardown(a_file_is_read_as_kong_reads_its_own, forget),
        cmocka_unit_test_teardown(an_error_in_a_file_says_where, forget),
        cmocka_unit_test_teardown(unknown_names_are_errors_with_a_suggestion, forget),
        cmocka_unit_test_teardown(variables_of_others_are_ignored, forget),
        cmocka_unit_test_teardown(an_error_is_one_line_that_names_the_variable_and_what_is_allowed,
                                  forget),
        cmocka_unit_test_teardown(bad_values_are_refused, forget),
        cmocka_unit_test_teardown(good_values_mean_what_they_say, forget),
        cmocka_unit_test_teardown(the_json_has_kongs_keys_and_no_secret, forget),
        cmocka_unit_test_teardown(the_help_names_every_setting, forget),
        cmocka_unit_test_teardown(the_page_of_the_documentation_is_up_to_date, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
