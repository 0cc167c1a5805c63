#include "control/consul_routes.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "base/log.h"
#include "base/map.h"
#include "discovery/route_claims.h"
#include "model/row.h"

#define NAME_BYTES 160
#define ID_BYTES 37
#define WARNED_MAX 2000

/* A row that is wanted, or is there. */
struct made_row {
    const struct entity *entity;
    json_t *input; /* owned; what it was made of: the same input, the same row */
    bool is_wanted;
};

struct consul_routes {
    struct map rows;   /* of struct made_row, by id */
    struct map warned; /* what has been logged, each once */
    bool has_changed;  /* in the round that is going on */
};

struct round {
    struct consul_routes *routes;
    struct config *config;
    struct map taken; /* what a route matches → its claim */
};

/* --- the log --- */

static void warn_once(struct consul_routes *routes, const struct announced_claim *claim,
                      const char *message, const char *why)
{
    char key[512], shown[256];
    int len = snprintf(key, sizeof(key), "%.*s\n%.*s\n%.200s", STR_ARG(claim->service),
                       STR_ARG(claim->key), why);
    struct str name = str_make(key, len < (int)sizeof(key) ? (size_t)len : sizeof(key) - 1);
    if (routes->warned.count >= WARNED_MAX || map_get(&routes->warned, name) ||
        map_put(&routes->warned, name, routes, NULL))
        return;
    struct route_claim route;
    route_claims_parse(claim->key, &route);
    snprintf(shown, sizeof(shown), "%.*s%.*s", STR_ARG(route.host), STR_ARG(route.path));
    log_warn(message, LOG_STR("service", claim->service), LOG_CSTR("route", shown),
             LOG_CSTR("why", why));
}

/* --- names and ids --- */

/* The same text, the same id, on every node and after every start. */
static void make_id(const char *kind, const char *name, char id[ID_BYTES])
{
    char text[NAME_BYTES + 32];
    int len = snprintf(text, sizeof(text), "%s\n%s", kind, name);
    uint64_t high = str_hash(str_make(text, (size_t)len));
    text[0] ^= 0x20;
    uint64_t low = str_hash(str_make(text, (size_t)len));
    /* Version 8, of one's own making (RFC 9562). */
    snprintf(id, ID_BYTES, "%08x-%04x-8%03x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff,
             0x8000u | ((unsigned)(low >> 48) & 0x3fff),
             (unsigned long long)(low & 0xffffffffffffULL));
}

/* "consul.<service>", fit for a host; a name that had to be changed for that, or one of several,
 * brings a number along. */
static void make_name(struct str service, struct str detail, char name[NAME_BYTES])
{
    size_t len = (size_t)snprintf(name, NAME_BYTES, "consul.");
    bool is_changed = service.len > 63;
    for (size_t i = 0; i < service.len && i < 63; i++) {
        char c = str_lower_char(service.ptr[i]);
        bool is_fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i > 0);
        is_changed |= !is_fine || c != service.ptr[i];
        name[len++] = is_fine ? c : '-';
    }
    if (name[7] == '-')
        name[7] = 'x';
    if (name[len - 1] == '-') {
        name[len - 1] = 'x';
        is_changed = true; /* there may be one that is called so */
    }
    name[len] = '\0';
    uint64_t hash = detail.len ? str_hash(detail) : 0;
    if (is_changed)
        hash ^= str_hash(service);
    if (hash)
        snprintf(name + len, NAME_BYTES - len, ".%08x", (unsigned)(hash ^ hash >> 32));
}

/* --- rows --- */

static const struct entity *entity_of(const char *name)
{
    return entity_find(str_of(name));
}

/* One that is written by hand, of that name. */
static const json_t *find_by_hand(const struct round *round, const char *kind, const char *name)
{
    struct violation violation = {0};
    const json_t *row = config_find(round->config, entity_of(kind), str_of(name), NULL, &violation);
    violation_deinit(&violation);
    return row && !config_is_made(row) ? row : NULL;
}

