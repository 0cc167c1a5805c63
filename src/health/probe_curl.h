/* probe_curl.h - what the probes by libcurl have in common: where they lead, what every one sends,
 * and how they end.
 *
 * For probe_https.c and probe_grpc.c.
 *
 * Thread: the loop's. Memory: one block a probe, freed at its end. */
#ifndef HEALTH_PROBE_CURL_H
#define HEALTH_PROBE_CURL_H

#include <curl/curl.h>

#include "health/probe.h"

#define PROBE_CURL_MAX_HEAD_BYTES (16 * 1024) /* of an answer, trailers with it */

/* Each kind's own begins with it. */
struct probe_curl {
    struct probe probe; /* first */
    struct curl_transfer transfer;
    struct curl_loop *curl;       /* borrowed */
    struct curl_slist *headers;   /* the handle borrows both until it is cleaned up */
    struct curl_slist *addresses; /* where the URL's name leads */
    size_t head_bytes;
    /* What the end of the transfer means; not asked where the head was too long. */
    struct probe_result (*read_result)(const struct probe_curl *p, CURLcode code);
};

/* Fills `p`, which is zeroed but for read_result and was allocated by itself or as the first part
 * of a block. Its handle will ask the target for `path`, by the rules' time-out, names, headers and
 * certificates, on a connection of its own. `scheme` is "http" or "https". 0 or UV_ENOMEM; after
 * either, probe_curl_start or probe_curl_destroy is due. */
int probe_curl_prepare(struct probe_curl *p, struct curl_loop *curl,
                       const struct health_rules *rules, const struct target_state *target,
                       const char *scheme, const char *path, probe_done_cb done, void *arg);
int probe_curl_add_header(struct probe_curl *p, const char *line);
/* 0, and the probe is under way; or UV_ENOMEM. */
int probe_curl_start(struct probe_curl *p);
void probe_curl_destroy(struct probe_curl *p);

/* Counts a piece of the head, for CURLOPT_HEADERFUNCTION: its `len`, or 0 when it is too long. */
size_t probe_curl_count_head(struct probe_curl *p, size_t len);
/* Of a transfer that brought nothing to be judged. */
struct probe_result probe_curl_failure(CURLcode code);

#endif
