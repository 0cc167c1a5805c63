/* guard.h - who may do what with the Admin API, before anything of a request but its head is read:
 * how many requests, whose token, from whose web page.
 *
 * What it lets pass it names, for the audit log (audit.h).
 *
 * Thread: control. Memory: one heap object; shared by the servers that it is given to. */
#ifndef ADMIN_GUARD_H
#define ADMIN_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "admin/tokens.h"
#include "base/error.h"
#include "base/str.h"
#include "net/ip.h"

#define GUARD_MAX_ORIGINS 16

struct admin_guard;

struct admin_guard_settings {
    const char *tokens_file; /* borrowed for the guard's life; NULL: nobody needs a token */
    const char *origins;     /* "*", "off", or a comma list of URLs; NULL: "*" */
    uint32_t rate_limit;     /* requests a second from an address; 0: any */
    bool audits;             /* writes are logged */
};

/* 0, UV_ENOMEM, or a negative UV_E… with *err. */
int admin_guard_create(const struct admin_guard_settings *settings, struct admin_guard **ret,
                       struct error *err);
void admin_guard_destroy(struct admin_guard *guard); /* NULL is fine */
bool admin_guard_audits(const struct admin_guard *guard);

/* What a request shows of itself. */
struct guard_question {
    const union ip_address *from;
    struct str kong_admin_token; /* fields of its head; empty: absent */
    struct str authorization;
    struct str origin;
    bool is_preflight; /* OPTIONS: browsers send no token with it */
    bool is_write;
    const char *action; /* "read", "create", "update", "delete": for the answer */
    uint64_t now_ms;
};

struct guard_verdict {
    int status;        /* 0: pass; 401, 403 or 429 */
    char message[192]; /* why not */
    /* For the answer's WWW-Authenticate; NULL: none. */
    const char *challenge;
    char name[TOKENS_NAME_BYTES]; /* the token's; empty: none was shown, or it is not known */
    bool hides_secrets;           /* who asks may only look */
};

/* Refusals are logged, one a second at most. */
void admin_guard_ask(struct admin_guard *guard, const struct guard_question *question,
                     struct guard_verdict *ret);

/* What Access-Control-Allow-Origin is for a request with this Origin (empty: none); empty: nothing.
 * Borrows from the guard or from `origin`. *ret_varies: another origin might get another answer. */
struct str admin_guard_allowed_origin(const struct admin_guard *guard, struct str origin,
                                      bool *ret_varies);

#endif
