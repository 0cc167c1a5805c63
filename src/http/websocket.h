/* websocket.h - the key by which who asks for WebSocket knows that it was understood (RFC 6455,
 * sections 4.1 and 4.2.2). Frames and messages are nobody's business here.
 *
 * Thread: any. Memory: the caller's. */
#ifndef HTTP_WEBSOCKET_H
#define HTTP_WEBSOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define WEBSOCKET_KEY_BYTES 24
#define WEBSOCKET_ACCEPT_BYTES 28

/* The value of Sec-WebSocket-Key that stands for sixteen random bytes. */
void websocket_write_key(const uint8_t random[16], char out[WEBSOCKET_KEY_BYTES]);
/* Whether `accept` is the Sec-WebSocket-Accept that belongs to the key. */
bool websocket_is_accepted(struct str key, struct str accept);

#endif
