/* plugin.h - what a plugin is, what it may see of an exchange, and what it may do.
 *
 * A plugin is compiled from a row of the configuration, once a snapshot, and then runs on the
 * workers. In the access step, before an upstream is asked, it may add header lines to the request
 * and to the response, or end the exchange with an answer.
 *
 * Thread: compile on control; access on any worker, so that what is compiled is not changed but for
 * atomics. Memory: what is compiled hangs on the snapshot's arena, what access makes on the
 * exchange's; neither is freed singly. */
#ifndef PLUGINS_PLUGIN_H
#define PLUGINS_PLUGIN_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/random.h"
#include "base/str.h"
#include "http/message.h"
#include "http/uri.h"
#include "model/snapshot.h"

/* All borrowed. */
struct plugin_request {
    const struct http_head *head;
    const struct uri *uri;
    struct str path;   /* normalised */
    struct str client; /* the address of who sent it */
    bool is_secure;
    uint16_t listener_port;
    const struct route *route;
    const char *request_id; /* FORWARD_REQUEST_ID_BYTES, not terminated */
    struct random_state *random;
    struct arena *arena;
};

/* Begins zeroed. */
struct plugin_effect {
    struct str request_lines;  /* for the upstream: whole lines, each with its CRLF */
    struct str response_lines; /* for the client, of whatever is answered */
    uint16_t status;           /* of the answer that ends the exchange; 0: it goes on */
    const char *message;       /* in Kong's form, in the type accepted; NULL: body and its type */
    struct str body;
    struct str content_type;
};

struct plugin {
    const char *name;
    /* Makes of a complete, valid "config" what access needs. 0 and *ret, or UV_ENOMEM. */
    int (*compile)(const json_t *config, struct arena *arena, const void **ret);
    /* Sets effect->status to end the exchange. */
    void (*access)(const void *config, const struct plugin_request *request,
                   struct plugin_effect *effect);
};

/* Appends "name: value" to *lines. False: no memory, *lines is as it was. */
bool plugin_add_line(struct arena *arena, struct str *lines, struct str name, struct str value);
/* The value of the request's first field of that name; its ptr is NULL when there is none. */
struct str plugin_find_field(const struct http_head *head, struct str name);

#endif
