#include "control/setting_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <uv.h> /* error codes only */

#include "base/str.h"
#include "control/options.h"
#include "net/resolver.h"
#include "proxy/log_format.h"

static int refuse(const struct setting *setting, const char *text, const char *source,
                  struct error *err)
{
    if (setting->is_secret)
        error_set(err, source, "must be %s", setting->allowed);
    else
        error_set(err, source, "must be %s, not \"%s\"", setting->allowed, text);
    return UV_EINVAL;
}

static void *slot_of(const struct setting *setting, struct options *options)
{
    return (char *)options + setting->offset;
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

static int keep_text(const char *text, char **slot)
{
    char *copy = strdup(text);
    if (!copy)
        return UV_ENOMEM;
    free(*slot);
    *slot = copy;
    return 0;
}

/* Numbers. */

int setting_parse_count(const struct setting *setting, const char *text, const char *source,
                        struct options *options, struct error *err)
{
    uint64_t number;
    if (!str_to_u64(str_of(text), &number) || number < setting->min || number > setting->max)
        return refuse(setting, text, source, err);
    *(uint32_t *)slot_of(setting, options) = (uint32_t)number;
    return 0;
}

int setting_parse_max_requests(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err)
{
    int rc = setting_parse_count(setting, text, source, options, err);
    if (rc == 0 && options->upstream_max_requests == 0)
        options->upstream_max_requests = UINT32_MAX; /* as Kong: 0 is unlimited */
    return rc;
}

/* "30", "0.25": thousandths and finer are cut. */
static bool seconds_to_ms(const char *text, uint64_t *ret_ms)
{
    struct str fraction = str_of(text);
    struct str whole = str_cut(&fraction, '.');
    uint64_t seconds, thousandths = 0;
    if (!str_to_u64(whole, &seconds) || seconds > TIMEOUT_MAX_MS / 1000)
        return false;
    if (fraction.ptr) {
        char digits[4] = "000";
        if (fraction.len == 0 || strspn(fraction.ptr, "0123456789") != fraction.len)
            return false;
        memcpy(digits, fraction.ptr, fraction.len < 3 ? fraction.len : 3);
        str_to_u64(str_make(digits, 3), &thousandths);
    }
    *ret_ms = seconds * 1000 + thousandths;
    return true;
}

int setting_parse_seconds(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err)
{
    uint64_t ms;
    if (!seconds_to_ms(text, &ms) || ms < setting->min || ms > setting->max)
        return refuse(setting, text, source, err);
    *(uint32_t *)slot_of(setting, options) = (uint32_t)ms;
    return 0;
}

/* nginx's units; without one, seconds. */
int setting_parse_whole_seconds(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err)
{
    static const char units[] = "smhd";
    static const uint64_t factors[] = {1, 60, 3600, 86400};
    struct str digits = str_of(text);
    const char *unit = digits.len ? strchr(units, digits.ptr[digits.len - 1]) : NULL;
    uint64_t factor = unit ? factors[unit - units] : 1;
    uint64_t number;
    digits.len -= unit != NULL;
    if (!str_to_u64(digits, &number) || number > UINT32_MAX || number * factor < setting->min ||
        number * factor > setting->max)
        return refuse(setting, text, source, err);
    *(uint32_t *)slot_of(setting, options) = (uint32_t)(number * factor);
    return 0;
}

int setting_parse_on_off(const struct setting *setting, const char *text, const char *source,
                         struct options *options, struct error *err)
{
    bool is_on = strcmp(text, "on") == 0;
    if (!is_on && strcmp(text, "off") != 0)
        return refuse(setting, text, source, err);
    *(bool *)slot_of(setting, options) = is_on;
    return 0;
}

/* "8192", "32k", "10m", "1g", in either case, as nginx writes sizes. */
static bool parse_bytes(const char *text, uint64_t *ret)
{
    struct str digits = str_of(text);
    unsigned shift = 0;
    if (digits.len > 0) {
        char unit = str_lower_char(digits.ptr[digits.len - 1]);
        shift = unit == 'k' ? 10 : unit == 'm' ? 20 : unit == 'g' ? 30 : 0;
        digits.len -= shift > 0;
    }
    uint64_t number;
    if (!str_to_u64(digits, &number) || number > UINT64_MAX >> shift)
        return false;
    *ret = number << shift;
    return true;
}

int setting_parse_size(const struct setting *setting, const char *text, const char *source,
                       struct options *options, struct error *err)
{
    _Static_assert(sizeof(size_t) == sizeof(uint64_t), "slots of sizes are 64 bits wide");
    uint64_t bytes;
    if (!parse_bytes(text, &bytes) || bytes < setting->min || bytes > setting->max)
        return refuse(setting, text, source, err);
    *(uint64_t *)slot_of(setting, options) = bytes;
    return 0;
}

/* What a container's CPU quota amounts to, rounded up; the most workers where there is none. */
static unsigned quota_cpus(void)
{
    char line[64] = ""; /* "200000 100000": microseconds in each period, or "max 100000" */
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file) {
        if (!fgets(line, sizeof(line), file))
            line[0] = '\0';
        fclose(file);
    }
    uint64_t quota, period;
    struct str rest = str_make(line, strcspn(line, "\n"));
    if (!str_to_u64(str_cut(&rest, ' '), &quota) || !str_to_u64(rest, &period) || period == 0 ||
        quota / period >= OPTIONS_WORKERS_MAX)
        return OPTIONS_WORKERS_MAX;
    return (unsigned)((quota + period - 1) / period);
}

