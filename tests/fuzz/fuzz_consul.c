/* Any bytes as the body of a health query: what is read from them is within its bounds and the same
 * however they are cut, also when parts of it were read before, and what it would take away can be
 * judged and merged. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/consul_parse.h"
#include "discovery/flaps.h"
#include "discovery/protection.h"
#include "discovery/route_claims.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each line is a complaint, or a claim that can be read again and makes a route worth checking. */
static void check_routes(struct str routes)
{
    struct str all = routes;
    MUST(routes.len <= ROUTE_CLAIMS_BYTES);
    while (routes.len > 0) {
        struct str line = str_cut(&routes, '\n');
        struct route_claim claim;
        uint32_t share, found;
        for (size_t i = 0; i < line.len; i++)
            MUST(line.ptr[i] == '\t' || (line.ptr[i] >= ' ' && line.ptr[i] <= '~'));
        if (line.len == 0 || line.ptr[0] == '!')
            continue;
        struct str key = route_claims_key(line, &share);
        route_claims_parse(key, &claim);
        MUST(claim.path.len > 0 && share <= 10000);
        MUST(claim.path.ptr[0] == '/' || claim.path.ptr[0] == '~');
        MUST(str_equal(claim.protocol, STR("http")) || str_equal(claim.protocol, STR("https")));
        MUST(route_claims_find(all, key, &found));
    }
}

static void check_item(const struct discovered *item)
{
    MUST(item->host.len > 0 && item->instance.len > 0);
    MUST(!memchr(item->host.ptr, '\0', item->host.len));
    MUST(item->weight >= 1 && item->weight <= 65535 && item->weight_warning <= 65535);
    MUST(item->status <= DISCOVERED_MAINTENANCE);
    MUST(item->why.len < 512);
    check_routes(item->routes);
}

/* Against a list with every second target: nothing is lost in the merger. */
static void check_protection(struct discovered_list *now)
{
    struct discovered_list *last, *merged;
    MUST(discovered_list_create(&last) == 0);
    for (uint32_t i = 0; i < now->count; i += 2)
        MUST(discovered_list_add(last, &now->items[i]) == 0);
    discovered_list_seal(last);
    MUST(protection_merge(last, now, &merged) == 0);
    MUST(!protection_is_mass_removal(last, merged) && !protection_takes_away(last, merged));
    MUST(protection_agrees(last, now, merged));
    struct flaps flaps;
    flaps_init(&flaps);
    flaps_damp(&flaps, merged, 1000);
    flaps_damp(&flaps, last, 2000);
    flaps_deinit(&flaps);
    discovered_list_destroy(last);
    discovered_list_destroy(merged);
}

/* The same bytes in pieces, with a list that knows some of them. */
static void check_pieces(struct str body, const struct consul_view *view, int rc,
                         struct consul_answer *whole)
{
    struct known_entries known;
    struct consul_parser parser;
    struct consul_answer again;
    size_t step = body.len % 13 + 1;
    known_entries_init(&known, &whole->list);
    for (int turn = 0; turn < 2; turn++) {
        consul_parser_init(&parser, view, &known);
        for (size_t at = 0; at < body.len; at += step) {
            size_t len = body.len - at < step ? body.len - at : step;
            char *piece = malloc(len);
            memcpy(piece, body.ptr + at, len);
            consul_parser_feed(&parser, str_make(piece, len));
            free(piece);
        }
        MUST(consul_parser_end(&parser, &again) == rc);
        consul_parser_deinit(&parser);
        MUST(again.bad_count == whole->bad_count);
        MUST(strcmp(again.bad_reason, whole->bad_reason) == 0);
        MUST(strcmp(again.bad_entry, whole->bad_entry) == 0);
        MUST(!again.list == !whole->list);
        if (!again.list)
            break;
        MUST(discovered_list_equal(again.list, whole->list));
        discovered_list_destroy(whole->list);
        whole->list = again.list; /* this one has fingerprints: the second turn finds them */
    }
    known_entries_deinit(&known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str excluded[] = {{"old", 3}};
    const struct consul_view views[] = {
        {0},
        {.excluded_tags = excluded,
         .excluded_count = 1,
         .tagged_address = {"wan", 3},
         .reads_routes = true,
         .require_service_check = true},
    };
    for (int i = 0; i < 2; i++) {
        struct consul_answer answer;
        struct str body = str_make((const char *)data, size);
        int rc = consul_parse(body, &views[i], &answer);
        check_pieces(body, &views[i], rc, &answer);
        if (rc)
            continue;
        for (uint32_t at = 0; at < answer.list->count; at++)
            check_item(&answer.list->items[at]);
        check_protection(answer.list);
        discovered_list_destroy(answer.list);
    }
    return 0;
}
