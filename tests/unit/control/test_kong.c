#include "control/kong.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "control/options.h"

#define LIST(...) ((char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct options options;
static struct error err;

static int forget(void **state)
{
    (void)state;
    options_deinit(&options);
    return 0;
}

static int read_variables(char **environment)
{
    options_deinit(&options);
    err = (struct error){"", ""};
    return options_init(&options, LIST(), environment, &err);
}

#define VARIABLES(...) read_variables(LIST("HOME=/home/jane", __VA_ARGS__))

static void assert_becomes(char **args, char **expected)
{
    char **ours;
    assert_int_equal(kong_translate(args, &ours), 0);
    size_t i = 0;
    for (; expected[i]; i++) {
        assert_non_null(ours[i]);
        assert_string_equal(ours[i], expected[i]);
    }
    assert_null(ours[i]);
    free(ours);
}

static void the_name_is_known_with_and_without_a_folder(void **state)
{
    (void)state;
    assert_true(kong_is_called("kong"));
    assert_true(kong_is_called("/usr/local/bin/kong"));
    assert_false(kong_is_called("/usr/bin/weir"));
    assert_false(kong_is_called("/kong/weir"));
    assert_false(kong_is_called(NULL));
}

static void kongs_command_lines_become_ours(void **state)
{
    (void)state;
    assert_becomes(LIST(), LIST("help"));
    assert_becomes(LIST("docker-start"), LIST("run"));
    assert_becomes(LIST("start", "--vv", "-p", "/usr/local/kong"), LIST("run"));
    assert_becomes(LIST("start", "--prefix=/x", "--run-migrations"), LIST("run", "--migrate=auto"));
    assert_becomes(LIST("start", "--conf", "/c", "-c", "/d"),
                   LIST("run", "--config", "/c", "-c", "/d"));
    assert_becomes(LIST("migrations", "bootstrap", "-q", "--db-timeout", "9"),
                   LIST("migrations", "bootstrap", "-q"));
    assert_becomes(LIST("migrations", "up", "&&", "kong", "migrations", "finish"),
                   LIST("migrations", "up"));
    assert_becomes(LIST("health", "-p"), LIST("health"));
}

static void kongs_defaults_apply_to_who_speaks_kong(void **state)
{
    (void)state;
    assert_int_equal(VARIABLES("KONG_PG_HOST=db"), 0);
    assert_int_equal(options.database, STORE_POSTGRES);
    assert_string_equal(options.pg_user, "kong");
    assert_string_equal(options.pg_database, "kong");

    assert_int_equal(VARIABLES("KONG_DATABASE=postgres", "KONG_PG_USER=jane"), 0);
    assert_string_equal(options.pg_user, "jane");
    assert_string_equal(options.pg_database, "kong");

    char **marked = kong_mark_environment(LIST("HOME=/home/jane"));
    assert_int_equal(read_variables(marked), 0);
    free(marked);
    assert_int_equal(options.database, STORE_POSTGRES);
}

static void our_defaults_apply_to_all_others(void **state)
{
    (void)state;
    assert_int_equal(VARIABLES("KONG_LOG_LEVEL=info"), 0);
    assert_int_equal(options.database, STORE_SQLITE);
    assert_int_equal(VARIABLES("WEIR_DATABASE=postgres", "KONG_PG_HOST=db"), 0);
    assert_string_equal(options.pg_user, "weir");
}

static void a_value_may_be_in_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-test-kong-XXXXXX", variable[96];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "se cret\r\n\n", 10), 10);
    close(fd);
    snprintf(variable, sizeof(variable), "KONG_PG_PASSWORD_FILE=%s", path);
    assert_int_equal(VARIABLES(variable), 0);
    assert_string_equal(options.pg_password, "se cret");

    assert_int_equal(VARIABLES(variable, "KONG_PG_PASSWORD=x"), UV_EINVAL);
    assert_string_equal(err.field, "KONG_PG_PASSWORD_FILE");
    assert_non_null(strstr(err.sentence, "both set"));
    assert_int_equal(VARIABLES(variable, "KONG_PG_PASSWORD="), 0); /* empty is not set */
    unlink(path);

    assert_int_equal(VARIABLES(variable), UV_ENOENT);
    assert_string_equal(err.field, "KONG_PG_PASSWORD_FILE");
    assert_int_equal(VARIABLES("KONG_PG_PASSWORD_FILE=/dev/zero"), UV_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_is_known_with_and_without_a_folder),
        cmocka_unit_test(kongs_command_lines_become_ours),
        cmocka_unit_test_teardown(kongs_defaults_apply_to_who_speaks_kong, forget),
        cmocka_unit_test_teardown(our_defaults_apply_to_all_others, forget),
        cmocka_unit_test_teardown(a_value_may_be_in_a_file, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
