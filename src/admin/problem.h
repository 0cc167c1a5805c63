/* problem.h - the bodies of refusals that are about no field: their sentences, in Kong's words.
 *
 * Refusals about an entity are violations (model/violation.h).
 *
 * Thread: any. Memory: results are owned by the caller. */
#ifndef ADMIN_PROBLEM_H
#define ADMIN_PROBLEM_H

#include <jansson.h>

/* {"message": message}; NULL when memory is short. */
json_t *admin_problem_message(const char *message);

/* What an HTTP status that the server itself gives (a bad head, a body too large…) is called. */
const char *admin_problem_of_status(int status);
/* The reason phrase of a status line. */
const char *admin_problem_reason(int status);

/* What the store's refusal of a planned write (a negative UV_E…) means: another node was first.
 * Fills *ret_status and returns the body. */
json_t *admin_problem_of_store(int rc, int *ret_status);

#endif
