/* paging.h - which page of a list is asked for, and the token that leads to the next one.
 *
 * Thread: any. Memory: a page borrows from the arena it was parsed with. */
#ifndef ADMIN_PAGING_H
#define ADMIN_PAGING_H

#include <stddef.h>

#include "admin/request.h"

#define PAGING_DEFAULT_SIZE 100
#define PAGING_MAX_SIZE 1000
#define PAGING_MAX_TAGS 5

struct page {
    size_t size;
    const char *after; /* the last row's id of the page before; NULL: from the start */
    const char *tags[PAGING_MAX_TAGS + 1]; /* NULL-terminated */
    bool any_tag;                          /* a/b: one is enough; else all must be there */
};

/* Reads size, offset and (with_tags) tags from the query. False with request->violation filled. */
bool page_parse(struct admin_request *request, bool with_tags, struct page *ret);

/* The opaque token for "after the row of this id", in the arena; NULL when memory is short. */
const char *page_offset(struct arena *arena, const char *id);

#endif
