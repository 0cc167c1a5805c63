#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/timer_wheel.h"
#include "proxy/access_log.h"

static const struct access_line plain = {
    .peer = {"192.0.2.7", 9},
    .time = {"06/Nov/1994:08:49:37 +0000", 26},
    .request = {"GET /a HTTP/1.1", 15},
    .status = 200,
    .body_bytes = 1234,
    .referer = {"http://r/", 9},
    .user_agent = {"curl/8", 6},
    .request_id = {"abc", 3},
};

static char text[8192];

static const char *formatted(const struct access_line *line)
{
    size_t len = access_log_format(line, text, sizeof(text) - 1);
    assert_true(len > 0);
    text[len] = '\0';
    return text;
}

static void a_line_is_combined_with_the_request_id(void **state)
{
    (void)state;
    assert_string_equal(formatted(&plain),
                        "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 1234 "
                        "\"http://r/\" \"curl/8\" kong_request_id: \"abc\"\n");
}

static void what_is_missing_is_a_dash(void **state)
{
    (void)state;
    struct access_line line = plain;
    line.referer = line.user_agent = line.request = STR_EMPTY;
    assert_non_null(strstr(formatted(&line), "] \"-\" 200 1234 \"-\" \"-\" kong"));
}

static void no_client_can_forge_a_line(void **state)
{
    (void)state;
    struct access_line line = plain;
    line.user_agent = STR("a\"b\\c\r\n\x1b\xe9z");
    assert_non_null(strstr(formatted(&line), "\"a\\x22b\\x5Cc\\x0D\\x0A\\x1B\\xE9z\""));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void long_texts_are_cut_and_small_space_refused(void **state)
{
    (void)state;
    static char agent[3 * ACCESS_LOG_MAX_TEXT];
    memset(agent, 'x', sizeof(agent));
    struct access_line line = plain;
    line.user_agent = str_make(agent, sizeof(agent));
    size_t len = strlen(formatted(&line));
    assert_true(len > ACCESS_LOG_MAX_TEXT && len < ACCESS_LOG_MAX_TEXT + 300);
    for (size_t size = 0; size < len; size++)
        assert_int_equal(access_log_format(&line, text, size), 0);
}

static const struct access_line stream = {
    .peer = {"192.0.2.7", 9},
    .time = {"06/Nov/1994:08:49:37 +0000", 26},
    .scheme = {"tls", 3},
    .server_name = {"a.example", 9},
    .status = 200,
    .body_bytes = 1234,
    .received_bytes = 56,
    .request_ms = 7008,
    .upstream_ms = 9,
    .is_tls = true,
};

static void a_stream_has_a_line_of_its_own(void **state)
{
    (void)state;
    size_t len = access_log_format_stream(&stream, text, sizeof(text) - 1);
    text[len] = '\0';
    assert_string_equal(text, "192.0.2.7 [06/Nov/1994:08:49:37 +0000] TCP 200 1234 56 7.008\n");
    for (size_t size = 0; size < len; size++)
        assert_int_equal(access_log_format_stream(&stream, text, size), 0);
}

static void a_format_has_nginxs_names_for_streams(void **state)
{
    (void)state;
    struct log_format *format;
    struct error err;
    assert_int_equal(log_format_create("$protocol $scheme $bytes_sent $bytes_received "
                                       "$session_time $ssl_server_name $request_method",
                                       "X", &format, &err),
                     0);
    size_t len = log_format_write(format, &stream, text, sizeof(text) - 1);
    text[len] = '\0';
    assert_string_equal(text, "TCP tls 1234 56 7.008 a.example -\n");
    log_format_destroy(format);
}

/* --- the file --- */

struct log_file {
    uv_loop_t loop;
    struct timer_wheel wheel;
    struct access_log *log;
    char path[64];
};

static void open_log(struct log_file *file)
{
    struct error err;
    strcpy(file->path, "/tmp/weir_test_access_log.XXXXXX");
    close(mkstemp(file->path));
    assert_int_equal(uv_loop_init(&file->loop), 0);
    assert_int_equal(timer_wheel_init(&file->wheel, &file->loop, 10, NULL), 0);
    assert_int_equal(access_log_open(&file->loop, &file->wheel, file->path, &file->log, &err), 0);
}

static size_t close_log(struct log_file *file)
{
    struct stat info;
    uv_run(&file->loop, UV_RUN_DEFAULT);
    access_log_close(file->log);
    timer_wheel_close(&file->wheel);
    uv_run(&file->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&file->loop), 0);
    assert_int_equal(stat(file->path, &info), 0);
    unlink(file->path);
    return (size_t)info.st_size;
}

static void lines_reach_the_file_by_themselves(void **state)
{
    (void)state;
    struct log_file file;
    struct stat info = {0};
    open_log(&file);
    access_log_add(file.log, &plain);
    while (info.st_size == 0) {
        uv_run(&file.loop, UV_RUN_ONCE);
        assert_int_equal(stat(file.path, &info), 0);
    }
    assert_int_equal(info.st_size, strlen(formatted(&plain)));
    close_log(&file);
}

static void whole_lines_are_dropped_when_the_file_cannot_follow(void **state)
{
    (void)state;
    struct log_file file;
    open_log(&file);
    size_t line_len = strlen(formatted(&plain));
    size_t many = 4 * ACCESS_LOG_BUFFER_BYTES / line_len;
    for (size_t i = 0; i < many; i++) /* the loop does not turn meanwhile */
        access_log_add(file.log, &plain);
    size_t size = close_log(&file);
    assert_int_equal(size % line_len, 0);
    assert_true(size < many * line_len && size > ACCESS_LOG_BUFFER_BYTES);
}

static void a_path_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct timer_wheel wheel;
    struct access_log *log = NULL;
    struct error err = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(timer_wheel_init(&wheel, &loop, 10, NULL), 0);
    assert_int_equal(access_log_open(&loop, &wheel, "/no/such/folder/log", &log, &err), UV_ENOENT);
    assert_non_null(strstr(err.sentence, "/no/such/folder/log"));
    assert_null(log);
    timer_wheel_close(&wheel);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_has_a_line_of_its_own),
        cmocka_unit_test(a_format_has_nginxs_names_for_streams),
        cmocka_unit_test(a_line_is_combined_with_the_request_id),
        cmocka_unit_test(what_is_missing_is_a_dash),
        cmocka_unit_test(no_client_can_forge_a_line),
        cmocka_unit_test(long_texts_are_cut_and_small_space_refused),
        cmocka_unit_test(lines_reach_the_file_by_themselves),
        cmocka_unit_test(whole_lines_are_dropped_when_the_file_cannot_follow),
        cmocka_unit_test(a_path_that_cannot_be_opened_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
