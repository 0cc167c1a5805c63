/* cors.c - tells browsers which pages of other origins may use a service, and answers their
 * preflight requests (https://fetch.spec.whatwg.org/#http-cors-protocol). */
#include "plugins/registry.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <uv.h> /* error codes only */

#include "base/log.h"
#include "model/row.h"

#define MATCH_LIMIT 10000 /* steps of one match: an Origin is short */
#define MAX_ORIGIN_BYTES 1024
#define DEFAULT_METHODS STR("GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT")

#define ALLOW_ORIGIN STR("Access-Control-Allow-Origin")
#define ALLOW_CREDENTIALS STR("Access-Control-Allow-Credentials")
#define ALLOW_HEADERS STR("Access-Control-Allow-Headers")

struct origin {
    struct str text;   /* as `normalise` makes it */
    pcre2_code *regex; /* in the arena; NULL: compared as it is */
    bool is_of_host;   /* the regex is for the host alone */
};

struct cors {
    bool allows_all;
    struct str only; /* the one origin, told whoever asks; empty: several, or a regex */
    struct origin *origins;
    size_t origin_count;
    struct str headers; /* joined; empty: those that are asked for */
    struct str exposed_headers;
    struct str methods;
    struct str max_age;
    bool takes_credentials;
    bool allows_private_network;
    bool continues_preflight;
    pcre2_match_context *limits;
};

/* ---- origins ---- */

struct parts {
    struct str scheme, host, port;
};

/* False: it is no "scheme://host:port", but "null", say. */
static bool split(struct str origin, struct parts *ret)
{
    const char *end = origin.len ? memmem(origin.ptr, origin.len, "://", 3) : NULL;
    if (!end)
        return false;
    ret->scheme = str_make(origin.ptr, (size_t)(end - origin.ptr));
    struct str rest = str_make(end + 3, origin.len - ret->scheme.len - 3);
    struct str authority = str_cut(&rest, '/');
    const char *colon = authority.len ? memrchr(authority.ptr, ':', authority.len) : NULL;
    size_t host_len = colon ? (size_t)(colon - authority.ptr) : authority.len;
    if (colon && memchr(colon, ']', authority.len - host_len)) { /* within an IPv6 address */
        colon = NULL;
        host_len = authority.len;
    }
    ret->host = str_make(authority.ptr, host_len);
    ret->port = colon ? str_make(colon + 1, authority.len - host_len - 1) : STR_EMPTY;
    return ret->host.len > 0;
}

/* Without the scheme's own port; what is no origin stays as it is. Borrows from `origin`, or is the
 * arena's. */
static struct str normalise(struct str origin, struct arena *arena, struct str *ret_host)
{
    struct parts parts;
    *ret_host = origin;
    if (!split(origin, &parts))
        return origin;
    *ret_host = parts.host;
    bool is_default = (str_equal(parts.scheme, STR("http")) && str_equal(parts.port, STR("80"))) ||
                      (str_equal(parts.scheme, STR("https")) && str_equal(parts.port, STR("443")));
    struct str port = is_default ? STR_EMPTY : parts.port;
    size_t len = parts.scheme.len + 3 + parts.host.len + (port.len ? port.len + 1 : 0);
    if (len == origin.len)
        return origin;
    char *text = arena_alloc(arena, len + 1);
    if (!text)
        return origin;
    snprintf(text, len + 1, "%.*s://%.*s%s%.*s", STR_ARG(parts.scheme), STR_ARG(parts.host),
             port.len ? ":" : "", (int)port.len, port.len ? port.ptr : "");
    return str_make(text, len);
}

/* ---- compiling ---- */

static void *allocate(PCRE2_SIZE size, void *arena)
{
    return arena_alloc(arena, size);
}

static void forget(void *block, void *arena)
{
    (void)block; /* goes with the arena */
    (void)arena;
}

/* What is no origin's letter makes it a regex. */
static bool is_regex(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = str_lower_char(text.ptr[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr(".:/-", c)))
            return true;
    }
    return false;
}