/* The CPUs that this process may use, by its affinity and its quota. */
static unsigned usable_cpus(void)
{
    cpu_set_t set;
    int affinity = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    unsigned cpus = quota_cpus();
    if ((unsigned)affinity < cpus)
        cpus = (unsigned)affinity;
    return cpus > 0 ? cpus : 1;
}

int setting_parse_workers(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err)
{
    if (strcmp(text, "auto") == 0) {
        options->workers = usable_cpus();
        return 0;
    }
    return setting_parse_count(setting, text, source, options, err);
}

/* Words and lists of words. */

int setting_parse_database(const struct setting *setting, const char *text, const char *source,
                           struct options *options, struct error *err)
{
    static const char *const names[] = {
        [STORE_SQLITE] = "sqlite", [STORE_POSTGRES] = "postgres", [STORE_MEMORY] = "off"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) {
            options->database = (enum store_engine_kind)i;
            return 0;
        }
    return refuse(setting, text, source, err);
}

int setting_parse_cipher_suite(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err)
{
    if (strcmp(text, "custom") != 0 && !tls_level_find(text))
        return refuse(setting, text, source, err);
    return keep_text(text, &options->ssl_cipher_suite);
}

int setting_parse_check_host(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err)
{
    options->ssl_checks_host = strcmp(text, "on") == 0;
    options->ssl_never_checks_host = strcmp(text, "off") == 0;
    bool is_known =
        options->ssl_checks_host || options->ssl_never_checks_host || strcmp(text, "auto") == 0;
    return is_known ? 0 : refuse(setting, text, source, err);
}

int setting_parse_verify_client(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err)
{
    if (strcmp(text, "off") == 0)
        options->ssl_verify_client = TLS_CLIENT_NONE;
    else if (strcmp(text, "optional") == 0)
        options->ssl_verify_client = TLS_CLIENT_OPTIONAL;
    else if (strcmp(text, "on") == 0)
        options->ssl_verify_client = TLS_CLIENT_REQUIRED;
    else
        return refuse(setting, text, source, err);
    return 0;
}

int setting_parse_migrate(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err)
{
    bool is_auto = strcmp(text, "auto") == 0;
    if (!is_auto && strcmp(text, "off") != 0)
        return refuse(setting, text, source, err);
    options->migrates = is_auto;
    return 0;
}

