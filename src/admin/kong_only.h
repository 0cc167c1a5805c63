/* kong_only.h - paths that Kong's clients ask for and that weir has no part behind: answered in
 * Kong's words for a node that hasn't it either.
 *
 * Thread: control. */
#ifndef ADMIN_KONG_ONLY_H
#define ADMIN_KONG_ONLY_H

#include "admin/request.h"

void admin_filter_chains(struct admin_request *request);     /* /filter-chains */
void admin_clustering(struct admin_request *request);        /* /clustering/… */
void admin_dns_status(struct admin_request *request);        /* /status/dns */
void admin_robots(struct admin_request *request);            /* /robots.txt */
void admin_timers(struct admin_request *request);            /* /timers */
void admin_cache_read(struct admin_request *request);        /* GET /cache/{key} */
void admin_cache_remove(struct admin_request *request);      /* DELETE /cache and /cache/{key} */
void admin_log_level_read(struct admin_request *request);    /* GET /debug/node/log-level */
void admin_log_level_set(struct admin_request *request);     /* PUT …/{level} */
void admin_log_level_cluster(struct admin_request *request); /* PUT /debug/cluster/… */

#endif
