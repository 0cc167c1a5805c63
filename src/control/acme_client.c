#include "control/acme_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "control/acme_jws.h"
#include "net/curl_loop.h"

#define TIMEOUT_MS 30000L
#define CONNECT_TIMEOUT_MS 10000L
#define MAX_NONCE_BYTES 256
#define MAX_BAD_NONCES 4
#define MAX_RETRY_AFTER_S (7 * 86400)
#define PROBLEM "urn:ietf:params:acme:error:"

enum asking { ASKING_NOTHING = 0, ASKING_DIRECTORY, ASKING_NONCE, ASKING_POST };

struct acme_client {
    struct curl_transfer transfer; /* first: a transfer is its client */
    struct acme_client_settings settings;
    struct curl_loop *curl;
    struct curl_slist *headers;
    json_t *directory;           /* NULL: not known */
    struct evp_pkey_st *key;     /* borrowed */
    const char *account;         /* borrowed; NULL: unknown */
    char nonce[MAX_NONCE_BYTES]; /* empty: none */
    enum asking asking;

    /* The request under way. */
    acme_answer_cb done;
    void *arg;
    char *url;         /* owned; NULL: the directory is all that is wanted */
    char *payload;     /* owned */
    char *signed_text; /* owned: libcurl reads it */
    unsigned bad_nonces;

    /* What came. */
    char *body; /* owned */
    size_t body_len;
    bool is_too_long;
    char location[ACME_URL_BYTES];
    uint32_t retry_after_s;
};

/* --- trouble --- */

/* It goes into logs, rows and JSON, and may have been cut in the middle of a letter. */
static void clean(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

void acme_trouble_set(struct acme_trouble *trouble, enum acme_trouble_kind kind, const char *format,
                      ...)
{
    va_list args;
    trouble->kind = kind;
    va_start(args, format);
    vsnprintf(trouble->why, sizeof(trouble->why), format, args);
    va_end(args);
    clean(trouble->why);
}

static const char *text_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* "rateLimited" of "urn:ietf:params:acme:error:rateLimited"; other types as they are. */
static const char *kind_of(const json_t *problem)
{
    const char *type = text_in(problem, "type");
    return strncmp(type, PROBLEM, strlen(PROBLEM)) == 0 ? type + strlen(PROBLEM) : type;
}

void acme_trouble_read(struct acme_trouble *trouble, const json_t *problem)
{
    const char *kind = kind_of(problem), *detail = text_in(problem, "detail");
    const json_t *sub = json_array_get(json_object_get(problem, "subproblems"), 0);
    trouble->kind = strcmp(kind, "rateLimited") == 0           ? ACME_LIMITED
                    : strcmp(kind, "accountDoesNotExist") == 0 ? ACME_NO_ACCOUNT
                    : strcmp(kind, "serverInternal") == 0      ? ACME_AWAY
                    : strcmp(kind, "badNonce") == 0            ? ACME_AWAY
                                                               : ACME_REFUSED;
    snprintf(trouble->why, sizeof(trouble->why), "%.60s%s%.200s%s%.40s",
             kind[0] ? kind : "no reason", detail[0] ? ": " : "", detail, sub ? "; " : "",
             sub ? text_in(sub, "detail") : "");
    clean(trouble->why);
}

/* --- the end of a request --- */

static void forget(struct acme_client *client)
{
    free(client->url);
    free(client->payload);
    free(client->signed_text);
    free(client->body);
    client->url = client->payload = client->signed_text = client->body = NULL;
    client->body_len = 0;
    client->asking = ASKING_NOTHING;
}

/* The answer lives until the callback returns, which may have begun another request. */
static void end(struct acme_client *client, const struct acme_answer *answer,
                const struct acme_trouble *trouble)
{
    char *body = client->body;
    client->body = NULL;
    forget(client);
    client->done(client->arg, answer, trouble);
    free(body);
}

static void fail(struct acme_client *client, const struct acme_trouble *trouble)
{
    end(client, NULL, trouble);
}

static void fail_away(struct acme_client *client, const char *why)
{
    struct acme_trouble trouble = {.retry_after_s = client->retry_after_s};
    acme_trouble_set(&trouble, ACME_AWAY, "%s", why);
    fail(client, &trouble);
}

/* --- sending --- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct acme_client *client = arg;
    size_t len = size * count;
    client->is_too_long = len > ACME_MAX_BODY_BYTES - client->body_len;
    char *body = client->is_too_long ? NULL : realloc(client->body, client->body_len + len + 1);
    if (!body)
        return 0; /* ends the transfer */
    client->body = body;
    memcpy(body + client->body_len, bytes, len);
    client->body_len += len;
    body[client->body_len] = '\0';
    return len;
}

static bool copy_value(struct str value, char *out, size_t size)
{
    if (value.len >= size || memchr(value.ptr, '\0', value.len))
        return false;
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
    return true;
}

/* Base64 for URLs (RFC 8555, section 6.5.1). */
static bool is_nonce(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        char lower = str_lower_char(c);
        if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return text.len > 0;
}

