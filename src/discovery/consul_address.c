#include "discovery/consul_address.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#define RESOLVE_AGAIN_MS 5000

static char *print_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *print_text(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return len < 0 ? NULL : text;
}

/* The certificate's name goes into the URL, and the connection to where the address says. */
static int put_server_name(struct consul_address *address, const char *server_name)
{
    int rc = UV_ENOMEM;
    char *host = NULL, *port = NULL, *route = NULL;
    CURLU *parsed = curl_url();
    if (!parsed || curl_url_set(parsed, CURLUPART_URL, address->url, 0) ||
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) ||
        curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ||
        !(route = print_text("%s:%s:%s:%s", server_name, port, host, port)) ||
        !(address->connect_to = curl_slist_append(NULL, route)) ||
        !(address->base = print_text("https://%s:%s", server_name, port)))
        goto done;
    rc = 0;
done:
    free(route);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    return rc;
}

int consul_address_init(struct consul_address *address, struct str text, const char *server_name)
{
    while (text.len > 0 && text.ptr[text.len - 1] == '/')
        text.len--;
    bool has_scheme = text.len > 3 && memmem(text.ptr, text.len, "://", 3);
    *address = (struct consul_address){0};
    if (!(address->url = print_text("%s%.*s", has_scheme ? "" : "http://", STR_ARG(text))))
        return UV_ENOMEM;
    if (str_starts_with(text, STR("unix://"))) {
        address->socket_path = strdup(address->url + strlen("unix://"));
        address->base = strdup("http://localhost");
    } else if (server_name && str_starts_with(text, STR("https://"))) {
        return put_server_name(address, server_name);
    } else {
        address->base = strdup(address->url);
    }
    return address->base ? 0 : UV_ENOMEM;
}

void consul_address_use_last_ip(struct consul_address *address, uint64_t now_ms)
{
    bool is_v6 = strchr(address->last_ip, ':') != NULL;
    char *route = NULL;
    if (!address->last_ip[0] || address->to_last_ip)
        return;
    /* Any host and any port: the port stays. */
    route = print_text("::%s%s%s:", is_v6 ? "[" : "", address->last_ip, is_v6 ? "]" : "");
    address->to_last_ip = route ? curl_slist_append(NULL, route) : NULL;
    address->to_last_since_ms = now_ms;
    free(route);
}

struct curl_slist *consul_address_route(struct consul_address *address, uint64_t now_ms)
{
    if (address->to_last_ip && now_ms - address->to_last_since_ms > RESOLVE_AGAIN_MS) {
        curl_slist_free_all(address->to_last_ip);
        address->to_last_ip = NULL;
    }
    return address->to_last_ip ? address->to_last_ip : address->connect_to;
}

void consul_address_deinit(struct consul_address *address)
{
    curl_slist_free_all(address->to_last_ip);
    free(address->url);
    free(address->base);
    free(address->socket_path);
    curl_slist_free_all(address->connect_to);
}
