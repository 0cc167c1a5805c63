/* body.h - request bodies into one JSON object: JSON, forms and multipart forms.
 *
 * Thread: any. Memory: the result is the caller's. */
#ifndef ADMIN_BODY_H
#define ADMIN_BODY_H

#include <stddef.h>

#include <jansson.h>

#include "base/str.h"

enum admin_body_type {
    ADMIN_BODY_UNKNOWN = 0, /* 415 */
    ADMIN_BODY_JSON,
    ADMIN_BODY_FORM,
    ADMIN_BODY_MULTIPART,
    ADMIN_BODY_YAML,
};

enum admin_body_type admin_body_type_of(struct str content_type);

/* Decodes `bytes` (which it may change) into an owned object. 0, UV_EINVAL with a sentence for the
 * client in *ret_problem (constant text), or UV_ENOMEM. JSON nests as deep as jansson allows (2048)
 * and no string holds NUL; a form obeys the limits in form.h and urlencoded.h. */
int admin_body_decode(enum admin_body_type type, struct str content_type, char *bytes, size_t len,
                      json_t **ret, const char **ret_problem);

#endif
