/* base64.h - base64 read from what clients send (RFC 4648, sections 4 and 5), strictly.
 *
 * Thread: any. Memory: the arena's. */
#ifndef PLUGINS_BASE64_H
#define PLUGINS_BASE64_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

/* With its padding. The bytes are terminated, too. False: it is none, or no memory. */
bool base64_decode(struct str text, struct arena *arena, struct str *ret);
/* The alphabet for URLs; padding may be left out. */
bool base64_url_decode(struct str text, struct arena *arena, struct str *ret);

#endif