static int put_row(const struct round *round, const struct entity *entity, const char *id,
                   const json_t *input, const char *origin, const struct announced_claim *claim)
{
    struct violation violation = {0};
    json_t *row = NULL;
    int rc = entity_make_row(entity, input, ENTITY_INSERT, NULL, id, &row, &violation);
    if (rc == UV_EINVAL) {
        json_t *body = violation_to_body(&violation);
        const char *why = json_string_value(json_object_get(body, "message"));
        warn_once(round->routes, claim, "consul route not made", why ? why : "it is not valid");
        json_decref(body);
    }
    violation_deinit(&violation);
    if (rc)
        return rc;
    if (json_object_set_new(row, "origin", json_string(origin)) ||
        config_put_made(round->config, entity, row))
        rc = UV_ENOMEM;
    json_decref(row);
    return rc;
}

/* Wants the row of that name, made of `input` (taken over); its id goes to `id`. 0 or an error:
 * then it isn't there. */
static int want_row(const struct round *round, const char *kind, const char *name, json_t *input,
                    const struct announced_claim *claim, char id[ID_BYTES])
{
    const struct entity *entity = entity_of(kind);
    char origin[300];
    const json_t *by_hand = find_by_hand(round, kind, name);
    if (by_hand) {
        snprintf(id, ID_BYTES, "%s", json_string_value(json_object_get(by_hand, "id")));
        json_decref(input);
        return 0;
    }
    make_id(kind, name, id);
    struct made_row *made = map_get(&round->routes->rows, str_of(id));
    if (made && json_equal(made->input, input) && config_get(round->config, entity, str_of(id))) {
        made->is_wanted = true;
        json_decref(input);
        return 0;
    }
    snprintf(origin, sizeof(origin), "consul service %.*s", STR_ARG(claim->service));
    int rc = put_row(round, entity, id, input, origin, claim);
    if (!rc && !made) {
        made = calloc(1, sizeof(*made));
        rc = made ? map_put(&round->routes->rows, str_of(id), made, NULL) : UV_ENOMEM;
    }
    if (rc) {
        json_decref(input);
        return rc;
    }
    round->routes->has_changed = true;
    json_decref(made->input);
    *made = (struct made_row){.entity = entity, .input = input, .is_wanted = true};
    return 0;
}

/* --- from a claim to its rows --- */

static json_t *text(struct str s)
{
    return json_stringn(s.ptr ? s.ptr : "", s.len);
}

static json_t *split(struct str list)
{
    json_t *array = json_array();
    while (list.ptr && list.len > 0) {
        struct str word = str_cut(&list, ',');
        if (word.len > 0)
            json_array_append_new(array, text(word));
    }
    return array;
}

static json_t *route_input(const struct route_claim *route, const char *name,
                           const char *service_id)
{
    json_t *input = json_pack(
        "{s:s, s:[o], s:b, s:b, s:{s:s}, s:I}", "name", name, "paths", text(route->path),
        "strip_path", (int)route->strips, "preserve_host", (int)!route->loses_host, "service", "id",
        service_id, "regex_priority", (json_int_t)(route->priority > 0 ? route->priority : 0));
    if (input && route->host.len > 0)
        json_object_set_new(input, "hosts", json_pack("[o]", text(route->host)));
    if (input && route->methods.len > 0)
        json_object_set_new(input, "methods", split(route->methods));
    return input;
}

/* An upstream of all instances of the service, or of those that claim this route alone; a service
 * for how they are spoken to; the route. */
static int make_rows(const struct round *round, const struct announced_claim *claim)
{
    struct route_claim route;
    char upstream[NAME_BYTES], service[NAME_BYTES], name[NAME_BYTES], id[ID_BYTES], detail[1400];
    bool is_of_all = claim->count == claim->total && !claim->has_share;
    route_claims_parse(claim->key, &route);

    struct str only = is_of_all ? STR_EMPTY : claim->key;
    make_name(claim->service, only, upstream);
    json_t *discovery = json_pack("{s:s, s:o}", "type", "consul", "service", text(claim->service));
    if (!is_of_all)
        json_object_set_new(discovery, "route", text(claim->key));
    json_t *input = json_pack("{s:s, s:o}", "name", upstream, "discovery", discovery);
    int rc = input ? want_row(round, "upstreams", upstream, input, claim, id) : UV_ENOMEM;
    if (rc)
        return rc;

    bool is_plain = is_of_all && str_equal(route.protocol, STR("http")) && route.to.len == 0;
    int len = snprintf(detail, sizeof(detail), "%s %.*s %.*s", upstream, STR_ARG(route.protocol),
                       STR_ARG(route.to));
    make_name(claim->service, is_plain ? STR_EMPTY : str_make(detail, (size_t)len), service);
    input =
        json_pack("{s:s, s:s, s:o, s:i}", "name", service, "host", upstream, "protocol",
                  text(route.protocol), "port", str_equal(route.protocol, STR("https")) ? 443 : 80);
    if (input && route.to.len > 0)
        json_object_set_new(input, "path", text(route.to));
    rc = input ? want_row(round, "services", service, input, claim, id) : UV_ENOMEM;
    if (rc)
        return rc;

    make_name(claim->service, claim->key, name);
    input = route_input(&route, name, id);
    return input ? want_row(round, "routes", name, input, claim, id) : UV_ENOMEM;
}

