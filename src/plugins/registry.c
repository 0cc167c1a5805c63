#include "plugins/registry.h"

/* Kong's priorities: 100001, 990, 2. */
const struct plugin *const plugins_registry[] = {
    &correlation_id_step,
    &ip_restriction_step,
    &request_termination_step,
    NULL,
};

bool plugins_is_implemented(struct str name)
{
    for (size_t i = 0; plugins_registry[i]; i++)
        if (str_equal(name, str_of(plugins_registry[i]->name)))
            return true;
    return false;
}
