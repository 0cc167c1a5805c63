#include "discovery/json_pieces.h"

#include <uv.h> /* error codes only */

void json_pieces_init(struct json_pieces *pieces, json_piece_cb on_piece, void *arg)
{
    *pieces = (struct json_pieces){.on_piece = on_piece, .arg = arg};
    buf_init(&pieces->held, JSON_PIECE_MAX_BYTES);
}

void json_pieces_deinit(struct json_pieces *pieces)
{
    buf_deinit(&pieces->held);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The element goes on in later bytes: keep what there is of it. One with a fault is only followed
 * to its end. */
static int hold(struct json_pieces *pieces, struct str part)
{
    int rc = pieces->fault ? 0 : buf_append(&pieces->held, part.ptr, part.len);
    if (rc == UV_ENOBUFS) {
        pieces->fault = JSON_PIECE_TOO_LARGE;
        rc = 0;
    }
    return rc;
}

static int end_value(struct json_pieces *pieces, struct str part)
{
    int rc = 0;
    struct str whole = part;
    if (buf_len(&pieces->held) > 0) {
        rc = hold(pieces, part);
        whole = buf_str(&pieces->held);
    }
    if (!rc)
        rc = pieces->on_piece(pieces->arg, pieces->fault ? STR_EMPTY : whole, pieces->fault);
    buf_clear(&pieces->held);
    pieces->fault = JSON_PIECE_WHOLE;
    return rc;
}

/* From `at` on to behind the end of the string, or of the bytes. */
static size_t skip_string(struct json_pieces *pieces, struct str bytes, size_t at)
{
    for (; at < bytes.len; at++) {
        char c = bytes.ptr[at];
        if (pieces->is_escaped) {
            pieces->is_escaped = false;
        } else if (c == '\\') {
            pieces->is_escaped = true;
        } else if (c == '"') {
            pieces->in_string = false;
            return at + 1;
        }
    }
    return at;
}

/* From `at` on to the ',' or ']' behind the element, or to the end of the bytes. */
static size_t skip_value(struct json_pieces *pieces, struct str bytes, size_t at)
{
    while (at < bytes.len) {
        if (pieces->in_string) {
            at = skip_string(pieces, bytes, at);
            continue;
        }
        char c = bytes.ptr[at];
        if (pieces->depth == 0 && (c == ',' || c == ']'))
            return at;
        if (c == '"')
            pieces->in_string = true;
        else if (c == '{' || c == '[')
            pieces->depth++;
        else if ((c == '}' || c == ']') && pieces->depth > 0)
            pieces->depth--;
        if (pieces->depth > JSON_PIECES_DEPTH_MAX)
            pieces->fault = JSON_PIECE_TOO_DEEP;
        at++;
    }
    return at;
}

/* Between elements. False: that is no array. */
static bool take_mark(struct json_pieces *pieces, char c)
{
    switch (pieces->state) {
    case JSON_PIECES_START:
        pieces->state = JSON_PIECES_FIRST;
        return c == '[';
    case JSON_PIECES_FIRST:
    case JSON_PIECES_NEXT:
        if (c == ']' && pieces->state == JSON_PIECES_FIRST) {
            pieces->state = JSON_PIECES_END;
            return true;
        }
        pieces->state = JSON_PIECES_VALUE;
        return c != ']' && c != ',';
    default:
        return false; /* something behind the end */
    }
}

static int feed(struct json_pieces *pieces, struct str bytes)
{
    for (size_t at = 0; at < bytes.len;) {
        if (pieces->state != JSON_PIECES_VALUE) {
            if (!is_blank(bytes.ptr[at]) && !take_mark(pieces, bytes.ptr[at]))
                return UV_EINVAL;
            if (pieces->state != JSON_PIECES_VALUE) {
                at++;
                continue;
            }
        }
        size_t end = skip_value(pieces, bytes, at);
        struct str part = str_make(bytes.ptr + at, end - at);
        int rc = end < bytes.len ? end_value(pieces, part) : hold(pieces, part);
        if (rc)
            return rc;
        if (end < bytes.len)
            pieces->state = bytes.ptr[end] == ',' ? JSON_PIECES_NEXT : JSON_PIECES_END;
        at = end + 1;
    }
    return 0;
}

int json_pieces_feed(struct json_pieces *pieces, struct str bytes)
{
    if (pieces->state == JSON_PIECES_BROKEN)
        return UV_EINVAL;
    int rc = feed(pieces, bytes);
    if (rc)
        pieces->state = JSON_PIECES_BROKEN;
    return rc;
}

bool json_pieces_is_whole(const struct json_pieces *pieces)
{
    return pieces->state == JSON_PIECES_END;
}
