/* vault.c - where {vault://prefix/…} references are looked up: the tables of a vault and of each
 * kind of them. */
#include "model/entities.h"
#include "model/field_checks.h"

#include <stdio.h>

static const char *const vault_names[] = {"env", NULL};

/* A lower-case letter, then letters, digits and dashes, no dash at the end: it is to stand in a
 * URI's host. */
static bool check_prefix(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    size_t len = strlen(text);
    bool is_fine = len >= 2 && text[0] >= 'a' && text[0] <= 'z' && text[len - 1] != '-';
    for (size_t i = 0; is_fine && i < len; i++)
        is_fine = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
                  text[i] == '-';
    if (!is_fine)
        snprintf(message, size, "invalid value: %s", text);
    return is_fine;
}

static bool check_variable(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    bool is_fine = !(text[0] >= '0' && text[0] <= '9');
    for (size_t i = 0; is_fine && text[i]; i++) {
        char c = str_lower_char(text[i]);
        is_fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    if (!is_fine)
        snprintf(message, size, "invalid value: %s", text);
    return is_fine;
}

static const struct field env_config[] = {
    {.name = "prefix", .type = FIELD_STRING, .check = check_variable},
    {.name = NULL},
};
static const struct field no_config[] = {{.name = NULL}};

#define VAULT_FIELDS(config_table)                                                                 \
    FIELD_ID,                                                                                      \
        {.name = "prefix",                                                                         \
         .type = FIELD_STRING,                                                                     \
         .required = true,                                                                         \
         .unique = true,                                                                           \
         .not_one_of = vault_names,                                                                \
         .check = check_prefix},                                                                   \
        {.name = "name", .type = FIELD_STRING, .required = true},                                  \
        {.name = "description", .type = FIELD_STRING},                                             \
        {.name = "config",                                                                         \
         .type = FIELD_RECORD,                                                                     \
         .required = true,                                                                         \
         .expanded = true,                                                                         \
         .fields = (config_table)},                                                                \
        FIELD_SECONDS_AT("created_at"), FIELD_SECONDS_AT("updated_at"), FIELD_TAGS,                \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct field fields[] = {VAULT_FIELDS(no_config)};
static const struct field env_fields[] = {VAULT_FIELDS(env_config)};

static const struct entity env_vault = {
    .name = "vaults", .path = "vaults", .endpoint_key = "prefix", .fields = env_fields};

static const struct entity *find_variant(struct str name)
{
    return str_equal(name, STR("env")) ? &env_vault : NULL;
}

static const char *name_at(size_t i)
{
    return i == 0 ? "env" : NULL;
}

static const struct entity_variants variants = {.key = "name",
                                                .find = find_variant,
                                                .name_at = name_at,
                                                .unknown = {"vault '", "' is not installed"}};

const struct entity vault_entity = {
    .name = "vaults",
    .path = "vaults",
    .endpoint_key = "prefix",
    .variants = &variants,
    .fields = fields,
};
