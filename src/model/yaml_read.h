/* yaml_read.h - YAML text (and JSON, which is nearly YAML) to JSON values, with the line of each
 * key.
 *
 * What a plain scalar means is as lyaml and YAML 1.1 have it, but for numbers to base 60: null,
 * true and on, 0x1f, 017 and 1e3 are what they look like; what is quoted is text. Aliases are
 * copied, and
 * "<<" takes keys over. Text that begins as JSON is JSON, by JSON's rules.
 *
 * Bounded: nesting, the number of values, what aliases may multiply, the length of the text.
 *
 * Thread: any. Memory: the caller owns what it gets. */
#ifndef MODEL_YAML_READ_H
#define MODEL_YAML_READ_H

#include <stddef.h>

#include <jansson.h>

#include "base/error.h"
#include "base/map.h"

#define YAML_MAX_BYTES ((size_t)64 << 20)
#define YAML_MAX_DEPTH 64
#define YAML_MAX_VALUES 4000000
#define YAML_MAX_COPIED 1000000 /* values that come from aliases */

/* Where values stand. Of a text whose lines are not known, all are 0. */
struct yaml_places {
    struct map lines;
};

/* The line, from 1, of a key of an object that yaml_read made; key NULL: of the object's or array's
 * own beginning. 0: not known. */
unsigned yaml_line(const struct yaml_places *places, const json_t *container, const char *key);
void yaml_places_deinit(struct yaml_places *places);

/* One document; an empty one is null. 0 with *ret owned; UV_EINVAL or UV_ENOMEM with *err's
 * sentence (without a field) and *ret_line (0: none in particular). *places must be zeroed, and is
 * the caller's to free in any case. */
int yaml_read(const char *text, size_t len, json_t **ret, struct yaml_places *places,
              unsigned *ret_line, struct error *err);

#endif
