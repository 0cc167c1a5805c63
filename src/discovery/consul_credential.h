/* consul_credential.h - Consul's token, as it stands in a file and as queries carry it.
 *
 * Thread: one at a time. Memory: counted references. */
#ifndef DISCOVERY_CONSUL_CREDENTIAL_H
#define DISCOVERY_CONSUL_CREDENTIAL_H

#include <curl/curl.h>

#define CONSUL_TOKEN_MAX_BYTES 4096

/* The headers of a query; replaced when the token changes, while old queries still use theirs. */
struct consul_credential {
    unsigned ref_count;
    struct curl_slist *headers;
};

/* `token` may be NULL or empty: none. 0 or UV_ENOMEM. */
int consul_credential_create(const char *token, struct consul_credential **ret);
void consul_credential_unref(struct consul_credential *credential); /* NULL is fine */

/* The first line, which must be plain: NULL, or why it can't be used. A few bytes of a local file
 * are read on the loop. */
const char *consul_token_read(const char *path, char token[CONSUL_TOKEN_MAX_BYTES]);

#endif
