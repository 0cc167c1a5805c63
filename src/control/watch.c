#include "control/watch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>
#include <uv.h> /* error codes only */

#include "base/str.h"
#include "control/node_client.h"

#define LINE_MAX_BYTES ((size_t)1 << 20)
#define CONNECT_TIMEOUT_S 5L
#define SILENCE_MAX_S 60L /* a node sends a comment each 15 s */
#define RETRY_MS 500

int watch_help(struct buf *out)
{
    return buf_printf(
        out,
        "Usage: weir watch [--json] [--after NUMBER] [settings of run]\n"
        "\n"
        "Shows what happens at the running node: targets that join, leave, fail and recover,\n"
        "discovery, and changes of the configuration. Follows it over restarts; Ctrl-C ends.\n"
        "\n"
        "  --json          print each event as it came, a line each\n"
        "  --after NUMBER  begin behind the event of that number; 0: with all that is kept\n"
        "\n"
        "The node is found by the settings of run, as `weir health` does: WEIR_ADMIN_LISTEN.\n"
        "Where it wants a token, WEIR_ADMIN_TOKEN_FILE or --admin-token-file names its file.\n");
}

/* --- a line for people --- */

#define RESET "\033[0m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define BLUE "\033[34m"

/* Good news, bad news, or just news. */
static const char *colour_of(const char *type, const json_t *event)
{
    const json_t *takes_traffic = json_object_get(event, "takes_traffic");
    const json_t *available = json_object_get(event, "available");
    const json_t *panic = json_object_get(event, "panic");
    if (json_is_true(takes_traffic) || json_is_true(available) || json_is_false(panic) ||
        strcmp(type, "consul.reachable") == 0 || strcmp(type, "watch.recovered") == 0 ||
        strcmp(type, "watch.settled") == 0)
        return GREEN;
    if (json_is_false(available) || json_is_true(panic) || strcmp(type, "config.failed") == 0 ||
        strcmp(type, "consul.unreachable") == 0)
        return RED;
    if (json_is_false(takes_traffic))
        return strcmp(type, "target.left") == 0 ? YELLOW : RED;
    return strncmp(type, "config.", 7) == 0 ? BLUE : YELLOW;
}

static int put_safely(struct buf *out, const char *text)
{
    int rc = 0;
    for (; *text && !rc; text++) {
        char c = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
        if ((unsigned char)*text == 0xc2 && (unsigned char)text[1] - 0x80u < 0x20) { /* of C1 */
            c = '?';
            text++;
        }
        rc = buf_append(out, &c, 1);
    }
    return rc;
}

static int put_value(struct buf *out, const char *key, const json_t *value)
{
    int rc = buf_printf(out, "  %s=", key);
    if (rc)
        return rc;
    if (json_is_string(value)) {
        bool needs_quotes = strpbrk(json_string_value(value), " =\"") != NULL;
        if (needs_quotes)
            rc = buf_append(out, "\"", 1);
        if (!rc)
            rc = put_safely(out, json_string_value(value));
        return rc || !needs_quotes ? rc : buf_append(out, "\"", 1);
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(12));
    rc = text ? put_safely(out, text) : UV_ENOMEM;
    free(text);
    return rc;
}

static int put_time(struct buf *out, const json_t *event)
{
    double seconds = json_number_value(json_object_get(event, "time"));
    time_t whole = (time_t)seconds;
    struct tm tm;
    char text[16] = "--:--:--";
    if (seconds > 0 && localtime_r(&whole, &tm))
        strftime(text, sizeof(text), "%H:%M:%S", &tm);
    return buf_printf(out, "%s.%03d", text, (int)((seconds - (double)whole) * 1000));
}

static int put_event(struct buf *out, json_t *event, bool is_colour)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    const char *key;
    json_t *value;
    int rc = is_colour ? buf_printf(out, DIM) : 0;
    if (!rc)
        rc = put_time(out, event);
    if (!rc)
        rc = buf_printf(out, is_colour ? RESET "  %s" : "  %s",
                        is_colour ? colour_of(type, event) : "");
    if (!rc)
        rc = put_safely(out, type);
    if (!rc && is_colour)
        rc = buf_printf(out, RESET);
    json_object_foreach(event, key, value)
    {
        bool is_said = strcmp(key, "type") == 0 || strcmp(key, "time") == 0;
        bool is_empty =
            json_is_null(value) || (json_is_string(value) && !json_string_length(value));
        if (!rc && !is_said && !is_empty)
            rc = put_value(out, key, value);
    }
    return rc;
}

