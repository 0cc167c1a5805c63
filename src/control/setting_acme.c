/* The settings that say whose certificates are got by ACME, and how. */
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "control/options.h"
#include "control/setting_parse.h"

#define MAX_HOSTS 1000
#define MAX_HOST_BYTES 253
#define MAX_LABEL_BYTES 63

static int refuse(const struct setting *setting, const char *text, const char *source,
                  struct error *err)
{
    error_set(err, source, "must be %s, not \"%.100s\"", setting->allowed, text);
    return UV_EINVAL;
}

/* Labels of letters, digits and inner hyphens, and more than one of them. */
static bool is_host(struct str name)
{
    unsigned labels = 0;
    bool has_letter = false;
    for (struct str rest = name; rest.ptr; labels++) {
        struct str label = str_cut(&rest, '.');
        if (label.len == 0 || label.len > MAX_LABEL_BYTES || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        has_letter = false; /* the last label has one: it is no address */
        for (size_t i = 0; i < label.len; i++) {
            char c = str_lower_char(label.ptr[i]);
            bool is_letter = c >= 'a' && c <= 'z';
            has_letter = has_letter || is_letter;
            if (!is_letter && !(c >= '0' && c <= '9') && c != '-')
                return false;
        }
    }
    return labels > 1 && has_letter && name.len <= MAX_HOST_BYTES;
}

int setting_parse_acme_hosts(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err)
{
    unsigned count = 0;
    for (struct str rest = str_of(text); rest.ptr; count++) {
        struct str host = str_trim(str_cut(&rest, ','));
        if (str_starts_with(host, STR("*"))) {
            error_set(
                err, source,
                "can't have %.*s: authorities validate wildcards by DNS alone (DNS-01), which "
                "weir doesn't do",
                (int)(host.len < 100 ? host.len : 100), host.ptr);
            return UV_EINVAL;
        }
        if (!is_host(host) || count == MAX_HOSTS)
            return refuse(setting, text, source, err);
    }
    char *copy = strdup(text);
    if (!copy)
        return UV_ENOMEM;
    for (char *at = copy; *at; at++)
        *at = str_lower_char(*at);
    free(options->acme_hosts);
    options->acme_hosts = copy;
    return 0;
}

int setting_parse_acme_directory(const struct setting *setting, const char *text,
                                 const char *source, struct options *options, struct error *err)
{
    struct str url = str_of(text);
    if ((!str_starts_with(url, STR("https://")) && !str_starts_with(url, STR("http://"))) ||
        url.len < 10 || url.len > 1000)
        return refuse(setting, text, source, err);
    char *copy = strdup(text);
    if (!copy)
        return UV_ENOMEM;
    free(options->acme_directory);
    options->acme_directory = copy;
    return 0;
}

int setting_parse_acme_challenge(const struct setting *setting, const char *text,
                                 const char *source, struct options *options, struct error *err)
{
    options->acme_by_tls = strcmp(text, "tls-alpn-01") == 0;
    return options->acme_by_tls || strcmp(text, "http-01") == 0
               ? 0
               : refuse(setting, text, source, err);
}

int setting_parse_acme_key(const struct setting *setting, const char *text, const char *source,
                           struct options *options, struct error *err)
{
    options->acme_has_rsa = strcmp(text, "rsa-2048") == 0;
    return options->acme_has_rsa || strcmp(text, "ecdsa-p256") == 0
               ? 0
               : refuse(setting, text, source, err);
}
