/* json_pieces.h - cuts a JSON array into its elements while its bytes come in, so that a large one
 * need not be there as a whole and is read a little at a time.
 *
 * It knows strings and nesting and no more: whether an element is JSON is for its reader to say.
 *
 * Thread: one owner. Memory: holds at most one element that has not come to its end. */
#ifndef DISCOVERY_JSON_PIECES_H
#define DISCOVERY_JSON_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define JSON_PIECES_DEPTH_MAX 64
#define JSON_PIECE_MAX_BYTES ((size_t)8 * 1024 * 1024)

enum json_piece_fault { JSON_PIECE_WHOLE = 0, JSON_PIECE_TOO_LARGE, JSON_PIECE_TOO_DEEP };

/* The next element, borrowed during the call; empty where there is a fault. Anything but 0 ends the
 * reading. */
typedef int (*json_piece_cb)(void *arg, struct str piece, enum json_piece_fault fault);

/*   START --[--> FIRST --value--> VALUE --,--> NEXT --value--> VALUE
 *                  `--]--> END <--]--'                      any --else--> BROKEN  */
enum json_pieces_state {
    JSON_PIECES_START = 0,
    JSON_PIECES_FIRST,
    JSON_PIECES_NEXT,
    JSON_PIECES_VALUE,
    JSON_PIECES_END,
    JSON_PIECES_BROKEN,
};

struct json_pieces {
    enum json_pieces_state state;
    uint32_t depth; /* within the element */
    bool in_string, is_escaped;
    enum json_piece_fault fault; /* of the element at hand */
    struct buf held;             /* its bytes so far, of earlier calls */
    json_piece_cb on_piece;
    void *arg;
};

void json_pieces_init(struct json_pieces *pieces, json_piece_cb on_piece, void *arg);
void json_pieces_deinit(struct json_pieces *pieces);
/* 0, what the callback returned, UV_ENOMEM, or UV_EINVAL for what is no array; from then on the
 * same. */
int json_pieces_feed(struct json_pieces *pieces, struct str bytes);
/* Whether the array came to its end, and nothing after it. */
bool json_pieces_is_whole(const struct json_pieces *pieces);

#endif
