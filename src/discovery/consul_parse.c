#include "discovery/consul_parse.h"

#include <stdio.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "discovery/route_claims.h"

/* Of the whole answer. */
static int refuse(struct consul_parser *parser, const char *reason)
{
    snprintf(parser->answer.bad_reason, sizeof(parser->answer.bad_reason), "%s", reason);
    parser->answer.bad_entry[0] = '\0';
    return UV_EPROTO;
}

/* `reason` is constant. */
static int note_bad(struct consul_parser *parser, const json_t *entry, const char *reason)
{
    struct consul_answer *answer = &parser->answer;
    snprintf(answer->bad_reason, sizeof(answer->bad_reason), "%s", reason);
    consul_entry_name(entry, parser->entry_count, answer->bad_entry, sizeof(answer->bad_entry));
    if (answer->bad_count < CONSUL_SKIPPED_MAX) {
        struct consul_skipped *skipped = &answer->skipped[answer->bad_count];
        memcpy(skipped->entry, answer->bad_entry, sizeof(skipped->entry));
        skipped->why = reason;
    }
    answer->bad_count++;
    return 0;
}

static int add(struct consul_parser *parser, const struct discovered *item)
{
    if (parser->answer.list->count >= CONSUL_INSTANCES_MAX)
        return refuse(parser, "the service has more than 100000 instances");
    return discovered_list_add(parser->answer.list, item);
}

static int take_entry(struct consul_parser *parser, const json_t *entry, uint64_t fingerprint)
{
    char why[CONSUL_ENTRY_WHY_BYTES];
    struct discovered item;
    bool counts = false;
    const char *wrong = consul_entry_read(entry, parser->view, why, &item, &counts);
    if (wrong)
        return note_bad(parser, entry, wrong);
    if (!counts)
        return 0;
    item.fingerprint = fingerprint;
    char routes[ROUTE_CLAIMS_BYTES];
    if (parser->view->reads_routes)
        item.routes = route_claims_read(json_object_get(entry, "Service"), routes);
    return add(parser, &item);
}

/* What no writer of JSON writes means that the bytes were damaged on their way: then nobody knows
 * what else was. The rest is a fault of one entry's contents. */
static int take_broken(struct consul_parser *parser, const json_error_t *wrong)
{
    switch (json_error_code(wrong)) {
    case json_error_invalid_utf8:
        return note_bad(parser, NULL, "an entry is no UTF-8");
    case json_error_null_byte_in_key:
        return note_bad(parser, NULL, "an entry has a key with a NUL");
    case json_error_numeric_overflow:
        return note_bad(parser, NULL, "an entry holds a number out of range");
    case json_error_out_of_memory:
        return UV_ENOMEM;
    default: {
        char reason[96];
        snprintf(reason, sizeof(reason), "no JSON: %.80s", wrong->text);
        return refuse(parser, reason);
    }
    }
}

static int on_piece(void *arg, struct str piece, enum json_piece_fault fault)
{
    struct consul_parser *parser = arg;
    json_error_t wrong;
    parser->entry_count++;
    if (fault == JSON_PIECE_TOO_LARGE)
        return note_bad(parser, NULL, "an entry is larger than 8 MiB");
    if (fault == JSON_PIECE_TOO_DEEP)
        return note_bad(parser, NULL, "an entry is nested too deeply");
    uint64_t fingerprint = parser->known ? known_entries_fingerprint(parser->known, piece) : 0;
    const struct discovered *same =
        parser->known ? known_entries_find(parser->known, fingerprint) : NULL;
    if (same)
        return add(parser, same);
    /* NUL characters are allowed so that one in some tag doesn't spoil the entry. */
    json_t *entry =
        json_loadb(piece.ptr ? piece.ptr : "", piece.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &wrong);
    if (!entry)
        return take_broken(parser, &wrong);
    int rc = take_entry(parser, entry, fingerprint);
    json_decref(entry);
    return rc;
}

void consul_parser_init(struct consul_parser *parser, const struct consul_view *view,
                        struct known_entries *known)
{
    *parser = (struct consul_parser){.view = view, .known = known};
    if (known)
        known->indexed = NULL; /* the list has been replaced, or something in it */
    json_pieces_init(&parser->pieces, on_piece, parser);
    parser->error = discovered_list_create(&parser->answer.list);
}

void consul_parser_deinit(struct consul_parser *parser)
{
    discovered_list_destroy(parser->answer.list);
    parser->answer.list = NULL;
    json_pieces_deinit(&parser->pieces);
}

void consul_parser_feed(struct consul_parser *parser, struct str bytes)
{
    if (parser->error)
        return;
    parser->error = json_pieces_feed(&parser->pieces, bytes);
    if (parser->error == UV_EINVAL)
        parser->error = refuse(parser, "no JSON array");
}

static int judge(struct consul_parser *parser)
{
    if (!parser->error && !json_pieces_is_whole(&parser->pieces))
        parser->error = refuse(parser, "no whole JSON array");
    if (!parser->error && (uint64_t)parser->answer.bad_count * 2 > parser->entry_count)
        return UV_EINVAL; /* the last of them says why */
    return parser->error == UV_ENOMEM ? UV_ENOMEM : parser->error ? UV_EINVAL : 0;
}

int consul_parser_end(struct consul_parser *parser, struct consul_answer *ret)
{
    int rc = judge(parser);
    *ret = parser->answer;
    if (rc) {
        ret->list = NULL;
        return rc;
    }
    parser->answer.list = NULL;
    discovered_list_seal(ret->list);
    return 0;
}

int consul_parse(struct str body, const struct consul_view *view, struct consul_answer *ret)
{
    struct consul_parser parser;
    consul_parser_init(&parser, view, NULL);
    consul_parser_feed(&parser, body);
    int rc = consul_parser_end(&parser, ret);
    consul_parser_deinit(&parser);
    return rc;
}
