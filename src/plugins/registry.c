#include "plugins/registry.h"

const struct plugin *const plugins_registry[] = {
    &correlation_id_step,        /* 100001 */
    &cors_step,                  /* 2000 */
    &jwt_step,                   /* 1450 */
    &key_auth_step,              /* 1250 */
    &basic_auth_step,            /* 1100 */
    &hmac_auth_step,             /* 1030 */
    &ip_restriction_step,        /* 990 */
    &request_size_limiting_step, /* 951 */
    &acl_step,                   /* 950 */
    &rate_limiting_step,         /* 910 */
    &request_transformer_step,   /* 801 */
    &response_transformer_step,  /* 800 */
    &request_termination_step,   /* 2 */
    NULL,
};

const struct plugin *plugins_find(struct str name)
{
    for (size_t i = 0; plugins_registry[i]; i++)
        if (str_equal(name, str_of(plugins_registry[i]->name)))
            return plugins_registry[i];
    return NULL;
}

bool plugins_is_implemented(struct str name)
{
    return plugins_find(name) != NULL;
}