int setting_parse_log_level(const struct setting *setting, const char *text, const char *source,
                            struct options *options, struct error *err)
{
    return log_level_parse(str_of(text), &options->log_level) ? 0
                                                              : refuse(setting, text, source, err);
}

/* Kong lets each token be left out; so far weir always sends the server's and the request's, and
 * says so rather than ignore the wish. */
int setting_parse_headers(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err)
{
    static const char *const tokens[] = {"server_tokens", "X-Kong-Request-Id", "latency_tokens"};
    enum { SERVER, REQUEST_ID, LATENCY, COUNT };
    bool is_listed[COUNT] = {false};

    if (strcmp(text, "off") == 0) {
        error_set(err, source, "\"off\" is not built yet; must be %s", setting->allowed);
        return UV_EINVAL;
    }
    struct str rest = str_of(text);
    do {
        struct str word = str_trim(str_cut(&rest, ','));
        int i = 0;
        while (i < COUNT && !str_equal_nocase(word, str_of(tokens[i])))
            i++;
        if (i == COUNT)
            return refuse(setting, text, source, err);
        is_listed[i] = true;
    } while (rest.ptr);
    if (!is_listed[SERVER] || !is_listed[REQUEST_ID])
        return refuse(setting, text, source, err);
    options->add_latency_headers = is_listed[LATENCY];
    return 0;
}

/* Addresses. */

int setting_parse_proxy_listen(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err)
{
    (void)setting;
    return listener_parse(str_of(text), source, options->proxy_listeners,
                          &options->proxy_listener_count, err);
}

/* As a server may speak first, nobody is kept waiting for what a client says. */
int setting_parse_stream_listen(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err)
{
    (void)setting;
    int rc = listener_parse(str_of(text), source, options->stream_listeners,
                            &options->stream_listener_count, err);
    for (unsigned i = 0; rc == 0 && i < options->stream_listener_count; i++) {
        const struct listener_spec *spec = &options->stream_listeners[i];
        if (!spec->is_deferred && !spec->is_http2)
            continue;
        error_set(err, source,
                  spec->is_http2 ? "http2 is not for streams: what they carry is not asked"
                                 : "deferred is not for streams: a server may speak first");
        rc = UV_EINVAL;
    }
    return rc;
}

/* The Admin API speaks HTTP/1.1. Over TLS every client finds that out by ALPN, so Kong's default
 * line is taken; without, one that expects HTTP/2 would find itself refused. */
static int check_admin_http2(const struct listener_spec *specs, unsigned count, const char *source,
                             struct error *err)
{
    for (unsigned i = 0; i < count; i++) {
        if (!specs[i].is_http2 || specs[i].is_tls)
            continue;
        error_set(err, source, "http2 without ssl is for proxy_listen only");
        return UV_EINVAL;
    }
    return 0;
}

int setting_parse_admin_listen(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err)
{
    (void)setting;
    int rc = listener_parse(str_of(text), source, options->admin_listeners,
                            &options->admin_listener_count, err);
    if (rc == 0)
        rc =
            check_admin_http2(options->admin_listeners, options->admin_listener_count, source, err);
    for (unsigned i = 0; rc == 0 && i < options->admin_listener_count; i++) {
        if (options->admin_listeners[i].has_proxy_protocol) {
            error_set(err, source, "proxy_protocol is for proxy_listen and stream_listen only");
            rc = UV_EINVAL;
        }
    }
    return rc;
}

int setting_parse_status_listen(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err)
{
    (void)setting;
    int rc = listener_parse(str_of(text), source, options->status_listeners,
                            &options->status_listener_count, err);
    return rc ? rc
              : check_admin_http2(options->status_listeners, options->status_listener_count, source,
                                  err);
}

static bool is_consul_url(const char *url)
{
    bool is_good = false;
    char *scheme = NULL;
    CURLU *parsed = curl_url();
    if (parsed &&
        curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER) ==
            CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK)
        is_good = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
    curl_free(scheme);
    curl_url_cleanup(parsed);
    return is_good;
}