/* --- who of several --- */

static bool is_better(const struct announced_claim *a, const struct announced_claim *b)
{
    struct route_claim of_a, of_b;
    route_claims_parse(a->key, &of_a);
    route_claims_parse(b->key, &of_b);
    if (of_a.priority != of_b.priority)
        return of_a.priority > of_b.priority;
    return a->count > b->count; /* else the one that is first by name, which `b` is */
}

/* Host, path and methods as one text. */
static struct str matched_by(const struct announced_claim *claim)
{
    struct str rest = claim->key;
    for (int i = 0; i < 3; i++)
        str_cut(&rest, ' ');
    return str_make(claim->key.ptr, (size_t)(rest.ptr - claim->key.ptr));
}

static void choose(const struct round *round, const struct announced_claim *claims, size_t count,
                   struct map *taken)
{
    for (size_t i = 0; i < count; i++) {
        const struct announced_claim *there = map_get(taken, matched_by(&claims[i]));
        const struct announced_claim *loser = there;
        if (!there || is_better(&claims[i], there))
            map_put(taken, matched_by(&claims[i]), (void *)(uintptr_t)&claims[i], NULL);
        else
            loser = &claims[i];
        if (!loser || str_equal(loser->service, (loser == there ? &claims[i] : there)->service))
            continue;
        char why[256];
        snprintf(why, sizeof(why), "service %.*s claims the same, and comes first",
                 STR_ARG((loser == there ? &claims[i] : there)->service));
        warn_once(round->routes, loser, "consul route not made", why);
    }
}

/* --- rounds --- */

static void drop_unwanted(const struct round *round)
{
    static const char *const kinds[] = {"routes", "services", "upstreams"};
    struct map kept = {0};
    struct str id;
    void *value;
    for (size_t k = 0; k < 3; k++) /* children first */
        for (size_t at = 0; map_each(&round->routes->rows, &at, &id, &value);) {
            struct made_row *made = value;
            if (!made->is_wanted && made->entity == entity_of(kinds[k]))
                config_remove_made(round->config, made->entity, id.ptr);
        }
    for (size_t at = 0; map_each(&round->routes->rows, &at, &id, &value);) {
        struct made_row *made = value;
        if (made->is_wanted && map_put(&kept, id, made, NULL) == 0) {
            made->is_wanted = false;
            continue;
        }
        round->routes->has_changed = true;
        json_decref(made->input);
        free(made);
    }
    map_deinit(&round->routes->rows);
    round->routes->rows = kept;
}

bool consul_routes_apply(struct consul_routes *routes, const struct registry *registry,
                         struct config *config)
{
    if (!routes)
        return false;
    routes->has_changed = false;
    const struct announced_claim *claims = NULL;
    size_t count = registry_claims(registry, &claims);
    struct round round = {routes, config, {0}};
    choose(&round, claims, count, &round.taken);
    for (size_t i = 0; i < count; i++)
        if (map_get(&round.taken, matched_by(&claims[i])) == &claims[i] &&
            make_rows(&round, &claims[i]) == UV_ENOMEM)
            log_error("memory is short", LOG_STR("service", claims[i].service));
    map_deinit(&round.taken);
    drop_unwanted(&round);
    return routes->has_changed;
}

int consul_routes_create(struct consul_routes **ret)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : UV_ENOMEM;
}

void consul_routes_destroy(struct consul_routes *routes)
{
    void *value;
    if (!routes)
        return;
    for (size_t at = 0; map_each(&routes->rows, &at, NULL, &value);) {
        json_decref(((struct made_row *)value)->input);
        free(value);
    }
    map_deinit(&routes->rows);
    map_deinit(&routes->warned);
    free(routes);
}
