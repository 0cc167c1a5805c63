#include "proxy/hash_input.h"

#include "balance/consistent_hash.h"
#include "plugins/chain.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/router_regex.h"
#include "proxy/writer.h"

/* Several fields of that name count as their values in a row. */
static struct str find_header(struct exchange *x, struct str name)
{
    const struct http_head *head = &x->request;
    struct str found = STR_EMPTY;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->name_len != name.len || !str_equal_nocase(http_field_name(head, field), name))
            continue;
        struct str value = http_field_value(head, field);
        if (found.len == 0) {
            found = value;
            continue;
        }
        char *both = arena_alloc(&x->arena, found.len + value.len);
        if (!both)
            return found;
        memcpy(both, found.ptr, found.len);
        memcpy(both + found.len, value.ptr, value.len);
        found = str_make(both, found.len + value.len);
    }
    return found;
}

/* The value of `name` among "a=1; b=2". */
static struct str find_in_cookies(struct str cookies, struct str name)
{
    while (cookies.ptr) {
        struct str value = str_trim(str_cut(&cookies, ';'));
        struct str key = str_cut(&value, '=');
        if (value.len > 0 && str_equal(key, name))
            return value;
    }
    return STR_EMPTY;
}

static struct str find_cookie(const struct exchange *x, struct str name)
{
    const struct http_head *head = &x->request;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->name_len != 6 || !str_equal_nocase(http_field_name(head, field), STR("cookie")))
            continue;
        struct str value = find_in_cookies(http_field_value(head, field), name);
        if (value.len > 0)
            return value;
    }
    return STR_EMPTY;
}

/* As it was sent, escapes and all. */
static struct str find_argument(struct str query, struct str name)
{
    while (query.ptr) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');
        if (value.len > 0 && str_equal(key, name))
            return value;
    }
    return STR_EMPTY;
}

/* Kong spells the attribute "Same-Site", which no browser knows; this is what it means. */
static struct str make_cookie(struct exchange *x, const struct balancing *balancing,
                              struct str name)
{
    char id[UUID_TEXT_BYTES];
    random_uuid(id);
    size_t size = name.len + balancing->cookie_path.len + sizeof(id) + 64;
    char *line = arena_alloc(&x->arena, size);
    if (!line)
        return STR_EMPTY;
    struct writer writer = writer_on(line, size);
    WRITER_LITERAL(&writer, "Set-Cookie: ");
    writer_str(&writer, name);
    writer_char(&writer, '=');
    const char *value = writer.at;
    writer_str(&writer, str_of(id));
    WRITER_LITERAL(&writer, "; Path=");
    writer_str(&writer, balancing->cookie_path.len ? balancing->cookie_path : STR("/"));
    WRITER_LITERAL(&writer, "; SameSite=Lax; HttpOnly\r\n");
    x->set_cookie = str_make(line, (size_t)(writer.at - line));
    return str_make(value, sizeof(id) - 1);
}

static struct str find(struct exchange *x, const struct balancing *balancing,
                       const struct hash_source *source)
{
    struct str value = STR_EMPTY;
    switch (source->input) {
    case HASH_INPUT_NONE:
        break;
    case HASH_INPUT_CONSUMER:
        return x->plugins && x->plugins->effect.consumer ? x->plugins->effect.consumer->id : value;
    case HASH_INPUT_IP:
        return exchange_client(x);
    case HASH_INPUT_HEADER:
        return find_header(x, source->name);
    case HASH_INPUT_COOKIE:
        value = find_cookie(x, source->name);
        return value.len ? value : make_cookie(x, balancing, source->name);
    case HASH_INPUT_PATH:
        return x->path;
    case HASH_INPUT_QUERY_ARG:
        return find_argument(x->uri.query, source->name);
    case HASH_INPUT_URI_CAPTURE:
        if (x->match.regex)
            router_regex_capture(x->match.regex, x->path, source->name, &value);
        break;
    }
    return value;
}

void hash_input_find(struct exchange *x, const struct balancing *balancing)
{
    struct str value = find(x, balancing, &balancing->hash_on);
    if (value.len == 0)
        value = find(x, balancing, &balancing->hash_fallback);
    x->is_hashed = true;
    x->has_hash = value.len > 0;
    if (x->has_hash)
        x->hash = consistent_hash_key(value);
}
