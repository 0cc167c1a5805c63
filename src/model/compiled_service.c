#include "model/compiled_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/compiled_route.h"
#include "model/row.h"
#include "net/tls_client.h"

#define MAX_HOST_BYTES 512

/* Kong appends the port to a Host of its own making unless it is the scheme's default (contract of
 * the balancer's Host header). `text` has MAX_HOST_BYTES. */
static struct str own_host_header(const struct service *service, char *text)
{
    bool is_default = service->protocol & (PROTOCOL_HTTPS | PROTOCOL_GRPCS) ? service->port == 443
                                                                            : service->port == 80;
    bool is_ipv6 = service->host.len > 0 && service->host.ptr[0] != '[' &&
                   memchr(service->host.ptr, ':', service->host.len);
    int len = snprintf(text, MAX_HOST_BYTES, is_ipv6 ? "[%.*s]" : "%.*s", STR_ARG(service->host));
    if (len > 0 && !is_default && len < MAX_HOST_BYTES)
        len += snprintf(text + len, MAX_HOST_BYTES - (size_t)len, ":%u", service->port);
    if (len < 0 || len >= MAX_HOST_BYTES)
        return STR_EMPTY;
    return str_make(text, (size_t)len);
}

static enum proxy_protocol_version proxy_protocol_of(struct str name)
{
    return str_equal(name, STR("v1"))   ? PROXY_PROTOCOL_V1
           : str_equal(name, STR("v2")) ? PROXY_PROTOCOL_V2
                                        : PROXY_PROTOCOL_NONE;
}

/* What the row says; texts are still the row's. */
static struct service read_row(const json_t *row)
{
    return (struct service){
        .id = row_text(row, "id"),
        .name = row_text(row, "name"),
        .protocol = (enum protocol)protocol_bit(row_text(row, "protocol")),
        .host = row_text(row, "host"),
        .port = (uint16_t)row_number("services", row, "port"),
        .path = row_text(row, "path"),
        .connect_timeout_ms = (uint32_t)row_number("services", row, "connect_timeout"),
        .write_timeout_ms = (uint32_t)row_number("services", row, "write_timeout"),
        .read_timeout_ms = (uint32_t)row_number("services", row, "read_timeout"),
        .retries = (uint32_t)row_number("services", row, "retries"),
        .proxy_protocol = proxy_protocol_of(row_text(row, "proxy_protocol")),
    };
}

/* Terminated, for those who want a C string. */
static void move_text(struct str *text, char **at)
{
    if (text->len > 0)
        memcpy(*at, text->ptr, text->len);
    (*at)[text->len] = '\0';
    text->ptr = *at;
    *at += text->len + 1;
}

struct compiled_service *compiled_service_create(const json_t *row, const json_t *upstream)
{
    char host[MAX_HOST_BYTES];
    struct service service = read_row(row);
    service.host_header =
        upstream ? row_text(upstream, "host_header") : own_host_header(&service, host);
    struct str *const texts[] = {&service.id, &service.name, &service.host, &service.path,
                                 &service.host_header};
    size_t size = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        size += texts[i]->len + 1;
    struct compiled_service *compiled = malloc(sizeof(*compiled) + size);
    if (!compiled)
        return NULL;
    char *at = (char *)(compiled + 1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        move_text(texts[i], &at);
    *compiled = (struct compiled_service){
        .service = service,
        .is_enabled = !json_is_false(json_object_get(row, "enabled")),
        .names_upstream = upstream != NULL,
    };
    atomic_init(&compiled->refs, 1);
    return compiled;
}

bool compiled_service_fits(const struct compiled_service *compiled, const json_t *upstream)
{
    if (!upstream)
        return !compiled->names_upstream;
    return compiled->names_upstream &&
           str_equal(compiled->service.host_header, row_text(upstream, "host_header"));
}

struct compiled_service *compiled_service_ref(struct compiled_service *compiled)
{
    atomic_fetch_add_explicit(&compiled->refs, 1, memory_order_relaxed);
    return compiled;
}

void compiled_service_unref(struct compiled_service *compiled)
{
    if (!compiled || atomic_fetch_sub_explicit(&compiled->refs, 1, memory_order_acq_rel) != 1)
        return;
    tls_client_unref(compiled->tls);
    free(compiled);
}
