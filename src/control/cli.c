#include "control/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>
#include <uv.h>

#include "control/config_file.h"
#include "control/control.h"
#include "control/first_process.h"
#include "control/kong.h"
#include "control/migrations.h"
#include "control/node_client.h"
#include "control/options.h"
#include "control/watch.h"

#define STATUS_MAX_BYTES (1024 * 1024)
#define HEALTH_TIMEOUT_S 2 /* a node that needs longer to say that it is well is not */
#define HELP_MAX_BYTES ((size_t)256 * 1024)

static const char usage[] =
    "Usage: weir COMMAND [flags]\n"
    "\n"
    "  run         start the gateway; `weir run --help` lists its settings\n"
    "  health      ask the running node how it is; takes the settings of run\n"
    "  watch       show what happens to targets, discovery and configuration; `weir watch --help`\n"
    "  migrations  set the database up, bring it up to date; `weir migrations --help`\n"
    "  config      export all configuration to a file, or import one; `weir config --help`\n"
    "  version     print the version\n"
    "  help        print this\n";

/* Values may hold anything; what is printed stays one line and drives no terminal. */
static void print_safely(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
}

static int print_error(const struct error *err)
{
    fputs("error: ", stderr);
    print_safely(stderr, err->field);
    if (err->field[0])
        fputs(": ", stderr);
    print_safely(stderr, err->sentence);
    fputc('\n', stderr);
    return 1;
}

static int print_help(int (*write_help)(struct buf *out))
{
    struct buf help;
    buf_init(&help, HELP_MAX_BYTES);
    int rc = write_help(&help);
    if (rc == 0)
        fwrite(buf_str(&help).ptr, 1, buf_len(&help), stdout);
    buf_deinit(&help);
    return rc < 0 || fflush(stdout) != 0;
}

static int run(char *const *flags, char *const *environment)
{
    for (char *const *flag = flags; *flag; flag++) {
        if (strcmp(*flag, "--help") == 0 || strcmp(*flag, "-h") == 0)
            return print_help(options_help);
        if (strcmp(*flag, "--help=markdown") == 0) /* for docs/configuration.md */
            return print_help(options_help_markdown);
    }

    struct options options;
    struct error err;
    if (options_init(&options, flags, environment, &err) < 0)
        return print_error(&err);
    int code = control_run(&options);
    options_deinit(&options);
    return code;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    return buf_append(arg, bytes, size * count) ? 0 : size * count;
}

/* A node whose database is away says so in /status. It serves, and restarting it would not help. */
static bool has_database(struct str body)
{
    json_t *status = json_loadb(body.ptr ? body.ptr : "", body.len, 0, NULL);
    const json_t *reachable = json_object_get(json_object_get(status, "database"), "reachable");
    bool answer = !json_is_false(reachable);
    json_decref(status);
    return answer;
}

/* The Admin API says how the node is; where it is off, that the proxy answers anything is enough.
 */
static int ask_health(CURL *curl, const struct node_client *client)
{
    const char *address = client->address;
    bool is_admin = client->is_admin;
    struct buf body;
    buf_init(&body, STATUS_MAX_BYTES);
    long status = 0, os_error = 0;
    node_client_prepare(client, curl, is_admin ? "/status" : "/");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, HEALTH_TIMEOUT_S * 1000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);

    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
    if (rc == CURLE_COULDNT_CONNECT && os_error > 0)
        printf("weir is not running at %s: %s\n", address, uv_strerror((int)-os_error));
    else if (rc == CURLE_OPERATION_TIMEDOUT)
        printf("weir is not healthy at %s: no answer within %d s\n", address, HEALTH_TIMEOUT_S);
    else if (rc != CURLE_OK)
        printf("weir is not healthy at %s: %s\n", address, curl_easy_strerror(rc));
    else if (is_admin && status == 401)
        printf("weir is not healthy at %s: it wants a token; WEIR_ADMIN_TOKEN_FILE names a file "
               "with one\n",
               address);
    else if (is_admin && status != 200)
        printf("weir is not healthy at %s: it answered %ld\n", address, status);
    else if (is_admin && !has_database(buf_str(&body)))
        printf("weir is healthy at %s, but its database takes no writes\n", address);
    else
        printf("weir is healthy at %s\n", address);
    bool is_healthy = rc == CURLE_OK && (status == 200 || !is_admin);
    buf_deinit(&body);
    return is_healthy ? 0 : 1;
}

