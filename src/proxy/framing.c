#include "proxy/framing.h"

#include <assert.h>

#include "proxy/writer.h"

static struct str write_size_line(struct framing_gather *gather, size_t total)
{
    struct writer writer = writer_on(gather->size_line, sizeof(gather->size_line));
    writer_hex(&writer, total);
    WRITER_LITERAL(&writer, "\r\n");
    return str_make(gather->size_line, (size_t)(writer.at - gather->size_line));
}

void framing_add(struct framing_gather *gather, enum http_framing framing, const struct str *pieces,
                 unsigned count, size_t total)
{
    assert(count <= FRAMING_MAX_PIECES);
    if (total == 0) /* a chunk of no bytes would be the last */
        return;
    if (framing == HTTP_CHUNKED)
        framing_put(gather, write_size_line(gather, total));
    for (unsigned i = 0; i < count; i++)
        framing_put(gather, pieces[i]);
    if (framing == HTTP_CHUNKED)
        framing_put(gather, STR("\r\n"));
}

void framing_end(struct framing_gather *gather, enum http_framing framing, struct str trailers)
{
    if (framing != HTTP_CHUNKED)
        return;
    framing_put(gather, STR("0\r\n"));
    framing_put(gather, trailers);
    framing_put(gather, STR("\r\n"));
}