#define CONSUL_ADDRESSES_MAX 8
#define CONSUL_ADDRESS_MAX_BYTES 512

/* Consul's own tools take "host:port" as well as a URL. False: it is none of both. */
static bool read_consul_address(struct str word, char url[CONSUL_ADDRESS_MAX_BYTES])
{
    static const struct str unix_scheme = {"unix://", 7};
    bool has_scheme = word.len > 3 && memmem(word.ptr, word.len, "://", 3);
    int len = snprintf(url, CONSUL_ADDRESS_MAX_BYTES, "%s%.*s", has_scheme ? "" : "http://",
                       STR_ARG(word));
    if (word.len == 0 || len < 0 || len >= CONSUL_ADDRESS_MAX_BYTES || !is_printable(url) ||
        strpbrk(url, "?#"))
        return false;
    if (str_starts_with(word, unix_scheme))
        return word.len > unix_scheme.len && word.ptr[unix_scheme.len] == '/';
    const char *colon = strrchr(url, ':');
    uint64_t port;
    if ((!has_scheme && !str_to_u64(str_of(colon + 1), &port)) || !is_consul_url(url))
        return false;
    while (url[len - 1] == '/')
        url[--len] = '\0';
    return true;
}

int setting_parse_consul_addr(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err)
{
    if (strcmp(text, "off") == 0) {
        free(options->consul_url);
        options->consul_url = NULL;
        return 0;
    }
    char urls[CONSUL_ADDRESSES_MAX * (CONSUL_ADDRESS_MAX_BYTES + 1)], url[CONSUL_ADDRESS_MAX_BYTES];
    size_t len = 0;
    unsigned count = 0;
    struct str rest = str_of(text);
    while (rest.ptr) {
        if (count == CONSUL_ADDRESSES_MAX ||
            !read_consul_address(str_trim(str_cut(&rest, ',')), url))
            return refuse(setting, text, source, err);
        len += (size_t)snprintf(urls + len, sizeof(urls) - len, "%s%s", count++ ? "," : "", url);
    }
    return keep_text(urls, &options->consul_url);
}

/* It goes into a URL and a certificate check: letters, digits, dots and dashes. */
int setting_parse_server_name(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err)
{
    size_t plain =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    if (plain == 0 || text[plain] != '\0' || plain > 253)
        return refuse(setting, text, source, err);
    return keep_text(text, slot_of(setting, options));
}

static bool is_address(const char *text)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* "ip", "ip:port", "[v6]:port", or a bare v6 address. */
static bool is_dns_server(struct str word)
{
    char host[64];
    if (word.len == 0 || word.len >= sizeof(host))
        return false;
    memcpy(host, word.ptr, word.len);
    host[word.len] = '\0';
    if (is_address(host))
        return true;

    char *end = host[0] == '[' ? strchr(host, ']') : strrchr(host, ':');
    uint64_t port;
    if (!end)
        return false;
    const char *after = host[0] == '[' ? end + 1 : end;
    if (*after &&
        (*after != ':' || !str_to_u64(str_of(after + 1), &port) || port == 0 || port > UINT16_MAX))
        return false;
    *end = '\0';
    return is_address(host + (host[0] == '['));
}

int setting_parse_dns_resolver(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err)
{
    size_t size = strlen(text) + 1, len = 0;
    char *servers = calloc(1, size);
    struct str rest = str_of(text);
    if (!servers)
        return UV_ENOMEM;
    do {
        struct str word = str_trim(str_cut(&rest, ','));
        if (!is_dns_server(word)) {
            free(servers);
            return refuse(setting, text, source, err);
        }
        len += (size_t)snprintf(servers + len, size - len, "%s%.*s", len ? "," : "", STR_ARG(word));
    } while (rest.ptr);
    free(options->dns_servers);
    options->dns_servers = servers;
    return 0;
}

