/* framing.h - gathers a head, content and what frames it for one write, without copying any of it.
 *
 * Content that came as pieces of several chunks leaves as one chunk.
 *
 * Thread: any. Memory: on the caller's stack; borrows all that is gathered until it is written. */
#ifndef PROXY_FRAMING_H
#define PROXY_FRAMING_H

#include <uv.h>

#include "base/str.h"
#include "http/message.h"

#define FRAMING_MAX_PIECES 32 /* of content in one write */

struct framing_gather {
    unsigned count;
    uv_buf_t pieces[FRAMING_MAX_PIECES + 6]; /* a head, a chunk's two lines, the end's three */
    char size_line[20];
};

static inline void framing_put(struct framing_gather *gather, struct str s)
{
    if (s.len > 0)
        gather->pieces[gather->count++] = (uv_buf_t){.base = (char *)s.ptr, .len = s.len};
}

/* `head` may be empty. */
static inline void framing_begin(struct framing_gather *gather, struct str head)
{
    gather->count = 0;
    framing_put(gather, head);
}

/* Once a gather: `total` is the sum of the pieces' lengths, of which there are FRAMING_MAX_PIECES
 * at most. */
void framing_add(struct framing_gather *gather, enum http_framing framing, const struct str *pieces,
                 unsigned count, size_t total);

/* The content ends here. `trailers` are whole lines, or empty. */
void framing_end(struct framing_gather *gather, enum http_framing framing, struct str trailers);

#endif
