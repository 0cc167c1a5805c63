/* consul_parse.h - the body of Consul's /v1/health/service/<name> to targets; bytes in, no sockets.
 *
 * The bytes are read as they come: a service of ten thousand instances has nine megabytes, and the
 * loop that reads them has other things to do in between.
 *
 * Thread: one at a time. Memory: the parser holds one entry at most; the list is the caller's. */
#ifndef DISCOVERY_CONSUL_PARSE_H
#define DISCOVERY_CONSUL_PARSE_H

#include "discovery/consul_entry.h"
#include "discovery/json_pieces.h"
#include "discovery/known_entries.h"
#include "discovery/source.h"

#define CONSUL_INSTANCES_MAX 100000 /* of one service */

#define CONSUL_SKIPPED_MAX 8 /* entries left out that are named; all are counted */

struct consul_skipped {
    char entry[104]; /* as bad_entry */
    const char *why; /* constant */
};

struct consul_answer {
    struct discovered_list *list; /* owned by the caller; sealed */
    uint32_t bad_count;           /* entries left out because they made no sense */
    char bad_reason[96];          /* why the last of them; or why nothing is believed */
    char bad_entry[104];          /* which it was: "node/id" or "entry 7"; UTF-8, may be empty */
    struct consul_skipped skipped[CONSUL_SKIPPED_MAX]; /* the first of them */
};

struct consul_parser {
    const struct consul_view *view; /* borrowed */
    struct known_entries *known;    /* borrowed; NULL: all is parsed */
    struct json_pieces pieces;
    struct consul_answer answer;
    uint32_t entry_count;
    int error; /* nothing more is read */
};

/* Embed it. init borrows the view, and what was read by the same view before (NULL: nothing), until
 * deinit, which may come at any time; a parser may be initialised again after that. */
void consul_parser_init(struct consul_parser *parser, const struct consul_view *view,
                        struct known_entries *known);
void consul_parser_deinit(struct consul_parser *parser);
/* What is wrong with the bytes is said at the end. */
void consul_parser_feed(struct consul_parser *parser, struct str bytes);
/* An entry that makes no sense is left out and counted; where more than half are, or the body is
 * no JSON array, nothing is believed: UV_EINVAL, and bad_reason says why. 0 or UV_ENOMEM. The
 * parser is to be deinitialised in any case. */
int consul_parser_end(struct consul_parser *parser, struct consul_answer *ret);

/* All of it at once, for a whole body. */
int consul_parse(struct str body, const struct consul_view *view, struct consul_answer *ret);

#endif
