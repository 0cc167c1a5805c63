/* acme_answers.h - what an authority that validates a host by HTTP-01 is to be answered (RFC 8555,
 * section 8.3): by host and token, of all validations under way.
 *
 * Thread: filled by one, then immutable and read by any. Memory: copies. */
#ifndef MODEL_ACME_ANSWERS_H
#define MODEL_ACME_ANSWERS_H

#include "base/str.h"

struct acme_answers;

#define ACME_CHALLENGE_PATH "/.well-known/acme-challenge/"

int acme_answers_create(struct acme_answers **ret);      /* 0 or UV_ENOMEM */
void acme_answers_destroy(struct acme_answers *answers); /* NULL is fine */

/* 0; UV_ENOMEM; UV_E2BIG when there are so many that one has to wait. */
int acme_answers_add(struct acme_answers *answers, struct str host, struct str token,
                     struct str answer);

/* What is to be answered to a request for this path of that host (in any case, no port); empty when
 * it is not for us. Lives as long as the answers. */
struct str acme_answers_find(const struct acme_answers *answers, struct str host, struct str path);

#endif
