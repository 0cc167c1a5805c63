/* edits.h - what the transformers do to names and values, in Kong's order: remove, rename, replace
 * (what there is), add (what there isn't), append.
 *
 * Thread: compile on control, the rest on any worker. Memory: the arenas'. */
#ifndef PLUGINS_EDITS_H
#define PLUGINS_EDITS_H

#include "plugins/template.h"

/* What the names are of. In a response's head, values are texts and no templates. */
enum edits_of { EDITS_OF_REQUEST = 0, EDITS_OF_QUERY, EDITS_OF_RESPONSE };

enum edit_kind { EDIT_REMOVE = 0, EDIT_RENAME, EDIT_REPLACE, EDIT_ADD, EDIT_APPEND, EDIT_KINDS };

struct edit {
    enum edit_kind kind;
    struct str name;
    struct template value; /* none for EDIT_REMOVE */
};

struct edits {
    struct edit *list;
    size_t count;
};

/* Of the lists config.{remove,rename,…}.{headers,querystring}; those that cannot be carried out are
 * left out. 0 or UV_ENOMEM. */
int edits_compile(const json_t *config, enum edits_of of, struct arena *arena, struct edits *ret);
/* Whether something of these is left out. */
bool edits_are_understood(const json_t *config, enum edits_of of);
/* Some list config.{remove,rename,…}.`what` has entries. */
bool edits_has(const json_t *config, const char *what);

/* Renders all values before anything is changed; one an edit. NULL: no memory. */
struct str *edits_render(const struct edits *edits, const struct plugin_request *request,
                         struct str lines);
/* On the fields of a head (NULL: none) and the lines beside it. "Host" is passed over. */
void edits_apply_to_head(const struct edits *edits, const struct str *values, struct arena *arena,
                         struct http_head *head, struct str *lines);
void edits_apply_to_query(const struct edits *edits, const struct str *values,
                          const struct plugin_request *request);

#endif
