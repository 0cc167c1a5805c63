/* form.h - the grammar of form keys: "a.b=v", "a[]=v", "a[1]=v", "a[key]=v" into nested JSON.
 *
 *     a.b.c=v        {"a":{"b":{"c":"v"}}}
 *     a[]=v  a[2]=v  an array's next element, its second one
 *     a=1&a=2        an array too
 *     a[k]=v         {"a":{"k":"v"}}; dots in brackets stay: a[k.with.dot]
 *     a[1].b=v       {"a":[{"b":"v"}]}
 *     .a  a.  a[b    taken as they are: a key of that name
 *
 * All values are strings here; the schema says later what they mean (entity_coerce). Brackets that
 * arrive as %5B and %5D are decoded before.
 *
 * Thread: any. Memory: the form owns its JSON. */
#ifndef ADMIN_FORM_H
#define ADMIN_FORM_H

#include <stddef.h>

#include <jansson.h>

#include "base/str.h"

#define FORM_MAX_DEPTH 16 /* of one key; the schemas need 4 */
#define FORM_MAX_CELLS                                                                             \
    10000 /* array elements in all, so that a[1000]=… can't cost memory freely                   \
           */

struct form {
    json_t *root; /* owned; an object */
    size_t cells;
};

/* 0 or UV_ENOMEM. */
int form_init(struct form *form);
void form_deinit(struct form *form);

/* Puts `value` (owned by the form from here, also on failure) where the key says. 0; UV_E2BIG: a
 * limit is passed; UV_EINVAL: the key is no UTF-8 or holds NUL; UV_ENOMEM. */
int form_add(struct form *form, struct str key, json_t *value);
/* The same with a text. UV_EINVAL: key or value is no UTF-8 or holds NUL. */
int form_add_text(struct form *form, struct str key, struct str value);

#endif
