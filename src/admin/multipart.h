/* multipart.h - multipart/form-data (RFC 7578), cut into its parts.
 *
 * Thread: any. Memory: parts borrow from the body. */
#ifndef ADMIN_MULTIPART_H
#define ADMIN_MULTIPART_H

#include <stdbool.h>

#include "base/str.h"

struct multipart {
    struct str boundary; /* borrowed from the Content-Type */
    struct str rest;     /* what follows the last boundary line that was read */
};

struct multipart_part {
    struct str name;         /* of the form field; empty when the part gives none */
    struct str content_type; /* empty when the part gives none */
    struct str content;
};

enum multipart_result { MULTIPART_PART, MULTIPART_END, MULTIPART_BROKEN };

/* False when the Content-Type names no usable boundary, or the body doesn't begin with it. */
bool multipart_begin(struct multipart *multipart, struct str content_type, struct str body);
enum multipart_result multipart_next(struct multipart *multipart, struct multipart_part *part);

#endif