/* In seconds or as a date. */
static uint32_t read_retry_after(struct str value)
{
    char text[64];
    uint64_t seconds = 0;
    time_t now = time(NULL), at;
    if (!str_to_u64(value, &seconds) && copy_value(value, text, sizeof(text)) &&
        (at = curl_getdate(text, NULL)) > now)
        seconds = (uint64_t)(at - now);
    return seconds < MAX_RETRY_AFTER_S ? (uint32_t)seconds : MAX_RETRY_AFTER_S;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct acme_client *client = arg;
    struct str line = str_make(bytes, size * count);
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    struct str name = str_cut(&line, ':'), value = str_trim(line);
    if (!line.ptr)
        return size * count;
    if (str_equal_nocase(name, STR("Replay-Nonce")) && is_nonce(value)) {
        copy_value(value, client->nonce, sizeof(client->nonce));
    } else if (str_equal_nocase(name, STR("Location"))) {
        if (!copy_value(value, client->location, sizeof(client->location)))
            client->location[0] = '\0';
    } else if (str_equal_nocase(name, STR("Retry-After"))) {
        client->retry_after_s = read_retry_after(value);
    }
    return size * count;
}

static int start(struct acme_client *client, enum asking asking, const char *url)
{
    CURL *easy = client->transfer.easy;
    free(client->body);
    client->body = NULL;
    client->body_len = 0;
    client->is_too_long = false;
    client->location[0] = '\0';
    client->retry_after_s = 0;
    client->asking = asking;
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, client);
    if (client->settings.ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->settings.ca_file);
    if (asking == ASKING_NONCE)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (asking == ASKING_POST) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, client->signed_text);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(client->signed_text));
    }
    return curl_loop_start(client->curl, &client->transfer);
}

/* A nonce is good once, whatever comes of it. */
static int sign(struct acme_client *client)
{
    const char *new_account = acme_client_url(client, "newAccount");
    bool is_for_account = new_account && strcmp(client->url, new_account) == 0;
    const struct acme_jws jws = {
        .key = client->key,
        .account = is_for_account ? NULL : client->account,
        .nonce = client->nonce,
        .url = client->url,
        .payload = client->payload,
    };
    free(client->signed_text);
    client->signed_text = NULL;
    int rc = acme_jws_sign(&jws, &client->signed_text);
    client->nonce[0] = '\0';
    return rc;
}

/* Asks for what is missing next. Calls back later, but for one thing: without memory it fails now,
 * which callers outside of callbacks see as the same. */
static void go_on(struct acme_client *client)
{
    int rc;
    const char *new_nonce = acme_client_url(client, "newNonce");
    if (!client->directory)
        rc = start(client, ASKING_DIRECTORY, client->settings.directory);
    else if (!client->nonce[0])
        rc = start(client, ASKING_NONCE, new_nonce);
    else if (!(rc = sign(client)))
        rc = start(client, ASKING_POST, client->url);
    if (rc)
        fail_away(client, "memory is short");
}

/* --- where an authority may lead us --- */

static bool is_safe(const struct acme_client *client, const char *url)
{
    struct str own = str_of(client->settings.directory), other = str_of(url);
    bool is_safe = str_starts_with(other, STR("https://"));
    for (size_t i = 0; i < other.len; i++)
        if (other.ptr[i] <= ' ' || other.ptr[i] > '~')
            return false;
    bool may_be_plain = !str_starts_with(own, STR("https://"));
    return other.len > 8 && other.len < ACME_URL_BYTES &&
           (is_safe || (may_be_plain && str_starts_with(other, STR("http://"))));
}

/* As libcurl reads it, which is what will be connected to. Owned; NULL: it can't be. */
static char *host_of(const char *url)
{
    CURLU *parsed = curl_url();
    char *host = NULL, *port = NULL, *ret = NULL;
    if (parsed && !curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) &&
        !curl_url_get(parsed, CURLUPART_HOST, &host, 0) &&
        !curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
        asprintf(&ret, "%s:%s", host, port) < 0)
        ret = NULL;
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    return ret;
}

static bool is_at(const char *host, const char *url)
{
    char *other = url ? host_of(url) : NULL;
    bool is_same = other && strcasecmp(host, other) == 0;
    free(other);
    return is_same;
}

/* At a host that the directory's URL or the directory itself names: whoever can write an order's
 * answer alone doesn't choose whom we speak to. */
bool acme_client_accepts(const struct acme_client *client, const char *url)
{
    const char *name;
    json_t *value;
    if (!url || !is_safe(client, url))
        return false;
    char *host = host_of(url);
    bool is_known = host && is_at(host, client->settings.directory);
    json_object_foreach(client->directory, name, value)
    {
        is_known = is_known || (host && is_at(host, json_string_value(value)));
    }
    free(host);
    if (!is_known)
        log_warn("an ACME authority leads to a host that its directory doesn't name",
                 LOG_CSTR("url", url));
    return is_known;
}

/* --- what came --- */

