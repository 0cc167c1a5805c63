/* yaml_scalar.h - what a plain scalar of YAML means.
 *
 * Thread: any. */
#ifndef MODEL_YAML_SCALAR_H
#define MODEL_YAML_SCALAR_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* Owned. NULL: bytes that are no UTF-8 or hold NUL, or no memory. Text is terminated at text[len].
 */
json_t *yaml_scalar(const char *text, size_t len);
/* Whether that text, written plainly, would be something else than a string. */
bool yaml_scalar_is_special(const char *text, size_t len);

#endif
