/* violation.h - why a request about an entity is refused, in Kong's form: a code, a name, a message
 * and a map of fields (kong-compatible clients compare whole messages).
 *
 * Thread: control. Memory: owns its JSON; violation_deinit frees. */
#ifndef MODEL_VIOLATION_H
#define MODEL_VIOLATION_H

#include <stdbool.h>

#include <jansson.h>

enum violation_code {
    VIOLATION_NONE = 0,
    VIOLATION_PRIMARY_KEY_INVALID = 1,
    VIOLATION_SCHEMA = 2,
    VIOLATION_PRIMARY_KEY = 3,
    VIOLATION_FOREIGN_KEY = 4,
    VIOLATION_UNIQUE = 5,
    VIOLATION_NOT_FOUND = 6,
    VIOLATION_OFFSET = 7,
    VIOLATION_DATABASE = 8,
    VIOLATION_SIZE = 9,
    VIOLATION_UNIQUE_FIELD_INVALID = 10,
    VIOLATION_OPTIONS = 11,
    VIOLATION_UNSUPPORTED = 12,
    VIOLATION_UNRESOLVED = 13,
    VIOLATION_REFERENCED = 19,
};

struct violation {
    enum violation_code code;
    json_t *fields; /* owned object: field → message, nested object, or array ("@entity") */
    char *message;  /* owned; NULL for VIOLATION_SCHEMA, whose message follows from its fields */
    char *what;     /* owned; VIOLATION_UNIQUE_FIELD_INVALID: "invalid unique <what>" */
};

/* A zeroed violation is none. */
void violation_deinit(struct violation *violation);
/* A field's message; path may be dotted ("healthchecks.active.timeout"). The first one for a field
 * wins. */
void violation_add(struct violation *violation, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As above, in place of what the field had; no dots. */
void violation_overrule(struct violation *violation, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A field's errors as a tree (messages in objects and arrays), taken over. The name is taken as it
 * is, dots and all. */
void violation_add_tree(struct violation *violation, const char *field, json_t *errors);
bool violation_has(const struct violation *violation, const char *field);
/* An entity-level message, under "@entity". */
void violation_add_entity(struct violation *violation, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Any other code, with its message and fields (owned by the violation from here; may be NULL). */
void violation_set(struct violation *violation, enum violation_code code, json_t *fields,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The HTTP status of the code, and the whole body {"code","name","message","fields"}; owned. */
int violation_status(const struct violation *violation);
json_t *violation_to_body(const struct violation *violation);
/* A JSON string of a message. Bytes that are no UTF-8 become '?'. NULL: no memory. */
json_t *violation_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A JSON value as Kong prints tables in messages: {name="x",service={id="…"}}; keys sorted. Owned
 * text. */
char *violation_dump(const json_t *value);

#endif
