#include "control/admin_setup.h"

#include <netinet/in.h>
#include <stdbool.h>

#include "admin/guard.h"
#include "base/log.h"
#include "control/options.h"
#include "net/ip.h"

static bool is_loopback(const union ip_address *address)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    if (address->any.sa_family == AF_INET)
        return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
}

static bool needs_certificate(const struct options *options, const struct listener_spec *spec)
{
    if (!spec->is_tls)
        return false;
    return spec->clients.is_own ? spec->clients.check == TLS_CLIENT_REQUIRED
                                : options->admin_ssl_client_certificate != NULL;
}

/* Each line says what is missing, so that it goes away when that has been seen to. */
static void warn_of_openness(const struct options *options)
{
    for (unsigned i = 0; i < options->admin_listener_count; i++) {
        const struct listener_spec *spec = &options->admin_listeners[i];
        bool knows_clients = options->admin_tokens_file || needs_certificate(options, spec);
        if (is_loopback(&spec->address))
            continue;
        if (!knows_clients)
            log_warn("the Admin API is open to all who reach this address; set "
                     "WEIR_ADMIN_TOKENS_FILE, or listen on 127.0.0.1",
                     LOG_CSTR("address", spec->text));
        else if (!spec->is_tls)
            log_warn("the Admin API's tokens pass in clear text at this address; give it the flag "
                     "ssl, or listen on 127.0.0.1",
                     LOG_CSTR("address", spec->text));
    }
}

int admin_setup_init(struct admin_setup *setup, const struct options *options, struct error *err)
{
    const struct admin_guard_settings settings = {
        .tokens_file = options->admin_tokens_file,
        .origins = options->admin_cors_origins,
        .rate_limit = options->admin_rate_limit,
        .audits = options->admin_audits,
    };
    int rc = admin_guard_create(&settings, &setup->guard, err);
    if (rc)
        return rc;
    warn_of_openness(options);
    return 0;
}

void admin_setup_deinit(struct admin_setup *setup)
{
    admin_guard_destroy(setup->guard);
    setup->guard = NULL;
}