static bool take_directory(struct acme_client *client)
{
    json_t *directory = json_loadb(client->body ? client->body : "", client->body_len, 0, NULL);
    json_decref(client->directory);
    client->directory = directory;
    static const char *const needed[] = {"newNonce", "newAccount", "newOrder"};
    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
        if (!is_safe(client, acme_client_url(client, needed[i]))) {
            json_decref(directory);
            client->directory = NULL;
            return false;
        }
    return true;
}

static void take_answer(struct acme_client *client, long status)
{
    struct acme_trouble trouble = {.retry_after_s = client->retry_after_s};
    json_t *json = json_loadb(client->body ? client->body : "", client->body_len, 0, NULL);
    const struct acme_answer answer = {
        .status = status,
        .body = str_make(client->body, client->body_len),
        .json = json_is_object(json) ? json : NULL,
        .location = client->location,
        .retry_after_s = client->retry_after_s,
    };
    if (status >= 200 && status < 300) {
        char location[ACME_URL_BYTES];
        struct acme_answer copy = answer;
        memcpy(location, client->location, sizeof(location));
        copy.location = location; /* the next request clears its own */
        end(client, &copy, NULL);
    } else if (strcmp(kind_of(json), "badNonce") == 0 && client->bad_nonces < MAX_BAD_NONCES) {
        client->bad_nonces++;
        go_on(client);
    } else {
        if (answer.json && status < 500)
            acme_trouble_read(&trouble, json);
        else
            acme_trouble_set(&trouble, ACME_AWAY, "it answers with HTTP status %ld", status);
        if (status == 429)
            trouble.kind = ACME_LIMITED;
        fail(client, &trouble);
    }
    json_decref(json);
}

static void on_done(struct curl_transfer *transfer, CURLcode result)
{
    struct acme_client *client = (struct acme_client *)transfer;
    char why[ACME_WHY_BYTES];
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK) {
        snprintf(why, sizeof(why), "%s",
                 client->is_too_long ? "its answer is too long" : curl_easy_strerror(result));
        fail_away(client, why);
    } else if (client->asking == ASKING_POST) {
        take_answer(client, status);
    } else if (status < 200 || status > 299) {
        snprintf(why, sizeof(why), "its %s answers with HTTP status %ld",
                 client->asking == ASKING_NONCE ? "newNonce" : "directory", status);
        fail_away(client, why);
    } else if (client->asking == ASKING_DIRECTORY && !take_directory(client)) {
        fail_away(client, "its directory is none");
    } else if (client->asking == ASKING_NONCE && !client->nonce[0]) {
        fail_away(client, "it gives no nonce");
    } else if (client->url) {
        go_on(client);
    } else {
        const struct acme_answer answer = {.status = status, .location = ""};
        end(client, &answer, NULL);
    }
}

/* --- the whole --- */

int acme_client_create(uv_loop_t *loop, const struct acme_client_settings *settings,
                       struct acme_client **ret)
{
    struct acme_client *client = calloc(1, sizeof(*client));
    if (!client)
        return UV_ENOMEM;
    client->settings = *settings;
    client->transfer.done = on_done;
    client->transfer.easy = curl_easy_init();
    client->headers = curl_slist_append(NULL, "Content-Type: application/jose+json");
    if (client->headers)
        curl_slist_append(client->headers, "Expect:");
    int rc = client->transfer.easy && client->headers ? curl_loop_create(loop, 1, &client->curl)
                                                      : UV_ENOMEM;
    if (rc) {
        curl_easy_cleanup(client->transfer.easy);
        curl_slist_free_all(client->headers);
        free(client);
        return rc;
    }
    *ret = client;
    return 0;
}

static void on_curl_closed(void *arg)
{
    struct acme_client *client = arg;
    curl_slist_free_all(client->headers);
    json_decref(client->directory);
    free(client);
}

void acme_client_close(struct acme_client *client)
{
    if (!client)
        return;
    acme_client_cancel(client);
    curl_easy_cleanup(client->transfer.easy);
    curl_loop_close(client->curl, on_curl_closed, client);
}

void acme_client_cancel(struct acme_client *client)
{
    curl_loop_cancel(client->curl, &client->transfer);
    forget(client);
}

void acme_client_sign_as(struct acme_client *client, struct evp_pkey_st *key, const char *account)
{
    client->key = key;
    client->account = account;
}

void acme_client_open(struct acme_client *client, acme_answer_cb done, void *arg)
{
    client->done = done;
    client->arg = arg;
    client->bad_nonces = 0;
    json_decref(client->directory); /* an order begins with what is true today */
    client->directory = NULL;
    client->nonce[0] = '\0';
    go_on(client);
}

void acme_client_post(struct acme_client *client, const char *url, const json_t *payload,
                      acme_answer_cb done, void *arg)
{
    client->done = done;
    client->arg = arg;
    client->bad_nonces = 0;
    client->url = strdup(url);
    client->payload = payload ? json_dumps(payload, JSON_COMPACT) : strdup("");
    if (client->url && client->payload)
        go_on(client);
    else
        fail_away(client, "memory is short");
}

const char *acme_client_url(const struct acme_client *client, const char *name)
{
    return json_string_value(json_object_get(client->directory, name));
}
