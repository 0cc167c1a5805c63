/* consul_path.h - what is asked of Consul for a service, as paths of URLs.
 *
 * Both end where further arguments may follow: with '?' or '&'. NULL: without memory, or longer
 * than CONSUL_PATH_MAX_BYTES. `easy` is any handle: libcurl escapes by it.
 *
 * Thread: any. Memory: the paths are the caller's, to free(). */
#ifndef DISCOVERY_CONSUL_PATH_H
#define DISCOVERY_CONSUL_PATH_H

#include <curl/curl.h>

#define CONSUL_PATH_MAX_BYTES 6000 /* an escaped filter alone may have half of that */

struct consul_service;

/* Its instances. */
char *consul_path_of(CURL *easy, const struct consul_service *service);
/* For all services: where to look, but not for what. */
char *consul_path_of_all(CURL *easy, const struct consul_service *service);

#endif