static int compile_origin(struct str text, struct arena *arena, pcre2_compile_context *context,
                          struct origin *ret)
{
    struct str host;
    struct str own = arena_copy(arena, text);
    if (!own.ptr)
        return UV_ENOMEM;
    *ret = (struct origin){.text = own, .is_of_host = !memchr(own.ptr, ':', own.len)};
    if (!is_regex(own)) {
        ret->text = normalise(own, arena, &host);
        return 0;
    }
    int error;
    PCRE2_SIZE at;
    ret->regex = pcre2_compile((PCRE2_SPTR)own.ptr, own.len, PCRE2_ANCHORED | PCRE2_ENDANCHORED,
                               &error, &at, context);
    return ret->regex ? 0 : UV_EINVAL;
}

/* One that PCRE2 doesn't understand, which the table has checked, allows nobody. */
static int compile_origins(const json_t *list, struct arena *arena, struct cors *made)
{
    size_t count = json_array_size(list);
    pcre2_general_context *general = pcre2_general_context_create(allocate, forget, arena);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    made->limits = context ? pcre2_match_context_create(general) : NULL;
    made->origins = arena_alloc(arena, (count + 1) * sizeof(*made->origins));
    if (!made->limits || !made->origins)
        return UV_ENOMEM;
    pcre2_set_match_limit(made->limits, MATCH_LIMIT);
    made->allows_all = count == 0;
    for (size_t i = 0; i < count; i++) {
        struct str text = str_of(json_string_value(json_array_get(list, i)));
        if (str_equal(text, STR("*"))) {
            made->allows_all = true;
            continue;
        }
        int rc = compile_origin(text, arena, context, &made->origins[made->origin_count]);
        if (rc == UV_ENOMEM)
            return rc;
        made->origin_count += rc == 0;
        if (count == 1 && !is_regex(text))
            made->only = arena_copy(arena, text);
    }
    return 0;
}

/* "a,b"; empty where there are none. */
static struct str join(const json_t *list, struct arena *arena)
{
    size_t size = 1, i;
    json_t *value;
    json_array_foreach(list, i, value) size += json_string_length(value) + 1;
    char *text = json_array_size(list) > 0 ? arena_alloc(arena, size) : NULL;
    char *at = text;
    json_array_foreach(list, i, value)
    {
        if (!text)
            break;
        if (i > 0)
            *at++ = ',';
        at = mempcpy(at, json_string_value(value), json_string_length(value));
    }
    return str_make(text, text ? (size_t)(at - text) : 0);
}

static bool is_set(const json_t *config, const char *field)
{
    return json_is_true(json_object_get(config, field));
}

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    char age[32];
    struct cors *made = arena_alloc(arena, sizeof(*made));
    const json_t *max_age = json_object_get(config, "max_age");
    if (!made)
        return UV_ENOMEM;
    *made = (struct cors){
        .headers = join(json_object_get(config, "headers"), arena),
        .exposed_headers = join(json_object_get(config, "exposed_headers"), arena),
        .methods = join(json_object_get(config, "methods"), arena),
        .takes_credentials = is_set(config, "credentials"),
        .allows_private_network = is_set(config, "private_network"),
        .continues_preflight = is_set(config, "preflight_continue"),
    };
    if (json_is_number(max_age)) {
        snprintf(age, sizeof(age), "%.14g", json_number_value(max_age));
        made->max_age = arena_copy(arena, str_of(age));
    }
    if (made->methods.len == 0)
        made->methods = DEFAULT_METHODS;
    *ret = made;
    return compile_origins(json_object_get(config, "origins"), arena, made);
}

/* ---- on a request ---- */

/* Where its fields go. */
struct side {
    struct arena *arena;
    struct http_head *head; /* NULL: weir's own answer */
    struct str *lines;
};

static void set(const struct side *side, struct str name, struct str value)
{
    plugin_set(side->arena, side->head, side->lines, name, value);
}

static void vary(const struct side *side)
{
    plugin_add_line(side->arena, side->lines, STR("Vary"), STR("Origin"));
}

