#include "proxy/router_parts.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#define HTTP_PROTOCOLS (PROTOCOL_HTTP | PROTOCOL_HTTPS | PROTOCOL_GRPC | PROTOCOL_GRPCS)

static bool is_regex_path(struct str path)
{
    return path.len > 0 && path.ptr[0] == '~';
}

static bool is_regex_header(const struct route_header *header)
{
    return header->value_count == 1 && str_starts_with(header->values[0], STR("~*"));
}

static bool has_plain_hosts_only(const struct route *route)
{
    for (uint32_t i = 0; i < route->host_count; i++)
        if (memchr(route->hosts[i].ptr, '*', route->hosts[i].len))
            return false;
    return route->host_count > 0;
}

static uint8_t count_attributes(const struct route *route)
{
    return (uint8_t)((route->method_count > 0) + (route->host_count > 0) +
                     (route->header_count > 0) + (route->path_count > 0) + (route->sni_count > 0));
}

static int bad_regex(const struct route *route, const char *field, struct str regex,
                     const char *message, struct error *err)
{
    struct str name = route->name.len ? route->name : route->id;
    error_set(err, field, "route %.*s: the regex '%.*s' is not valid: %s", STR_ARG(name),
              STR_ARG(regex), message);
    return UV_EINVAL;
}

static int set_path(struct router *router, struct router_candidate *candidate, struct error *err)
{
    const struct route *route = candidate->route;
    struct str path = route->paths[candidate->path_index];
    char message[128];

    candidate->has_path = true;
    if (!is_regex_path(path)) {
        candidate->prefix = path;
        return 0;
    }
    path = str_make(path.ptr + 1, path.len - 1);
    char *prefix = arena_alloc(&router->arena, path.len + 1);
    if (!prefix)
        return UV_ENOMEM;
    candidate->prefix = str_make(prefix, router_regex_literal_prefix(path, prefix));
    candidate->is_checked = true;
    int rc = router_patterns_get(router, ROUTER_PATTERN_PATH, path, &candidate->regex, message,
                                 sizeof(message));
    return rc == UV_EINVAL ? bad_regex(route, "paths", path, message, err) : rc;
}

static int set_header_regexes(struct router *router, struct router_candidate *candidate,
                              struct error *err)
{
    const struct route *route = candidate->route;
    char message[128];

    for (uint32_t i = 0; i < route->header_count; i++) {
        if (!is_regex_header(&route->headers[i]))
            continue;
        if (!candidate->header_regex) {
            size_t size =
                route->header_count * sizeof(struct router_regex *); /* NOLINT: pointers */
            candidate->header_regex = arena_alloc(&router->arena, size);
            if (!candidate->header_regex)
                return UV_ENOMEM;
            memset(candidate->header_regex, 0, size);
        }
        struct str regex = route->headers[i].values[0];
        regex = str_make(regex.ptr + 2, regex.len - 2);
        int rc = router_patterns_get(router, ROUTER_PATTERN_HEADER, regex,
                                     &candidate->header_regex[i], message, sizeof(message));
        if (rc)
            return rc == UV_EINVAL ? bad_regex(route, "headers", regex, message, err) : rc;
    }
    return 0;
}

static int add_candidate(struct router *router, const struct route *route, uint32_t path_index,
                         struct error *err)
{
    struct router_candidate *candidate = &router->candidates[router->candidate_count++];
    *candidate = (struct router_candidate){
        .route = route,
        .path_index = path_index,
        .attribute_count = count_attributes(route),
        .hosts_are_plain = has_plain_hosts_only(route),
        .is_checked = route->method_count || route->header_count || route->sni_count,
    };
    int rc = path_index < route->path_count ? set_path(router, candidate, err) : 0;
    return rc ? rc : set_header_regexes(router, candidate, err);
}

static uint32_t candidates_of(const struct route *route)
{
    if (!(route->protocols & HTTP_PROTOCOLS))
        return 0;
    return route->path_count > 0 ? route->path_count : 1;
}

int router_candidates_create(struct router *router, const struct route *routes, uint32_t count,
                             struct error *err)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += candidates_of(&routes[i]);
    router->candidates = arena_alloc(&router->arena, (total + 1) * sizeof(*router->candidates));
    if (!router->candidates)
        return UV_ENOMEM;

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t path = 0; path < candidates_of(&routes[i]); path++) {
            int rc = add_candidate(router, &routes[i], path, err);
            if (rc)
                return rc;
        }
    }
    return router_sort_candidates(router);
}

static bool is_listed(const struct str *list, uint32_t count, struct str s)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_equal(list[i], s))
            return true;
    return false;
}

static bool value_is_met(const struct route_header *header, const struct router_regex *regex,
                         struct str value)
{
    size_t end;
    if (regex)
        return router_regex_match(regex, value, &end);
    for (uint32_t i = 0; i < header->value_count; i++)
        if (str_equal_nocase(header->values[i], value))
            return true;
    return false;
}

/* Any field of that name with any of the values. */
static bool header_is_met(const struct route_header *header, const struct router_regex *regex,
                          const struct http_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->name_len == header->name.len &&
            str_equal_nocase(http_field_name(head, field), header->name) &&
            value_is_met(header, regex, http_field_value(head, field)))
            return true;
    }
    return false;
}

static bool headers_are_met(const struct router_candidate *candidate, const struct http_head *head)
{
    const struct route *route = candidate->route;
    for (uint32_t i = 0; i < route->header_count; i++)
        if (!head ||
            !header_is_met(&route->headers[i],
                           candidate->header_regex ? candidate->header_regex[i] : NULL, head))
            return false;
    return true;
}

/* "a.example", "*.example" or "a.*". */
static bool sni_is_met(struct str pattern, struct str sni)
{
    if (pattern.len > 0 && pattern.ptr[0] == '*') {
        struct str suffix = str_make(pattern.ptr + 1, pattern.len - 1);
        return sni.len >= suffix.len &&
               str_equal_nocase(str_make(sni.ptr + sni.len - suffix.len, suffix.len), suffix);
    }
    if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*') {
        size_t len = pattern.len - 1;
        return sni.len >= len &&
               str_equal_nocase(str_make(sni.ptr, len), str_make(pattern.ptr, len));
    }
    return str_equal_nocase(pattern, sni);
}

/* On plaintext there is no name to compare, so that the attribute is left out, as Kong does. */
static bool snis_are_met(const struct route *route, const struct router_query *query)
{
    if (route->sni_count == 0 || !query->is_tls)
        return true;
    for (uint32_t i = 0; i < route->sni_count; i++)
        if (sni_is_met(route->snis[i], query->sni))
            return true;
    return false;
}

bool router_candidate_is_met(const struct router_candidate *candidate,
                             const struct router_query *query, uint32_t *ret_len)
{
    const struct route *route = candidate->route;
    size_t end = candidate->prefix.len;

    if (candidate->is_checked) {
        if (route->method_count && !is_listed(route->methods, route->method_count, query->method))
            return false;
        if (!headers_are_met(candidate, query->head) || !snis_are_met(route, query))
            return false;
        if (candidate->regex && !router_regex_match(candidate->regex, query->path, &end))
            return false;
    }
    *ret_len = (uint32_t)end;
    return true;
}
