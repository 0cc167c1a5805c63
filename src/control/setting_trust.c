/* The settings that say whose word on their clients is taken. */
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "control/options.h"
#include "control/setting_parse.h"

int setting_parse_trusted_ips(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err)
{
    struct str bad;
    struct cidr_set set;
    int rc = cidr_set_init(&set, str_of(text), &bad);
    if (rc == UV_EINVAL)
        error_set(err, source, "must be %s, not \"%.*s\"", setting->allowed,
                  (int)(bad.len < 100 ? bad.len : 100), bad.ptr);
    if (rc)
        return rc;
    cidr_set_deinit(&options->trust.proxies);
    options->trust.proxies = set;
    return 0;
}

static bool is_header_name(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = strlen(text);
    return len > 0 && len <= 100 && strspn(text, allowed) == len;
}

int setting_parse_real_ip_header(const struct setting *setting, const char *text,
                                 const char *source, struct options *options, struct error *err)
{
    if (!is_header_name(text)) {
        error_set(err, source, "must be %s, not \"%.100s\"", setting->allowed, text);
        return UV_EINVAL;
    }
    char *copy = strdup(strcmp(text, "proxy_protocol") == 0 ? "" : text);
    if (!copy)
        return UV_ENOMEM;
    free(options->real_ip_header);
    options->real_ip_header = copy;
    options->trust.header = str_of(copy);
    return 0;
}
