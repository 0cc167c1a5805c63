/* relay_pump.c - bytes from one end of a relay to the other, as fast as the slower one takes them.
 *
 * An end that is closed by its peer stays open for the other direction: the FIN is passed on when
 * all before it has been written. The relay is over when both ends have ended, or when one was
 * reset, which is passed on as a reset. An end that takes no more bytes tells by what is read from
 * it how it ended; one that isn't read then is taken for reset. */
#include "proxy/relay_parts.h"

static struct relay_end *other_end(const struct relay_end *end)
{
    struct relay *relay = end->relay;
    return end == &relay->client ? &relay->target->end : &relay->client;
}

/* Tells `to` of the other's end, as soon as it has all that came before. */
static void pass_end_on(struct relay_end *from, struct relay_end *to)
{
    if (!from->has_ended || to->is_told || stream_queued(&to->stream) > 0)
        return;
    if (!to->is_broken)
        stream_end_writing(&to->stream);
    to->is_told = true;
}

/* It takes no more bytes, and nothing will tell why: its FIN has come already, or it isn't read
 * because the other end doesn't take what it sent. */
static bool is_lost(const struct relay_end *end)
{
    return end->is_broken && !end->stream.is_reading;
}

static void go_on(struct relay_end *from, struct relay_end *to)
{
    struct relay *relay = from->relay;
    pass_end_on(from, to);
    pass_end_on(to, from);
    if (from->is_told && to->is_told) {
        relay_finish(relay, 200, NULL, from->is_broken || to->is_broken);
        return;
    }
    if (!from->has_ended && stream_queued(&to->stream) == 0 && stream_start_reading(&from->stream))
        relay_finish(relay, 200, NULL, true);
    else
        relay_watch(relay);
}

void relay_pump_bytes(struct relay_end *from, const char *bytes, size_t len)
{
    struct relay *relay = from->relay;
    struct relay_end *to = other_end(from);
    uint64_t *count = from == &relay->client ? &relay->received_bytes : &relay->sent_bytes;
    uv_buf_t piece = uv_buf_init((char *)bytes, (unsigned)len);
    *count += len;
    if (!to->is_broken && stream_write(&to->stream, &piece, 1))
        to->is_broken = true; /* its end, or a reset, may still be to be read */
    if (is_lost(to)) {
        relay_finish(relay, 200, NULL, true);
        return;
    }
    if (stream_queued(&to->stream) > RELAY_MAX_QUEUED_BYTES)
        stream_stop_reading(&from->stream);
    relay_watch(relay);
}

void relay_pump_ended(struct relay_end *from, int error)
{
    from->has_ended = true;
    if (error)
        relay_finish(from->relay, 200, NULL, true);
    else
        go_on(from, other_end(from));
}

void relay_pump_drained(struct relay_end *to, int error)
{
    if (error)
        to->is_broken = true;
    if (is_lost(to))
        relay_finish(to->relay, 200, NULL, true);
    else
        go_on(other_end(to), to);
}
