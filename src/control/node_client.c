#include "control/node_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <uv.h>

#include "base/str.h"
#include "control/options.h"
#include "net/ip.h"

#define TOKEN_BYTES 1024

static void address_to_ask(const struct listener_spec *spec, char *address, size_t size)
{
    union ip_address at = spec->address;
    struct sockaddr_in *in = (struct sockaddr_in *)&at;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&at;
    char ip[INET6_ADDRSTRLEN] = "";
    if (at.any.sa_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (at.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
        in6->sin6_addr = in6addr_loopback;
    uv_ip_name((const struct sockaddr *)&at, ip, sizeof(ip));
    snprintf(address, size, at.any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, spec->port);
}

/* The listener that is easiest to ask: of several one that speaks plain HTTP. */
static const struct listener_spec *easiest(const struct listener_spec *specs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!specs[i].is_tls)
            return &specs[i];
    return specs;
}

/* The first line of the file, as a field of requests. */
static int read_token(struct node_client *client, const char *path, struct error *err)
{
    char line[TOKEN_BYTES] = "", field[TOKEN_BYTES + 32];
    FILE *file = fopen(path, "re");
    int rc = file ? 0 : uv_translate_sys_error(errno);
    if (file) {
        if (!fgets(line, sizeof(line), file))
            line[0] = '\0';
        fclose(file);
    }
    struct str token = str_trim(str_make(line, strcspn(line, "\r\n")));
    if (rc)
        error_set(err, "WEIR_ADMIN_TOKEN_FILE", "%s cannot be read: %s", path, uv_strerror(rc));
    else if (token.len == 0 || token.len == sizeof(line) - 1)
        rc = UV_EINVAL,
        error_set(err, "WEIR_ADMIN_TOKEN_FILE", "%s must have a token in its first line", path);
    if (!rc) {
        snprintf(field, sizeof(field), "Authorization: Bearer %.*s", STR_ARG(token));
        client->headers = curl_slist_append(NULL, field);
        rc = client->headers ? 0 : UV_ENOMEM;
        OPENSSL_cleanse(field, sizeof(field));
    }
    OPENSSL_cleanse(line, sizeof(line));
    return rc;
}

int node_client_init(struct node_client *client, const struct options *options, struct error *err)
{
    *client = (struct node_client){.is_admin = options->admin_listener_count > 0};
    const struct listener_spec *spec =
        client->is_admin ? easiest(options->admin_listeners, options->admin_listener_count)
                         : easiest(options->proxy_listeners, options->proxy_listener_count);
    address_to_ask(spec, client->address, sizeof(client->address));
    client->is_tls = spec->is_tls;
    return client->is_admin && options->admin_token_file
               ? read_token(client, options->admin_token_file, err)
               : 0;
}

void node_client_deinit(struct node_client *client)
{
    curl_slist_free_all(client->headers);
    client->headers = NULL;
}

void node_client_prepare(const struct node_client *client, CURL *curl, const char *path)
{
    char url[256];
    snprintf(url, sizeof(url), "%s://%s%s", client->is_tls ? "https" : "http", client->address,
             path);
    /* The address is one of this machine's own, which its certificate need not name. */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
}