/* *ret_data is what all matches of a request work in; NULL until the first. */
static bool matches(const struct cors *own, const struct origin *allowed, struct str origin,
                    struct str host, struct arena *arena, pcre2_match_data **ret_data)
{
    if (!allowed->regex)
        return str_equal(allowed->text, origin);
    if (!*ret_data) {
        pcre2_general_context *general = pcre2_general_context_create(allocate, forget, arena);
        *ret_data = general ? pcre2_match_data_create(1, general) : NULL;
    }
    pcre2_match_data *data = *ret_data;
    struct str subject = allowed->is_of_host ? host : origin;
    return data && pcre2_match(allowed->regex, (PCRE2_SPTR)subject.ptr, subject.len, 0, 0, data,
                               own->limits) >= 0;
}

static void tell_origin(const struct cors *own, struct str origin, const struct side *side)
{
    if (own->allows_all) {
        set(side, ALLOW_ORIGIN, STR("*"));
        return;
    }
    vary(side);
    if (own->only.len > 0) {
        set(side, ALLOW_ORIGIN, own->only);
        return;
    }
    struct str host;
    pcre2_match_data *data = NULL;
    struct str normal = normalise(origin, side->arena, &host);
    for (size_t i = 0; origin.len > 0 && origin.len <= MAX_ORIGIN_BYTES && i < own->origin_count;
         i++) {
        if (matches(own, &own->origins[i], normal, host, side->arena, &data)) {
            set(side, ALLOW_ORIGIN, normal);
            return;
        }
    }
    plugin_drop(side->head, side->lines, ALLOW_ORIGIN);
}

/* With credentials "*" means nothing to browsers: then it is the one who asks. */
static void tell_credentials(const struct cors *own, struct str origin, const struct side *side)
{
    if (!own->takes_credentials || (own->allows_all && origin.len == 0))
        return;
    if (own->allows_all) {
        vary(side);
        set(side, ALLOW_ORIGIN, origin);
    }
    set(side, ALLOW_CREDENTIALS, STR("true"));
}

static struct str asked(const struct plugin_request *request, struct str name)
{
    return plugin_find_field(request->head, name);
}

static bool is_preflight(const struct plugin_request *request)
{
    return plugin_is_options(request->head) && asked(request, STR("Origin")).ptr &&
           asked(request, STR("Access-Control-Request-Method")).ptr;
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct cors *own = config;
    const struct side side = {.arena = request->arena, .lines = &effect->answer_lines};
    if (own->continues_preflight || !is_preflight(request))
        return;
    struct str origin = asked(request, STR("Origin"));
    struct str headers = asked(request, STR("Access-Control-Request-Headers"));
    tell_origin(own, origin, &side);
    tell_credentials(own, origin, &side);
    if (own->headers.len > 0 || headers.len > 0)
        set(&side, ALLOW_HEADERS, own->headers.len > 0 ? own->headers : headers);
    set(&side, STR("Access-Control-Allow-Methods"), own->methods);
    if (own->max_age.len > 0)
        set(&side, STR("Access-Control-Max-Age"), own->max_age);
    if (own->allows_private_network &&
        str_equal(asked(request, STR("Access-Control-Request-Private-Network")), STR("true")))
        set(&side, STR("Access-Control-Allow-Private-Network"), STR("true"));
    effect->status = 200;
    effect->content_type = PLUGIN_JSON_TYPE; /* of a body that is empty */
}

/* What a preflight is told is told by access, or by the service. */
static void on_respond(const void *config, const struct plugin_request *request,
                       const struct plugin_effect *effect, struct plugin_response *response)
{
    const struct cors *own = config;
    const struct side side = {request->arena, response->head, response->lines};
    (void)effect;
    if (is_preflight(request))
        return;
    struct str origin = asked(request, STR("Origin"));
    tell_origin(own, origin, &side);
    tell_credentials(own, origin, &side);
    if (own->exposed_headers.len > 0)
        set(&side, STR("Access-Control-Expose-Headers"), own->exposed_headers);
}

const struct plugin cors_step = {
    .name = "cors", .compile = compile, .access = on_access, .respond = on_respond};
