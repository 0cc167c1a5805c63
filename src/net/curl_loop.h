/* curl_loop.h - libcurl's multi interface on a libuv loop: many HTTP transfers, no thread, nothing
 * that blocks.
 *
 * It moves bytes and says when a transfer has ended; what to ask and what the answer means is its
 * users' business. Connections are kept and used again by libcurl.
 *
 * Thread: the loop's. Memory: owns its sockets and connections; easy handles are their users'. */
#ifndef NET_CURL_LOOP_H
#define NET_CURL_LOOP_H

#include <stdbool.h>

#include <curl/curl.h>
#include <uv.h>

struct curl_loop;

/* One easy handle, which its user made and keeps: a transfer may be started again when it has
 * ended. Embed it; zeroed but for `easy` and `done` it is ready. */
struct curl_transfer {
    CURL *easy;
    /* The transfer has ended: not called after curl_loop_cancel, nor from within curl_loop_start.
     * May start or cancel any transfer. */
    void (*done)(struct curl_transfer *transfer, CURLcode result);
    bool is_active;
};

/* At most max_connections at once; further transfers wait for a free one. 0 or a negative UV_E…. */
int curl_loop_create(uv_loop_t *loop, long max_connections, struct curl_loop **ret);

/* Another number of connections, for transfers to come. */
void curl_loop_limit(struct curl_loop *curl, long max_connections);

/* Sets CURLOPT_PRIVATE of the handle, which its user may not. 0 or UV_ENOMEM. */
int curl_loop_start(struct curl_loop *curl, struct curl_transfer *transfer);
/* Ends it without a word. Harmless for one that is not active. */
void curl_loop_cancel(struct curl_loop *curl, struct curl_transfer *transfer);

/* No transfer may be active any more. Calls back when all handles are closed. */
void curl_loop_close(struct curl_loop *curl, void (*closed)(void *arg), void *arg);

#endif
