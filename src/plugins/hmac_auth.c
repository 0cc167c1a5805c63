/* hmac_auth.c - asks for a signature over parts of the request, made with a consumer's secret
 * (draft-cavage-http-signatures, as Kong has it).
 *
 * The content's digest is not checked: where the configuration asks for that, requests with content
 * are refused rather than believed. */
#include "plugins/registry.h"

#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <uv.h> /* error codes only */

#include "plugins/auth.h"
#include "plugins/base64.h"

#define MAX_DATE_BYTES 64
#define EMPTY_DIGEST STR("SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")

#define NOT_VALID "HMAC signature cannot be verified"
#define NOT_SAME "HMAC signature does not match"
#define NO_DATE NOT_VALID ", a valid date or x-date header is required for HMAC Authentication"

static const struct {
    struct str name;
    const EVP_MD *(*digest)(void);
} algorithms[] = {
    {STR_INIT("hmac-sha1"), EVP_sha1},
    {STR_INIT("hmac-sha256"), EVP_sha256},
    {STR_INIT("hmac-sha384"), EVP_sha384},
    {STR_INIT("hmac-sha512"), EVP_sha512},
};
#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

struct hmac_auth {
    struct auth auth;
    double clock_skew_s;
    bool allows[ALGORITHM_COUNT];
    struct str *enforced;
    size_t enforced_count;
    bool validates_body;
};

/* ---- compiling ---- */

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    const json_t *enforced = json_object_get(config, "enforce_headers");
    size_t count = json_array_size(enforced), i;
    struct hmac_auth *made = arena_alloc(arena, sizeof(*made));
    json_t *name;
    if (!made)
        return UV_ENOMEM;
    *made = (struct hmac_auth){
        .clock_skew_s = json_number_value(json_object_get(config, "clock_skew")),
        .enforced = arena_alloc(arena, (count + 1) * sizeof(*made->enforced)),
        .enforced_count = count,
        .validates_body = json_is_true(json_object_get(config, "validate_request_body")),
    };
    if (!made->enforced)
        return UV_ENOMEM;
    json_array_foreach(enforced, i, name)
    {
        made->enforced[i] = arena_copy(arena, str_of(json_string_value(name)));
        if (!made->enforced[i].ptr)
            return UV_ENOMEM;
    }
    json_array_foreach(json_object_get(config, "algorithms"), i, name)
    {
        for (size_t at = 0; at < ALGORITHM_COUNT; at++)
            if (str_equal(algorithms[at].name, str_of(json_string_value(name))))
                made->allows[at] = true;
    }
    *ret = made;
    return auth_compile(config, "hmac", arena, &made->auth);
}

/* ---- what a client says ---- */

struct claim {
    struct str username, algorithm, headers, signature;
};

/* name="value", and a comma where others follow. */
static bool take_parameter(struct str *rest, struct str name, struct str *ret)
{
    *rest = str_trim(*rest);
    if (!str_starts_with(*rest, name))
        return false;
    *rest = str_make(rest->ptr + name.len, rest->len - name.len);
    if (!str_starts_with(*rest, STR("=\"")))
        return false;
    *rest = str_make(rest->ptr + 2, rest->len - 2);
    const char *end = rest->len > 0 ? memchr(rest->ptr, '"', rest->len) : NULL;
    if (!end || end == rest->ptr)
        return false;
    *ret = str_make(rest->ptr, (size_t)(end - rest->ptr));
    *rest = str_make(end + 1, rest->len - ret->len - 1);
    if (str_starts_with(*rest, STR(",")))
        *rest = str_make(rest->ptr + 1, rest->len - 1);
    return true;
}

static bool read_claim(struct str value, struct claim *ret)
{
    struct str scheme = str_cut(&value, ' ');
    return str_equal_nocase(scheme, STR("hmac")) &&
           take_parameter(&value, STR("username"), &ret->username) &&
           take_parameter(&value, STR("algorithm"), &ret->algorithm) &&
           take_parameter(&value, STR("headers"), &ret->headers) &&
           take_parameter(&value, STR("signature"), &ret->signature);
}

/* The form that HTTP prefers (RFC 9110, section 5.6.7). */
static bool is_near(const struct hmac_auth *own, struct str date, int64_t now_s)
{
    char text[MAX_DATE_BYTES];
    struct tm tm = {.tm_year = 0};
    if (date.len == 0 || date.len >= sizeof(text))
        return false;
    memcpy(text, date.ptr, date.len);
    text[date.len] = '\0';
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        return false;
    double apart_s = (double)timegm(&tm) - (double)now_s;
    return (apart_s < 0 ? -apart_s : apart_s) <= own->clock_skew_s;
}

static bool is_named(struct str names, struct str name)
{
    while (names.len > 0)
        if (str_equal_nocase(str_cut(&names, ' '), name))
            return true;
    return false;
}

/* Where one of the two is signed, only that one counts: anybody may write the other. */
static bool has_date(const struct hmac_auth *own, const struct http_head *head,
                     struct str signed_names)
{
    static const struct str dates[] = {STR_INIT("x-date"), STR_INIT("date")};
    int64_t now_s = plugin_now_s();
    bool is_any_signed = is_named(signed_names, dates[0]) || is_named(signed_names, dates[1]);
    for (int i = 0; i < 2; i++)
        if ((!is_any_signed || is_named(signed_names, dates[i])) &&
            is_near(own, plugin_find_field(head, dates[i]), now_s))
            return true;
    return false;
}

