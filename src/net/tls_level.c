#include "net/tls_level.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <uv.h> /* error codes only */

#include "base/str.h"

#define INTERMEDIATE                                                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"       \
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"

/* Before TLS 1.2 signatures are made with SHA-1, which only level 0 of OpenSSL's allows. */
#define OLD                                                                                        \
    INTERMEDIATE ":DHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"   \
                 "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:"          \
                 "ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"            \
                 "DHE-RSA-AES128-SHA256:DHE-RSA-AES256-SHA256:AES128-GCM-SHA256:"                  \
                 "AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA:"            \
                 "DES-CBC3-SHA:@SECLEVEL=0"

static const struct tls_level levels[] = {
    {"modern", "TLSv1.3", NULL, false},
    {"intermediate", "TLSv1.2 TLSv1.3", INTERMEDIATE, false},
    {"old", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3", OLD, true},
};

static const struct {
    const char *name;
    int version;
    uint64_t off; /* the option that leaves it out */
} protocols[] = {
    {"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
    {"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
    {"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
    {"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};
#define PROTOCOL_COUNT (sizeof(protocols) / sizeof(*protocols))

const struct tls_level *tls_level_find(const char *name)
{
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return &levels[i];
    return NULL;
}

static int use_protocols(SSL_CTX *context, const char *text, struct error *err)
{
    bool is_on[PROTOCOL_COUNT] = {false}, any = false;
    struct str rest = str_of(text);
    while (rest.len > 0) {
        struct str word = str_trim(str_cut(&rest, ' '));
        size_t i = 0;
        while (i < PROTOCOL_COUNT && !str_equal(word, str_of(protocols[i].name)))
            i++;
        if (i < PROTOCOL_COUNT)
            is_on[i] = any = true;
        else if (word.len > 0)
            goto bad;
    }
    if (!any)
        goto bad;
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
    for (size_t i = 0; i < PROTOCOL_COUNT; i++)
        if (!is_on[i])
            SSL_CTX_set_options(context, protocols[i].off);
    return 0;
bad:
    error_set(err, "ssl_protocols", "must be some of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3, not \"%s\"",
              text);
    return UV_EINVAL;
}

/* OpenSSL takes 1.3's suites by another function than all others. */
static int split_ciphers(const char *text, char **ret_suites, char **ret_ciphers)
{
    size_t size = strlen(text) + 1;
    char *suites = calloc(1, size), *ciphers = calloc(1, size);
    if (!suites || !ciphers) {
        free(suites);
        free(ciphers);
        return UV_ENOMEM;
    }
    struct str rest = str_of(text);
    while (rest.len > 0) {
        struct str word = str_trim(str_cut(&rest, ':'));
        char *list = str_starts_with(word, STR("TLS_")) ? suites : ciphers;
        size_t len = strlen(list);
        if (word.len > 0)
            snprintf(list + len, size - len, "%s%.*s", len ? ":" : "", STR_ARG(word));
    }
    *ret_suites = suites;
    *ret_ciphers = ciphers;
    return 0;
}

static int use_ciphers(SSL_CTX *context, const char *text, struct error *err)
{
    char *suites, *ciphers;
    int rc = split_ciphers(text, &suites, &ciphers);
    if (rc)
        return rc;
    if ((suites[0] && SSL_CTX_set_ciphersuites(context, suites) != 1) ||
        (ciphers[0] && SSL_CTX_set_cipher_list(context, ciphers) != 1) ||
        (!suites[0] && !ciphers[0])) {
        error_set(err, "ssl_ciphers",
                  "must be OpenSSL's names of ciphers between colons, of which one is known: "
                  "\"%.200s\"",
                  text);
        rc = UV_EINVAL;
    }
    ERR_clear_error();
    free(suites);
    free(ciphers);
    return rc;
}

int tls_level_use(const struct tls_level *level, struct ssl_ctx_st *context, struct error *err)
{
    int rc = use_protocols(context, level->protocols, err);
    if (!rc && level->ciphers)
        rc = use_ciphers(context, level->ciphers, err);
    if (level->prefers_server)
        SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_dh_auto(context, 1); /* for the DHE ciphers */
    return rc;
}
