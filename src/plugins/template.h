/* template.h - texts with $(…) in them that stand for parts of a request, as Kong's
 * request-transformer has them.
 *
 * An expression is one of headers, query_params or uri_captures with a name behind it (`headers.x`,
 * `headers["x-y"]`, `uri_captures[1]`), a text in quotes, or several of those joined by `or`: the
 * first that there is counts. Kong runs any Lua there; nothing else is understood here.
 *
 * Thread: compile on control, the rest on any worker. Memory: the arenas'. */
#ifndef PLUGINS_TEMPLATE_H
#define PLUGINS_TEMPLATE_H

#include "plugins/plugin.h"

struct template_piece;

struct template
{
    const struct template_piece *pieces;
    size_t count;
};

bool template_is_understood(struct str text);
/* 0; UV_EINVAL: it is not understood; UV_ENOMEM. */
int template_compile(struct str text, struct arena *arena, struct template *ret);
/* The text as it is, with nothing in it that stands for something else. 0 or UV_ENOMEM. */
int template_of_text(struct str text, struct arena *arena, struct template *ret);
/* Nothing of a request comes into it. */
bool template_is_text(const struct template *template);
/* What isn't there is empty. Borrows from the request where it can; its ptr is NULL when there is
 * no memory. `lines` are those that earlier plugins add to the request. */
struct str template_render(const struct template *template, const struct plugin_request *request,
                           struct str lines);

#endif
