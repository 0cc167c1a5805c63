/* announced.h - the routes that instances in Consul claim by their tags and meta: finds the
 * services that claim any, follows their instances, and tells when the claims have changed.
 *
 * A claim that no instance makes any more stays for ten seconds: a restart takes no route away.
 * Instances themselves are guarded like targets (protection.h): what Consul may have forgotten by
 * mistake is still there.
 *
 * Thread: the control loop. Memory: owns its watch, holds uses of sources. */
#ifndef DISCOVERY_ANNOUNCED_H
#define DISCOVERY_ANNOUNCED_H

#include "discovery/sources.h"

struct announced;

struct announced_claim {
    struct str service;
    struct str key; /* route_claims.h */
    uint32_t count; /* instances that claim it; 0: none any more, but lately */
    uint32_t total; /* instances of the service */
    bool has_share; /* some of them want a share of its traffic */
};

/* Claims have changed; later than what changed them, and several changes together. */
typedef void (*announced_news_cb)(void *owner);

/* `sources` must have Consul, and is told to read claims. 0 or UV_ENOMEM. */
int announced_create(uv_loop_t *loop, struct sources *sources, announced_news_cb on_news,
                     void *owner, struct announced **ret);
/* A source has news; those of others are no matter. */
void announced_hear(struct announced *announced, const struct source *source);
/* In order of service and key. Borrowed until the loop turns. */
size_t announced_claims(const struct announced *announced, const struct announced_claim **ret);
/* How its list of services is followed, for GET /discovery; owned, NULL without memory. */
json_t *announced_describe(const struct announced *announced);
/* Gives its uses of sources back; before the sources are closed. */
void announced_close(struct announced *announced, void (*closed)(void *arg), void *arg);

#endif