int watch_format(const char *json, bool is_colour, struct buf *out)
{
    json_t *event = json_loads(json, 0, NULL);
    int rc = json_is_string(json_object_get(event, "type")) ? put_event(out, event, is_colour)
                                                            : put_safely(out, json);
    json_decref(event);
    return rc;
}

/* --- the stream --- */

struct follow {
    const struct watch_options *options;
    bool is_colour;
    bool has_answered; /* with 200, at some time */
    bool has_number;
    uint64_t number; /* of the last event */
    struct buf line; /* of the stream, not yet whole */
    bool is_done;    /* nobody reads the output any more */
    CURL *curl;
};

static void print_event(struct follow *follow, const char *json)
{
    struct buf text;
    buf_init(&text, LINE_MAX_BYTES * 2);
    int rc = follow->options->is_json ? put_safely(&text, json)
                                      : watch_format(json, follow->is_colour, &text);
    if (!rc)
        rc = buf_append(&text, "\n", 1);
    if (!rc &&
        (fwrite(buf_str(&text).ptr, 1, buf_len(&text), follow->options->out) != buf_len(&text) ||
         fflush(follow->options->out)))
        follow->is_done = true;
    buf_deinit(&text);
}

static void take_line(struct follow *follow, char *line)
{
    uint64_t number;
    if (strncmp(line, "data: ", 6) == 0) {
        print_event(follow, line + 6);
    } else if (strncmp(line, "id: ", 4) == 0 && str_to_u64(str_of(line + 4), &number)) {
        follow->number = number;
        follow->has_number = true;
    }
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct follow *follow = arg;
    long status = 0;
    curl_easy_getinfo(follow->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return size * count; /* what went wrong is said by the status */
    follow->has_answered = true;
    for (size_t i = 0; i < size * count; i++) {
        char c = bytes[i] == '\n' ? '\0' : bytes[i];
        if (buf_append(&follow->line, &c, 1))
            return 0;
        if (c)
            continue;
        take_line(follow, (char *)(uintptr_t)buf_str(&follow->line).ptr);
        buf_clear(&follow->line);
    }
    return follow->is_done ? 0 : size * count;
}

/* One connection, to its end. *status is the answer's, 0: there was none. */
static CURLcode follow_once(struct follow *follow, long *status)
{
    char path[64] = "/events";
    if (follow->has_number)
        snprintf(path, sizeof(path), "/events?after=%llu", (unsigned long long)follow->number);
    buf_clear(&follow->line);
    node_client_prepare(follow->options->client, follow->curl, path);
    CURLcode rc = curl_easy_perform(follow->curl);
    curl_easy_getinfo(follow->curl, CURLINFO_RESPONSE_CODE, status);
    return rc;
}

static void set_up(struct follow *follow)
{
    CURL *curl = follow->curl;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_MAX_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, follow);
}

/* Follows until it is over; the process ends by a signal, mostly. */
static int follow_on(struct follow *follow)
{
    bool was_lost = false;
    while (!follow->is_done) {
        long status = 0;
        CURLcode rc = follow_once(follow, &status);
        if (follow->is_done)
            break;
        if (status != 0 && status != 200) {
            fprintf(stderr, "error: %s answered %ld%s\n", follow->options->client->address, status,
                    status == 401 ? "; WEIR_ADMIN_TOKEN_FILE names a file with a token" : "");
            return 1;
        }
        if (!follow->has_answered && status != 200) {
            fprintf(stderr, "error: weir cannot be reached at %s: %s\n",
                    follow->options->client->address, curl_easy_strerror(rc));
            return 1;
        }
        follow->has_answered = true;
        if (status == 200 || !was_lost)
            fprintf(stderr, "the connection to %s is lost; trying again\n",
                    follow->options->client->address);
        was_lost = true;
        uv_sleep(RETRY_MS);
    }
    return 0;
}

int watch_main(const struct watch_options *options)
{
    struct follow follow = {.options = options,
                            .has_number = options->has_after,
                            .number = options->after,
                            .curl = curl_easy_init()};
    const char *no_color = getenv("NO_COLOR");
    follow.is_colour =
        !options->is_json && isatty(fileno(options->out)) && !(no_color && no_color[0]);
    if (!follow.curl) {
        fputs("error: out of memory\n", stderr);
        return 1;
    }
    buf_init(&follow.line, LINE_MAX_BYTES);
    set_up(&follow);
    int code = follow_on(&follow);
    buf_deinit(&follow.line);
    curl_easy_cleanup(follow.curl);
    return code;
}
