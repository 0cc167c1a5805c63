/* audit.h - the audit log: a line in the log for each row that a write has changed, and one for
 * each write that changes something else (a target's health, the log level) or that has failed.
 *
 *     {"msg":"Admin API write","status":200,"by":"ci","address":"10.0.0.7","method":"PATCH",
 *      "path":"/services/users","kind":"services","id":"…","before":"{\"port\":80}",
 *      "after":"{\"port\":8080}"}
 *
 * A changed row shows the fields that changed, a new or removed one all that are set. Secrets are
 * masked: what the schema calls encrypted or lets a vault hold, and what is called like one.
 *
 * Thread: control. Memory: jansson's. */
#ifndef ADMIN_AUDIT_H
#define ADMIN_AUDIT_H

#include <jansson.h>

#include "model/config.h"
#include "model/entity.h"

struct admin_request;

/* After a write has been planned: keeps the rows as they are before it. */
void audit_note_before(struct admin_request *request, const struct config *config);

/* Tells what became of a write; requests that write nothing are passed over. */
void audit_tell(const struct admin_request *request);

/* For the test. Fills *ret_before and *ret_after (owned; NULL: there is no such row) with what a
 * line shows. 0 or UV_ENOMEM. */
int audit_compare(const struct entity *entity, const json_t *before, const json_t *after,
                  json_t **ret_before, json_t **ret_after);

#endif
