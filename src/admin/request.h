/* request.h - one request to the Admin API, from its decoded form to its answer.
 *
 * The connection fills in what came, an endpoint's handler answers: at once, or later when a write
 * has been carried out. A client that goes away meanwhile leaves the request behind, which then
 * ends with its answer.
 *
 * Thread: control. Memory: one heap object; owns its arena, its input and its answer. */
#ifndef ADMIN_REQUEST_H
#define ADMIN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "admin/tokens.h"
#include "admin/urlencoded.h"
#include "base/arena.h"
#include "base/str.h"
#include "model/config.h"
#include "model/violation.h"

#define ADMIN_MAX_SEGMENTS 6 /* of a path; what has more matches nothing */

/* The verbs that endpoints have handlers for. HEAD is GET without the body; OPTIONS is answered
 * from the table. */
enum admin_method {
    ADMIN_GET = 0,
    ADMIN_POST,
    ADMIN_PUT,
    ADMIN_PATCH,
    ADMIN_DELETE,
    ADMIN_METHOD_COUNT, /* keep last of those with handlers */
    ADMIN_OPTIONS,
    ADMIN_OTHER_METHOD,
};

struct admin_endpoint;
struct admin_endpoints;
struct admin_node;
struct admin_request;

/* The answer is there; the callee owns the request from here. */
typedef void (*admin_answered_cb)(struct admin_request *request);

struct admin_request {
    /* What came. */
    enum admin_method method;
    bool is_head;
    struct str segments[ADMIN_MAX_SEGMENTS]; /* of the path, decoded; in the arena, terminated */
    unsigned segment_count;
    struct urlencoded_arg *query; /* in the arena */
    size_t query_count;
    json_t *input; /* owned; the decoded body, an object (POST, PUT, PATCH), else NULL */
    bool from_form;

    /* Who it came from, for the audit log. */
    bool is_audited;
    char client[64];                /* the address, without its port */
    char caller[TOKENS_NAME_BYTES]; /* the token's name; empty: none is needed */
    bool hides_secrets;             /* from who asks: their role is to look */
    json_t *before;                 /* owned: of each row of write.change; NULL: not planned */

    /* Where it belongs. */
    const struct admin_node *node;     /* borrowed; not valid in an orphan */
    struct admin_endpoints *endpoints; /* referenced; may be NULL in tests */
    const struct admin_endpoint *endpoint;
    const char *params[ADMIN_MAX_SEGMENTS]; /* the segments that stand for the pattern's {names} */
    struct arena arena;

    /* A write under way (crud.c). */
    struct config_write write;
    struct violation violation;
    json_t *row;     /* owned: the row as it will be, once planned */
    bool is_planned; /* a failure after this is the store's */

    /* The answer. */
    bool wants_events; /* a stream of them follows, in place of a body */
    bool has_events_after;
    uint64_t events_after;
    int status;
    json_t *body; /* owned; NULL: none */
    char *text;   /* owned: a body that is no JSON; NULL: none */
    size_t text_len;
    const char *text_type; /* its Content-Type; constant */
    bool waits_for_all;
    uint64_t wait_limit_ms;
    char *behind;      /* owned: the nodes that a write has not reached in time; NULL: not said */
    bool is_temporary; /* a refusal that passes: Retry-After */
    admin_answered_cb answered;
    void *connection; /* NULL: the client is gone */
};

/* 0 and an owned request, or UV_ENOMEM. */
int admin_request_create(struct admin_request **ret);
void admin_request_destroy(struct admin_request *request); /* NULL is fine */

void admin_request_set_method(struct admin_request *request, uint8_t llhttp_method);
/* Splits and decodes path and query (copied). 0; UV_EINVAL: that is no path, or a segment is no
 * UTF-8 text or holds NUL; UV_E2BIG: too many arguments; UV_ENOMEM. */
int admin_request_set_target(struct admin_request *request, struct str target);

/* The first value of a query argument; false when there is none. */
bool admin_request_query(const struct admin_request *request, const char *name, struct str *ret);

/* Answers; `body` (NULL: none) passes to the request. The request must not be used after. */
void admin_request_answer(struct admin_request *request, int status, json_t *body);
/* Answers 200 with a text (owned by the request from here) of that type (constant). */
void admin_request_answer_text(struct admin_request *request, const char *type, char *text,
                               size_t len);
/* As admin_request_answer, of a write that is in force on this node: ?wait=all answers when it is
 * on all others that live, or says after ?wait_ms=… which it has not reached. In the write's
 * done(). */
void admin_request_answer_write(struct admin_request *request, int status, json_t *body);
/* What a write's ?wait=…&wait_ms=… ask for, before anything is written. False: they make no sense,
 * and it has been answered. */
bool admin_request_read_wait(struct admin_request *request);
/* A write by its verb that changes nothing: /schemas/…/validate. */
bool admin_request_only_reads(const struct admin_request *request);
/* {"message": "…"}, as Kong words what has no code. */
void admin_request_answer_message(struct admin_request *request, int status, const char *message);
void admin_request_answer_violation(struct admin_request *request,
                                    const struct violation *violation);
void admin_request_answer_not_found(struct admin_request *request);

#endif
