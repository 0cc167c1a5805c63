/* auth.h - what plugins that ask who it is have in common: what the upstream is told of the
 * consumer, what becomes of those who can't say, and Kong's rule for several of them on one route.
 *
 * With `anonymous` set, one that succeeds is enough, and who fails everywhere goes on as that
 * consumer; without it all have to succeed.
 *
 * Thread: any worker. Memory: the snapshot's and the exchange's arenas. Credentials are compared in
 * constant time, and never logged. */
#ifndef PLUGINS_AUTH_H
#define PLUGINS_AUTH_H

#include "plugins/plugin.h"

struct auth {
    struct str anonymous;             /* an id or a user's name; empty: none */
    struct plugin_saying no_such_one; /* when that one doesn't exist */
    struct str challenge;             /* WWW-Authenticate */
    bool hides_credentials;
};

/* `scheme` is that of WWW-Authenticate, with a realm where one is configured. 0 or UV_ENOMEM. */
int auth_compile(const json_t *config, const char *scheme, struct arena *arena, struct auth *ret);

/* Removes what a client says of itself in the names that weir uses. True: nothing is left to do, as
 * an earlier plugin has found who it is, and that is enough. */
bool auth_begin(const struct auth *auth, const struct plugin_request *request,
                const struct plugin_effect *effect);

/* `identifier` is what X-Credential-Identifier tells. */
void auth_accept(const struct plugin_request *request, struct plugin_effect *effect,
                 const struct credential *credential, struct str identifier);

/* Goes on as the anonymous consumer, or ends the exchange where that one doesn't exist. False: none
 * is configured. */
bool auth_be_anonymous(const struct auth *auth, const struct plugin_request *request,
                       struct plugin_effect *effect);

/* Goes on as the anonymous consumer, or ends the exchange: 401 with the message, a constant, in
 * Kong's form of error. */
void auth_refuse(const struct auth *auth, const struct plugin_request *request,
                 struct plugin_effect *effect, const char *message);

/* In constant time for texts of one length. */
bool auth_is_same(struct str a, struct str b);

#endif
