/* sources.h - all sources of this node, each opened once and shared by those that use it: opened
 * with the first, closed with the last.
 *
 * Thread: the control loop. Memory: owns the Consul agent, the resolver and the sources. */
#ifndef DISCOVERY_SOURCES_H
#define DISCOVERY_SOURCES_H

#include <jansson.h>
#include <uv.h>

#include "base/metrics_text.h"
#include "discovery/consul.h"
#include "discovery/consul_catalog.h"
#include "discovery/consul_meta.h"
#include "discovery/consul_watch.h"
#include "discovery/source.h"
#include "net/resolver.h"

struct sources;

typedef void (*sources_news_cb)(void *owner, struct source *source);
typedef void (*sources_event_cb)(void *owner, json_t *event); /* which is the callee's */

/* `consul->urls` NULL: no Consul. `data_dir` NULL: nothing is saved. on_news may use and release
 * sources. 0, UV_EINVAL (bad DNS servers, logged), or UV_ENOMEM. */
int sources_create(uv_loop_t *loop, const struct consul_settings *consul,
                   const struct resolver_settings *dns, const char *data_dir,
                   sources_news_cb on_news, void *owner, struct sources **ret);
/* What is known is saved, if it has not been yet: before uses are given up to close. */
void sources_save(struct sources *sources);
/* The machine was asleep: what was heard before may be long out of date, and connections dead. */
void sources_resume(struct sources *sources);
/* What is still used is closed too. Calls back when all handles are closed. */
void sources_close(struct sources *sources, void (*closed)(void *arg), void *arg);

/* Who is told, besides, of what people may want to know; with sources_create's owner. */
void sources_set_listener(struct sources *sources, sources_event_cb on_event);

/* Each use must be released. NULL: no Consul is configured (the first only), or no memory. */
struct source *sources_use_consul(struct sources *sources, const struct consul_service *service);
struct source *sources_use_dns(struct sources *sources, struct str name);
struct source *sources_use_dns_srv(struct sources *sources, struct str name);
void sources_release(struct sources *sources, struct source *source);

/* Each source as explain.h describes it, with those who use it: `users` is an object of arrays by
 * source key. An owned array. */
json_t *sources_describe(const struct sources *sources, const json_t *users);
/* What Prometheus is told of them; registry_metrics.c has the rest. */
void sources_print_metrics(const struct sources *sources, struct metrics_text *text);
/* Where weir itself is; each may be empty. */
struct place {
    struct str node, zone;
};
struct place sources_place(const struct sources *sources);
/* From now on instances' claims of routes are read. Consul must be configured. 0 or UV_ENOMEM. */
int sources_follow_catalog(struct sources *sources, consul_catalog_cb on_services, void *owner,
                           struct consul_catalog **ret);
/* Consul must be configured. 0 or UV_ENOMEM. */
int sources_search_meta(struct sources *sources, consul_meta_cb on_services, void *owner,
                        struct consul_meta **ret);

/* Services whose instances claimed routes when they were last known; `name` is borrowed during the
 * call. */
void sources_each_saved_announcer(const struct sources *sources,
                                  void (*on_service)(void *arg, struct str name), void *arg);
bool sources_has_consul(const struct sources *sources);
/* {"state": "ready" or "degraded", "saved_in_use", "consul": {…}, "dns": {"names"}}; owned, NULL
 * without memory. */
json_t *sources_status(const struct sources *sources);

#endif
