#include "discovery/consul_credential.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

/* In a header only: URLs end up in logs. */
static struct curl_slist *make_headers(const char *token)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    if (!headers || !token || !*token)
        return headers;
    struct curl_slist *both = NULL;
    size_t size = sizeof("X-Consul-Token: ") + strlen(token);
    char *line = malloc(size);
    if (line) {
        snprintf(line, size, "X-Consul-Token: %s", token);
        both = curl_slist_append(headers, line);
        free(line);
    }
    if (!both)
        curl_slist_free_all(headers);
    return both;
}

int consul_credential_create(const char *token, struct consul_credential **ret)
{
    struct consul_credential *credential = calloc(1, sizeof(*credential));
    if (!credential || !(credential->headers = make_headers(token))) {
        free(credential);
        return UV_ENOMEM;
    }
    credential->ref_count = 1;
    *ret = credential;
    return 0;
}

void consul_credential_unref(struct consul_credential *credential)
{
    if (!credential || --credential->ref_count > 0)
        return;
    curl_slist_free_all(credential->headers);
    free(credential);
}

const char *consul_token_read(const char *path, char token[CONSUL_TOKEN_MAX_BYTES])
{
    FILE *file = fopen(path, "re");
    if (!file)
        return strerror(errno);
    size_t len = fread(token, 1, CONSUL_TOKEN_MAX_BYTES - 1, file);
    fclose(file);
    token[len] = '\0';
    len = strcspn(token, "\r\n");
    token[len] = '\0';
    if (len == 0)
        return "it is empty";
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return "it holds spaces, control characters or bytes beyond ASCII";
    return NULL;
}
