/* plugin.h - what a plugin is, what it may see of an exchange, and what it may do.
 *
 * A plugin is compiled from a row of the configuration, once a snapshot, and then runs on the
 * workers. In the access step, before an upstream is asked, it may change the request's head, say
 * who the consumer is, or end the exchange with an answer. In the respond step it may change the
 * head of what the client gets: an upstream's response, or weir's own answer.
 *
 * Heads are changed without copying them: a field that goes is marked, one that comes is a line
 * beside the head. Framing and the connection are the gateway's: plugins cannot touch them.
 *
 * Thread: compile on control; access and respond on any worker, so that what is compiled is not
 * changed but for atomics. Memory: what is compiled hangs on the snapshot's arena, what the steps
 * make on the exchange's; neither is freed singly. */
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
#include "model/consumers.h"
#include "model/snapshot.h"

/* All borrowed; for as long as the exchange. */
struct plugin_request {
    struct http_head *head;
    struct uri *uri;   /* its query may be changed: plugin_set_query */
    struct str path;   /* normalised */
    struct str client; /* the address of who sent it */
    bool is_secure;
    uint16_t listener_port;
    const struct route *route;
    const struct consumers *consumers;
    const char *request_id; /* FORWARD_REQUEST_ID_BYTES, not terminated */
    struct random_state *random;
    struct arena *arena;
    /* What a group of the route's path took, by its name or number; its ptr is NULL where it took
     * nothing. May be NULL. */
    struct str (*find_capture)(const void *owner, struct str name);
    const void *owner;
};

/* Begins zeroed; goes from one plugin of the chain to the next. */
struct plugin_effect {
    struct str request_lines;  /* for the upstream: whole lines, each with its CRLF */
    struct str response_lines; /* for the client, of whatever is answered */
    struct str host;           /* in place of the Host that the service would get; empty: none */
    struct str path; /* in place of the path that it would; begins with '/'; empty: none */
    /* Who asks, once a plugin has found out; without a credential it is the anonymous one. */
    const struct consumer *consumer;
    const struct credential *credential;
    bool has_max_body; /* the request's content may be max_body_bytes long, however it comes */
    uint64_t max_body_bytes;
    /* The answer that ends the exchange. */
    uint16_t status;         /* 0: it goes on */
    const char *message;     /* in Kong's form, in the type accepted; NULL: body and its type */
    struct str answer_lines; /* of this answer alone */
    struct str body;
    struct str content_type;
};

/* What the client is about to get. */
struct plugin_response {
    struct http_head *head; /* the upstream's; NULL: weir's own answer */
    uint16_t status;
    struct str *lines; /* more whole lines, which take part like the fields of the head */
};

struct plugin {
    const char *name;
    /* Makes of a complete, valid row what the steps need. 0 and *ret, or UV_ENOMEM. */
    int (*compile)(const json_t *row, const json_t *config, struct arena *arena, const void **ret);
    /* Sets effect->status to end the exchange. NULL: nothing to do then. */
    void (*access)(const void *config, const struct plugin_request *request,
                   struct plugin_effect *effect);
    /* Also runs when an earlier plugin has ended the exchange. NULL: nothing to do then. */
    void (*respond)(const void *config, const struct plugin_request *request,
                    const struct plugin_effect *effect, struct plugin_response *response);
    /* Names the first part of a configuration that is not carried out; NULL: all of it is. */
    const char *(*lacks)(const json_t *config);
    const char *const *lacking; /* all such parts; NULL: none */
    bool identifies;            /* may find out who the consumer is */
    /* Access may be called for a stream: without head, uri, path and request_id; of the effect only
     * the status counts. */
    bool serves_streams;
};

/* ---- lines: "Name: value\r\n", one behind the other, in memory of the arena ---- */

/* So much memory stands behind lines of that length, unless their ptr is NULL: the next one is
 * added in place while there is room. */
size_t plugin_lines_room(size_t len);

/* No byte of it would end a line, or is a control character. */
bool plugin_may_stand_in_a_line(struct str value);
/* Appends one. False, and *lines is as it was: no memory, the name is no token, or the value holds
 * a byte that would end the line. */
bool plugin_add_line(struct arena *arena, struct str *lines, struct str name, struct str value);
/* The value of the first of that name; its ptr is NULL when there is none. */
struct str plugin_find_line(struct str lines, struct str name);
/* Takes all of that name out. */
void plugin_drop_lines(struct str *lines, struct str name);
/* Gives them another name. Where memory is short they are gone. */
void plugin_rename_lines(struct arena *arena, struct str *lines, struct str name,
                         struct str new_name);

/* ---- fields of a head and the lines beside it ---- */

/* The value of the request's first field of that name; its ptr is NULL when there is none. */
struct str plugin_find_field(const struct http_head *head, struct str name);
/* How many fields have that name. */
unsigned plugin_count_fields(const struct http_head *head, struct str name);
/* The value that the next in the row sees, of the lines or of the head's first field that is passed
 * on; its ptr is NULL when there is none. `head` may be NULL. */
struct str plugin_find(const struct http_head *head, struct str lines, struct str name);
/* Whether the next in the row sees one. `head` may be NULL. */
bool plugin_has(const struct http_head *head, struct str lines, struct str name);
/* The next in the row sees none of that name any more. `head` may be NULL. */
void plugin_drop(struct http_head *head, struct str *lines, struct str name);
/* Takes the fields out that an upstream may read as of that name (header_is_like), and leaves the
 * lines: an earlier plugin's are true. */
void plugin_drop_like(struct http_head *head, struct str name);
/* The next in the row sees exactly this one. */
void plugin_set(struct arena *arena, struct http_head *head, struct str *lines, struct str name,
                struct str value);
/* True for names that frame messages or steer connections, and for those that weir writes itself:
 * no plugin sets or removes them. */
bool plugin_is_reserved(struct str name);

/* The method is OPTIONS, with which browsers ask before they send the request itself. */
bool plugin_is_options(const struct http_head *head);

/* ---- the query ---- */

/* The value of the first argument of that name, unescaped, on the arena; its ptr is NULL when there
 * is none or no memory. *ret_count (may be NULL): how many there are. */
struct str plugin_find_argument(const struct plugin_request *request, struct str name,
                                unsigned *ret_count);
/* What a part of a query means: '+' is a space, and a '%' that is no escape stays. On the arena;
 * its ptr is NULL when there is no memory. */
struct str plugin_unescape(struct arena *arena, struct str text);
/* Without arguments of that name. */
void plugin_drop_argument(const struct plugin_request *request, struct str name);
/* Takes the place of the whole query; an empty one goes with its '?'. */
void plugin_set_query(const struct plugin_request *request, struct str query);

/* ---- answers ---- */

/* Ends the exchange with Kong's form of error. `message` must outlive it and need no escaping. */
void plugin_refuse(struct plugin_effect *effect, uint16_t status, const char *message);
/* {"message": …} on the arena; its ptr is NULL when there is no memory. */
struct str plugin_message_body(struct arena *arena, struct str message);

/* A message that is configured: in Kong's form of error where nothing in it needs escaping, else as
 * JSON alone. */
struct plugin_saying {
    const char *message;
    struct str body;
};
/* 0 or UV_ENOMEM. */
int plugin_saying_compile(struct arena *arena, struct str text, struct plugin_saying *ret);
void plugin_refuse_saying(struct plugin_effect *effect, uint16_t status,
                          const struct plugin_saying *saying);
#define PLUGIN_JSON_TYPE STR("application/json; charset=utf-8")

/* Unix seconds, by the machine's clock. */
int64_t plugin_now_s(void);

#endif