static bool has_enforced(const struct hmac_auth *own, struct str names)
{
    for (size_t i = 0; i < own->enforced_count; i++)
        if (!is_named(names, own->enforced[i]))
            return false;
    return true;
}

/* ---- the signature ---- */

/* What is signed. Without room (`out` is NULL) it is only measured. */
struct text {
    char *out;
    size_t len;
};

static void put(struct text *text, struct str piece)
{
    if (text->out && piece.len > 0)
        memcpy(text->out + text->len, piece.ptr, piece.len);
    text->len += piece.len;
}

static void put_lower(struct text *text, struct str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        char c = str_lower_char(piece.ptr[i]);
        put(text, str_make(&c, 1));
    }
}

static void put_part(struct text *text, const struct http_head *head, struct str name)
{
    struct str value = plugin_find_field(head, name);
    struct str method = http_span_str(head, head->method_text);
    struct str target = http_span_str(head, head->target);
    if (!value.ptr && str_equal(name, STR("request-line"))) {
        put(text, method);
        put(text, STR(" "));
        put(text, target);
        put(text, head->minor_version == 0 ? STR(" HTTP/1.0") : STR(" HTTP/1.1"));
        return;
    }
    put(text, name);
    put(text, value.ptr ? STR(": ") : STR(":"));
    put(text, value);
    if (!value.ptr && str_equal(name, STR("@request-target"))) {
        put(text, STR(" "));
        put_lower(text, method);
        put(text, STR(" "));
        put(text, target);
    }
}

static void put_all(struct text *text, const struct http_head *head, struct str names)
{
    bool is_first = true;
    while (names.ptr) {
        if (!is_first)
            put(text, STR("\n"));
        is_first = false;
        put_part(text, head, str_cut(&names, ' '));
    }
}

static const EVP_MD *digest_of(const struct hmac_auth *own, struct str algorithm)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (own->allows[i] && str_equal(algorithms[i].name, algorithm))
            return algorithms[i].digest();
    return NULL;
}

static bool is_signed(const struct plugin_request *request, const struct claim *claim,
                      const EVP_MD *digest, struct str secret)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    struct str signature;
    struct text text = {.out = NULL};
    put_all(&text, request->head, claim->headers);
    text = (struct text){.out = arena_alloc(request->arena, text.len + 1)};
    if (!text.out || secret.len == 0 ||
        !base64_decode(claim->signature, request->arena, &signature))
        return false;
    put_all(&text, request->head, claim->headers);
    return HMAC(digest, secret.ptr, (int)secret.len, (const unsigned char *)text.out, text.len, sum,
                &len) &&
           len == signature.len && CRYPTO_memcmp(sum, signature.ptr, len) == 0;
}

static bool may_have_body(const struct hmac_auth *own, const struct http_head *head)
{
    struct str digest = plugin_find_field(head, STR("Digest"));
    bool is_empty = head->framing == HTTP_NO_BODY ||
                    (head->framing == HTTP_BY_LENGTH && head->content_length == 0);
    return !own->validates_body || (is_empty && (!digest.ptr || str_equal(digest, EMPTY_DIGEST)));
}

/* NULL, with *ret; or Kong's words. */
static const char *judge(const struct hmac_auth *own, const struct plugin_request *request,
                         struct str proxy, struct str plain, const struct credential **ret)
{
    struct claim claim = {.username = STR_EMPTY};
    bool has_claim = read_claim(proxy, &claim) || read_claim(plain, &claim);
    if (!proxy.ptr && !plain.ptr)
        return "Unauthorized";
    if (!has_date(own, request->head, has_claim ? claim.headers : STR_EMPTY))
        return NO_DATE;
    if (!has_claim)
        return NOT_VALID;
    const EVP_MD *digest = digest_of(own, claim.algorithm);
    const struct credential *credential = consumers_find_credential(
        request->consumers, CREDENTIAL_HMAC, claim.username, plugin_now_s());
    if (!digest || !has_enforced(own, claim.headers) || !credential)
        return NOT_VALID;
    if (!is_signed(request, &claim, digest, credential->secret) ||
        !may_have_body(own, request->head))
        return NOT_SAME;
    *ret = credential;
    return NULL;
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    static const struct str fields[] = {STR_INIT("Proxy-Authorization"), STR_INIT("Authorization")};
    const struct hmac_auth *own = config;
    const struct credential *credential = NULL;
    if (auth_begin(&own->auth, request, effect))
        return;
    const char *problem = judge(own, request, plugin_find_field(request->head, fields[0]),
                                plugin_find_field(request->head, fields[1]), &credential);
    for (size_t i = 0; own->auth.hides_credentials && i < 2; i++)
        plugin_drop(request->head, &effect->request_lines, fields[i]);
    if (problem)
        auth_refuse(&own->auth, request, effect, problem);
    else
        auth_accept(request, effect, credential, credential->name);
}

static const char *const lacking[] = {"config.validate_request_body", NULL};

static const char *lacks(const json_t *config)
{
    return json_is_true(json_object_get(config, "validate_request_body")) ? lacking[0] : NULL;
}

const struct plugin hmac_auth_step = {.name = "hmac-auth",
                                      .compile = compile,
                                      .access = on_access,
                                      .lacks = lacks,
                                      .lacking = lacking,
                                      .identifies = true};
