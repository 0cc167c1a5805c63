#include "control/options.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include <uv.h>

#include "control/setting.h"

static const char *text_of(const struct options *options, const char *name)
{
    const struct setting *setting = setting_find(name);
    return setting ? options->texts[setting - settings] : NULL;
}

/* A comma list as an array of strings, as Kong shows lists; empty for NULL. */
static json_t *list_of(const char *text)
{
    json_t *list = json_array();
    for (struct str rest = str_of(text); rest.ptr;) {
        struct str word = str_trim(str_cut(&rest, ','));
        json_array_append_new(list, json_stringn(word.ptr, word.len));
    }
    return list;
}

/* A listener with Kong's keys; "backlog=%d+" really is one of them. */
static json_t *listener_to_json(const struct listener_spec *spec)
{
    char ip[INET6_ADDRSTRLEN + 2] = "", backlog[32];
    uv_ip_name((const struct sockaddr *)&spec->address, ip, sizeof(ip));
    snprintf(backlog, sizeof(backlog), "backlog=%d", spec->backlog);
    return json_pack("{s:s, s:i, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "ip", ip, "port",
                     spec->port, "listener", spec->text, "ssl", spec->is_tls, "http2",
                     spec->is_http2, "proxy_protocol", spec->has_proxy_protocol, "reuseport",
                     spec->has_reuseport, "bind", spec->has_bind, "deferred", spec->is_deferred,
                     "backlog=%d+", 0, backlog, 1);
}

static json_t *listeners_to_json(const struct listener_spec *specs, unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, listener_to_json(&specs[i]));
    return list;
}

/* What Kong's clients look for and weir does not let anyone choose. */
static json_t *constants(const struct options *options)
{
    return json_pack("{s:s, s:s, s:s, s:[s], s:{}, s:b}", "role", "traditional", "router_flavor",
                     "traditional_compatible", "prefix", options->data_dir, "plugins", "bundled",
                     "loaded_plugins", "wasm", 0);
}

/* All settings under their own names, as they were written. */
static int add_texts(json_t *object, const struct options *options)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < setting_count; i++) {
        const char *text = options->texts[i];
        if (text && settings[i].is_secret)
            text = "******";
        rc = json_object_set_new(object, settings[i].name, text ? json_string(text) : json_null());
    }
    return rc;
}

json_t *options_to_json(const struct options *options)
{
    json_t *object = constants(options);
    if (!object || add_texts(object, options) < 0)
        goto fail;
    /* Where Kong's type is another than text. */
    json_t *typed = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:f, s:I, s:I, s:b, s:b}", "proxy_listen",
        list_of(text_of(options, "proxy_listen")), "admin_listen",
        list_of(text_of(options, "admin_listen")), "dns_resolver", list_of(options->dns_servers),
        "headers", list_of(text_of(options, "headers")), "proxy_listeners",
        listeners_to_json(options->proxy_listeners, options->proxy_listener_count),
        "admin_listeners",
        listeners_to_json(options->admin_listeners, options->admin_listener_count),
        "upstream_keepalive_pool_size", (json_int_t)options->upstream_pool_size,
        "upstream_keepalive_max_requests",
        (json_int_t)(options->upstream_max_requests == UINT32_MAX ? 0
                                                                  : options->upstream_max_requests),
        "upstream_keepalive_idle_timeout", options->upstream_idle_timeout_ms / 1000.0, "pg_port",
        (json_int_t)options->pg_port, "pg_timeout", (json_int_t)options->pg_timeout_ms, "pg_ssl",
        options->pg_has_tls, "pg_ssl_verify", options->pg_verifies_tls);
    json_object_set_new(typed, "stream_listen", list_of(text_of(options, "stream_listen")));
    json_object_set_new(
        typed, "stream_listeners",
        listeners_to_json(options->stream_listeners, options->stream_listener_count));
    json_object_set_new(typed, "status_listen", list_of(text_of(options, "status_listen")));
    json_object_set_new(
        typed, "status_listeners",
        listeners_to_json(options->status_listeners, options->status_listener_count));
    int rc = typed ? json_object_update(object, typed) : -1;
    json_decref(typed);
    if (rc == 0)
        rc = json_object_set_new(object, "proxy_access_log",
                                 json_string(text_of(options, "access_log")));
    if (rc == 0)
        rc = json_object_set_new(object, "nginx_worker_processes",
                                 json_string(text_of(options, "workers")));
    if (rc == 0)
        return object;
fail:
    json_decref(object);
    return NULL;
}