static bool is_zone(struct str word)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = str_lower_char(word.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return word.len > 0 && word.len <= 255;
}

int setting_parse_dns_forward(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err)
{
    unsigned zones = 0;
    size_t size = strlen(text) + 1, len = 0;
    char *forwards = calloc(1, size);
    struct str rest = str_of(text);
    if (!forwards)
        return UV_ENOMEM;
    do {
        struct str word = str_trim(str_cut(&rest, ','));
        bool has_zone = word.len > 0 && memchr(word.ptr, '=', word.len);
        struct str server = word;
        struct str zone = has_zone ? str_trim(str_cut(&server, '=')) : STR_EMPTY;
        server = str_trim(server);
        zones += has_zone;
        if ((has_zone ? !is_zone(zone) : zones == 0) || zones > RESOLVER_MAX_ZONES ||
            !is_dns_server(server)) {
            free(forwards);
            return refuse(setting, text, source, err);
        }
        len += (size_t)snprintf(forwards + len, size - len, "%s%.*s%s%.*s", len ? "," : "",
                                STR_ARG(zone), has_zone ? "=" : "", STR_ARG(server));
    } while (rest.ptr);
    free(options->dns_forwards);
    options->dns_forwards = forwards;
    return 0;
}

/* Texts and paths. */

int setting_parse_token(const struct setting *setting, const char *text, const char *source,
                        struct options *options, struct error *err)
{
    if (!is_printable(text))
        return refuse(setting, text, source, err);
    return keep_text(text, slot_of(setting, options));
}

/* The name is also that of a channel, which may not be longer than 63 bytes. */
int setting_parse_pg_schema(const struct setting *setting, const char *text, const char *source,
                            struct options *options, struct error *err)
{
    size_t len = strlen(text);
    if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != len || len > 48 ||
        (text[0] >= '0' && text[0] <= '9'))
        return refuse(setting, text, source, err);
    return keep_text(text, &options->pg_schema);
}

/* The first line of a file, as secrets are mounted into containers. */
int setting_parse_password_file(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err)
{
    char line[1024] = "";
    (void)setting;
    if (options->pg_password) {
        error_set(err, source, "and pg_password are both set; set only one");
        return UV_EINVAL;
    }
    FILE *file = fopen(text, "re");
    if (!file || (!fgets(line, sizeof(line), file) && ferror(file))) {
        int rc = uv_translate_sys_error(errno);
        error_set(err, source, "can't read %s: %s", text, uv_strerror(rc));
        if (file)
            fclose(file);
        return rc;
    }
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    int rc = keep_text(line, &options->pg_password);
    explicit_bzero(line, sizeof(line));
    return rc;
}

int setting_parse_alpn(const struct setting *setting, const char *text, const char *source,
                       struct options *options, struct error *err)
{
    unsigned char wire[TLS_ALPN_BYTES];
    if (tls_server_write_alpn(text, wire) == 0)
        return refuse(setting, text, source, err);
    return keep_text(text, slot_of(setting, options));
}

int setting_parse_path(const struct setting *setting, const char *text, const char *source,
                       struct options *options, struct error *err)
{
    (void)source, (void)err;
    return keep_text(text, slot_of(setting, options));
}

/* Kong takes a path and, after a space, the name of a log format. */
int setting_parse_log_format(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err)
{
    (void)setting;
    log_format_destroy(options->access_log_format);
    options->access_log_format = NULL;
    return log_format_create(text, source, &options->access_log_format, err);
}

int setting_parse_access_log(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err)
{
    if (!is_printable(text))
        return refuse(setting, text, source, err);
    if (strcmp(text, "off") == 0) {
        free(options->access_log_path);
        options->access_log_path = NULL;
        return 0;
    }
    return keep_text(text, &options->access_log_path);
}

int setting_parse_nothing(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err)
{
    (void)setting, (void)text, (void)source, (void)options, (void)err;
    return 0;
}
