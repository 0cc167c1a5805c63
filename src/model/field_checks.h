/* field_checks.h - what the entities' tables share: checks of values by kind of text, and the
 * fields that every entity has.
 *
 * A check fills `message` with Kong's words and returns false; see field_check_cb. */
#ifndef MODEL_FIELD_CHECKS_H
#define MODEL_FIELD_CHECKS_H

#include "model/entity.h"

bool check_name(const json_t *value, char *message, size_t size); /* letters, digits, . - _ ~ */
bool check_tag(const json_t *value, char *message, size_t size);  /* no comma, no slash */
bool check_host(const json_t *value, char *message, size_t size); /* no port */
bool check_host_and_port(const json_t *value, char *message,
                         size_t size);                                  /* the port may be absent */
bool check_route_host(const json_t *value, char *message, size_t size); /* and a wildcard */
bool check_sni(const json_t *value, char *message, size_t size);
bool check_wildcard_sni(const json_t *value, char *message, size_t size);
bool check_path(const json_t *value, char *message, size_t size);
bool check_route_path(const json_t *value, char *message,
                      size_t size); /* literal, or ~ and a regex */
bool check_route_header_values(const json_t *value, char *message,
                               size_t size); /* a lone one may be ~* and a regex */
bool check_method(const json_t *value, char *message, size_t size);
bool check_header_name(const json_t *value, char *message, size_t size);
bool check_route_header_name(const json_t *value, char *message,
                             size_t size); /* "host" is refused */
bool check_cookie_name(const json_t *value, char *message, size_t size);
/* Refuses all: it is not to be written. */
bool check_made_of(const json_t *value, char *message, size_t size);
bool check_ip_or_cidr(const json_t *value, char *message, size_t size);

extern const char *const protocol_names[]; /* NULL-terminated */
extern const struct field tag_element;
extern const struct field text_element; /* any string */
extern const struct field uuid_element;
extern const struct field header_values; /* an array of strings */

#define FIELD_ID                                                                                   \
    {                                                                                              \
        .name = "id", .type = FIELD_STRING, .uuid = true, .automatic = true                        \
    }
/* Where a row comes from that nobody wrote: see config.h. */
#define FIELD_ORIGIN                                                                               \
    {                                                                                              \
        .name = "origin", .type = FIELD_STRING, .hidden_when_null = true, .check = check_made_of   \
    }
#define FIELD_TAGS                                                                                 \
    {                                                                                              \
        .name = "tags", .type = FIELD_SET, .elements = &tag_element                                \
    }
#define FIELD_SECONDS_AT(field_name)                                                               \
    {                                                                                              \
        .name = (field_name), .type = FIELD_INTEGER, .automatic = true, .timestamp = true          \
    }
#define FIELD_MILLISECONDS_AT(field_name)                                                          \
    {                                                                                              \
        .name = (field_name), .type = FIELD_NUMBER, .automatic = true, .timestamp = true           \
    }
/* A text that is made when the request has none. */
#define FIELD_MADE_TEXT(field_name) .name = (field_name), .type = FIELD_STRING, .automatic = true
#define FIELD_CONSUMER                                                                             \
    {                                                                                              \
        .name = "consumer", .type = FIELD_FOREIGN, .required = true, .reference = "consumers",     \
        .cascade = true                                                                            \
    }
#define BETWEEN(low, high) .has_between = true, .min = (low), .max = (high)

#endif