/* Where the Admin API of the node with these settings is, and how to ask it. 0, or 1 when what is
 * wrong has been printed. */
static int find_admin(char *const *flags, char *const *environment, struct node_client *client)
{
    struct options options;
    struct error err;
    if (options_init(&options, flags, environment, &err) < 0)
        return print_error(&err);
    int rc = UV_EINVAL;
    if (options.admin_listener_count > 0)
        rc = node_client_init(client, &options, &err);
    else
        error_set(&err, "WEIR_ADMIN_LISTEN", "is off, so there is nobody to ask");
    options_deinit(&options);
    return rc ? print_error(&err) : 0;
}

/* Its own flags come first: --json, --after NUMBER. */
static int watch(char *const *flags, char *const *environment)
{
    struct watch_options options = {.out = stdout};
    struct node_client client;
    struct error err;
    for (; *flags; flags++) {
        if (strcmp(*flags, "--help") == 0 || strcmp(*flags, "-h") == 0)
            return print_help(watch_help);
        if (strcmp(*flags, "--json") == 0) {
            options.is_json = true;
        } else if (strcmp(*flags, "--after") == 0 && flags[1]) {
            options.has_after = str_to_u64(str_of(*++flags), &options.after);
            if (!options.has_after) {
                error_set(&err, "--after", "must be a number");
                return print_error(&err);
            }
        } else {
            break;
        }
    }
    if (find_admin(flags, environment, &client))
        return 1;
    options.client = &client;
    int code = watch_main(&options);
    node_client_deinit(&client);
    return code;
}

static int health(char *const *flags, char *const *environment)
{
    struct options options;
    struct error err;
    struct node_client client;
    if (options_init(&options, flags, environment, &err) < 0)
        return print_error(&err);
    bool is_any = options.admin_listener_count > 0 || options.proxy_listener_count > 0;
    int rc = UV_EINVAL;
    if (is_any)
        rc = node_client_init(&client, &options, &err);
    else
        error_set(&err, "WEIR_ADMIN_LISTEN", "is off like WEIR_PROXY_LISTEN: nobody can be asked");
    options_deinit(&options);
    if (rc)
        return print_error(&err);

    CURL *curl = curl_easy_init();
    int code = 1;
    if (curl) {
        code = ask_health(curl, &client);
    } else {
        error_set(&err, "", "out of memory");
        print_error(&err);
    }
    curl_easy_cleanup(curl);
    node_client_deinit(&client);
    return code;
}

static int carry_out(const char *command, char *const *flags, char *const *environment)
{
    if (strcmp(command, "run") == 0)
        return run(flags, environment);
    if (strcmp(command, "health") == 0)
        return health(flags, environment);
    if (strcmp(command, "watch") == 0)
        return watch(flags, environment);
    bool is_config = strcmp(command, "config") == 0;
    if (is_config || strcmp(command, "migrations") == 0) {
        struct error why = {"", "out of memory"};
        int code = is_config ? config_file_main(flags, environment, &why)
                             : migrations_main(flags, environment, &why);
        return code < 0 ? print_error(&why) : code;
    }
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        puts(WEIR_VERSION);
        return 0;
    }
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
        strcmp(command, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    struct error err;
    error_set(
        &err, command,
        "is not a command; it must be run, health, watch, migrations, config, version or help");
    return print_error(&err);
}

static int as_kong(char *const *args, char *const *environment)
{
    struct error err = {"", "out of memory"};
    char **ours = NULL, **marked = kong_mark_environment(environment);
    int code = 1;
    if (marked && kong_translate(args, &ours) == 0)
        code = carry_out(ours[0], ours + 1, marked);
    else
        print_error(&err);
    free(ours);
    free(marked);
    return code;
}

int cli_main(int argc, char *const *argv, char *const *environment)
{
    first_process_heed_signals();
    if (argc > 0 && kong_is_called(argv[0]))
        return as_kong(argv + 1, environment);
    return carry_out(argc > 1 ? argv[1] : "help", argv + (argc > 1 ? 2 : argc), environment);
}
