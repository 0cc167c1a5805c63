/* http2_meter.h - how many frames a client has sent that cost it less than us.
 *
 * Each kind has an allowance that a burst may use up and that grows back with time, so that no
 * browser meets it and no flood passes it.
 *
 * Thread: one owner. Memory: embedded. */
#ifndef HTTP_HTTP2_METER_H
#define HTTP_HTTP2_METER_H

#include <stdbool.h>
#include <stdint.h>

enum http2_nuisance {
    HTTP2_RESETS = 0, /* by the client, or forced by it (it broke a stream's protocol) */
    HTTP2_SETTINGS,
    HTTP2_PINGS,
    HTTP2_EMPTY_FRAMES, /* no content, no end */
    HTTP2_WINDOW_UPDATES,
    HTTP2_PRIORITIES,
    HTTP2_LATE_HEADS,     /* for streams that are over */
    HTTP2_NUISANCE_COUNT, /* keep last */
};

struct http2_meter {
    uint64_t counted_ms;
    uint32_t left[HTTP2_NUISANCE_COUNT]; /* thousandths */
};

void http2_meter_init(struct http2_meter *meter, uint64_t now_ms);
/* False: it is one too many. */
bool http2_meter_take(struct http2_meter *meter, enum http2_nuisance kind, uint64_t now_ms);
/* The client has been given a reason for `count` more of them. */
void http2_meter_give(struct http2_meter *meter, enum http2_nuisance kind, unsigned count);
/* "too many resets": a constant. */
const char *http2_meter_reason(enum http2_nuisance kind);

#endif
