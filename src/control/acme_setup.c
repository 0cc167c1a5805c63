/* acme_setup.c - what can be wrong with the settings of ACME, said at start. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#include "control/acme_parts.h"
#include "control/options.h"

#define MAX_TEXT_BYTES 1024 /* of the key in a file */
#define FILE_FIELD "WEIR_ACME_EAB_HMAC_FILE"

int acme_check(const struct options *options, struct error *err)
{
    bool has_tls = false;
    for (unsigned i = 0; i < options->proxy_listener_count; i++)
        has_tls = has_tls || options->proxy_listeners[i].is_tls;
    if (!options->acme_agrees)
        error_set(err, "WEIR_ACME_AGREE_TOS",
                  "must be on to get certificates: it says that you agree to the terms of service "
                  "of %.200s",
                  options->acme_directory);
    else if (options->database == STORE_MEMORY)
        error_set(err, "WEIR_ACME_HOSTS",
                  "needs a database to keep certificates in (WEIR_DATABASE is off)");
    else if (options->acme_by_tls && !has_tls)
        error_set(err, "WEIR_ACME_CHALLENGE",
                  "can't be tls-alpn-01 without a listener with ssl in WEIR_PROXY_LISTEN");
    else if (!options->acme_eab_kid != !options->acme_eab_hmac_file)
        error_set(err, "WEIR_ACME_EAB_KID",
                  "needs WEIR_ACME_EAB_HMAC_FILE, and the other way round");
    else
        return 0;
    return UV_EINVAL;
}

/* Without what an editor puts behind it. */
static struct str without_end(struct str text)
{
    while (text.len > 0 && (unsigned char)text.ptr[text.len - 1] <= ' ')
        text.len--;
    return text;
}

/* Base64 for URLs, as authorities hand it out. False: it is none. */
static bool decode(struct str text, char out[MAX_TEXT_BYTES], size_t *ret_len)
{
    unsigned char padded[MAX_TEXT_BYTES];
    while (text.len > 0 && text.ptr[text.len - 1] == '=')
        text.len--;
    size_t len = (text.len + 3) / 4 * 4;
    if (text.len == 0 || text.len % 4 == 1 || len > sizeof(padded))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = i < text.len ? text.ptr[i] : 'A';
        padded[i] = (unsigned char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    int rc = EVP_DecodeBlock((unsigned char *)out, padded, (int)len);
    OPENSSL_cleanse(padded, sizeof(padded));
    *ret_len = text.len * 3 / 4;
    return rc == (int)(len / 4 * 3);
}

int acme_read_secret(const struct options *options, char **ret, size_t *ret_len, struct error *err)
{
    const char *path = options->acme_eab_hmac_file;
    char text[MAX_TEXT_BYTES], *secret = NULL;
    if (!path)
        return 0;
    FILE *file = fopen(path, "re");
    int rc = file ? 0 : uv_translate_sys_error(errno);
    size_t len = file ? fread(text, 1, sizeof(text), file) : 0;
    if (file)
        fclose(file);
    if (rc)
        error_set(err, FILE_FIELD, "can't read %.200s: %s", path, uv_strerror(rc));
    else if (!(secret = calloc(1, MAX_TEXT_BYTES)))
        rc = UV_ENOMEM;
    else if (!decode(without_end(str_make(text, len)), secret, ret_len)) {
        error_set(err, FILE_FIELD, "%.200s must hold a key as base64 for URLs", path);
        rc = UV_EINVAL;
    }
    OPENSSL_cleanse(text, sizeof(text));
    if (rc)
        free(secret);
    else
        *ret = secret;
    return rc;
}
