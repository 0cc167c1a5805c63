/* config_find.h - a row by what stands in a path: a UUID or the entity's endpoint key. config.c's
 * and config_plan.c's own. */
#ifndef MODEL_CONFIG_FIND_H
#define MODEL_CONFIG_FIND_H

#include "base/random.h"
#include "model/config.h"

struct config_key {
    bool is_id;
    char id[UUID_TEXT_BYTES]; /* in lower case; empty when it is no id */
    char *value;              /* owned: the endpoint key as rows hold it; NULL for an id */
};

/* 0, UV_EINVAL with *violation filled (NULL: not wanted) when the text can be neither, or
 * UV_ENOMEM. */
int config_key_read(const struct entity *entity, struct str text, struct config_key *ret,
                    struct violation *violation);
void config_key_deinit(struct config_key *key);

/* As the rows will be after `change` (NULL: as they are). A key that is unique only within its
 * parent needs parent_id. NULL: none. */
const json_t *config_find_key(const struct config *config, const struct config_change *change,
                              const struct entity *entity, const struct config_key *key,
                              const char *parent_id);
const json_t *config_find_id(const struct config *config, const struct config_change *change,
                             const struct entity *entity, struct str id);
/* By the value of a unique field; field NULL: by the fields that are unique together, joined. */
const json_t *config_find_unique(const struct config *config, const struct config_change *change,
                                 const struct entity *entity, const struct field *field,
                                 struct str value);
/* A row that stands in the way of that value although its time has come; NULL: none. */
const json_t *config_find_over(const struct config *config, const struct config_change *change,
                               const struct entity *entity, const struct field *field,
                               struct str value);

#endif
