/* matching.c - what it takes the proxy's router to find a route, and what it holds for each.
 *
 *     matching ROUTES REGEXES ROUNDS [blind]
 *
 * ROUTES literal paths and REGEXES regular expressions, each with a route of its own. A regex has a
 * beginning of its own that is literal; blind ones have none, so that a router can only try them.
 * Prints one JSON object: nanoseconds a lookup for paths of literal routes, for paths that a regex
 * takes (null without any) and for paths of no route; of ROUNDS the best and the median;
 * milliseconds of building; bytes of the router and of the routes that it borrows. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/router.h"

#define MAX_LOOKUPS 4096 /* paths asked for, in a random order, each with its own cache misses */
#define BLIND_LOOKUPS 64 /* where each takes long */
#define MAX_ROUTES 1000000
#define MAX_ROUNDS 1000

enum question { ASK_LITERAL, ASK_REGEX, ASK_NOTHING };

static uint32_t lookups = MAX_LOOKUPS;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static uint32_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static struct str text_of(const char *before, uint32_t number, const char *after)
{
    char text[80];
    int len = snprintf(text, sizeof(text), "%s%u%s", before, number, after);
    char *copy = malloc((size_t)len);
    if (!copy)
        abort();
    memcpy(copy, text, (size_t)len);
    return str_make(copy, (size_t)len);
}

static struct route *make_routes(uint32_t literals, uint32_t regexes, bool is_blind)
{
    struct route *routes = calloc((size_t)literals + regexes, sizeof(*routes));
    for (uint32_t i = 0; routes && i < literals + regexes; i++) {
        struct str *path = malloc(sizeof(*path));
        if (!path)
            abort();
        *path = i < literals ? text_of("/api/v1/service-", i, "/items")
                             : text_of(is_blind ? "~/[a-z]+/v2/tenant-" : "~/api/v2/tenant-",
                                       i - literals, "/(?<id>\\d+)$");
        routes[i] = (struct route){.id = text_of("", i, ""),
                                   .protocols = PROTOCOL_HTTP | PROTOCOL_HTTPS,
                                   .paths = path,
                                   .path_count = 1};
    }
    return routes;
}

/* Nanoseconds of one lookup on average; every answer is checked. */
static double ask(const struct router *router, const struct str *paths, enum question question)
{
    struct router_query query = {
        .method = STR("GET"), .host = STR("gateway.example"), .listener_port = 8000};
    struct router_match match;
    uint32_t found = 0;
    uint64_t began = now_ns();
    for (uint32_t i = 0; i < lookups; i++) {
        query.path = paths[i];
        found += router_find(router, &query, &match) && match.has_path;
    }
    double ns = (double)(now_ns() - began) / lookups;
    if (found != (question == ASK_NOTHING ? 0 : lookups)) {
        fprintf(stderr, "matching: %u of %u lookups found a route\n", found, lookups);
        exit(1);
    }
    return ns;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct router *router, enum question question, uint32_t routes,
                    uint32_t rounds, const char *name)
{
    static const struct {
        const char *before, *after;
    } texts[] = {{"/api/v1/service-", "/items/17"},
                 {"/api/v2/tenant-", "/17"},
                 {"/api/v3/service-", "/items"}};
    static struct str paths[MAX_LOOKUPS];
    static double ns[MAX_ROUNDS];
    if (routes == 0) {
        printf(", \"%s_ns\": null", name);
        return;
    }
    for (uint32_t i = 0; i < lookups; i++)
        paths[i] = text_of(texts[question].before, next_random() % routes, texts[question].after);
    ask(router, paths, question); /* warms the caches up */
    for (uint32_t i = 0; i < rounds; i++)
        ns[i] = ask(router, paths, question);
    qsort(ns, rounds, sizeof(*ns), compare);
    printf(", \"%s_ns\": [%.0f, %.0f]", name, ns[0], ns[rounds / 2]);
    for (uint32_t i = 0; i < lookups; i++)
        free((char *)(uintptr_t)paths[i].ptr);
}

int main(int argc, char **argv)
{
    uint32_t numbers[3] = {0, 0, 0};
    for (int i = 1; i < argc && i < 4; i++)
        numbers[i - 1] = (uint32_t)strtoul(argv[i], NULL, 10);
    uint32_t literals = numbers[0], regexes = numbers[1], rounds = numbers[2];
    bool is_blind = argc == 5 && strcmp(argv[4], "blind") == 0;
    if (argc < 4 || argc > 5 || is_blind != (argc == 5) || literals + regexes == 0 ||
        literals > MAX_ROUTES || regexes > MAX_ROUTES || rounds == 0 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: matching ROUTES REGEXES ROUNDS [blind]\n");
        return 2;
    }
    if (is_blind)
        lookups = BLIND_LOOKUPS;
    struct error err = {.sentence = "memory is short"};
    struct router *router;
    size_t at_first = heap_bytes();
    static struct route *routes; /* with its texts, to the end of the process */
    routes = make_routes(literals, regexes, is_blind);
    size_t with_routes = heap_bytes();
    uint64_t began = now_ns();
    if (!routes || router_create(routes, literals + regexes, NULL, &router, &err)) {
        fprintf(stderr, "matching: %s: %s\n", err.field, err.sentence);
        return 1;
    }
    double build_ms = (double)(now_ns() - began) / 1e6;
    printf("{\"routes\": %u, \"regexes\": %u, \"build_ms\": %.2f, \"router_bytes\": %zu, "
           "\"route_bytes\": %zu",
           literals, regexes, build_ms, heap_bytes() - with_routes, with_routes - at_first);
    measure(router, ASK_LITERAL, literals, rounds, "literal");
    measure(router, ASK_REGEX, regexes, rounds, "regex");
    measure(router, ASK_NOTHING, literals + regexes, rounds, "none");
    puts("}");
    router_destroy(router);
    return 0;
}
