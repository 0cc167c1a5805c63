#include "control/tls_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#include "base/log.h"
#include "control/options.h"
#include "control/setting.h"
#include "net/tls_identity.h"
#include "net/tls_self_signed.h"

#define MAX_FILE_BYTES (1u << 20)

/* --- texts --- */

/* The whole file; the caller wipes and frees it. */
static int read_file(const char *path, char **ret)
{
    char *text = NULL;
    size_t len = 0;
    int rc = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return uv_translate_sys_error(errno);
    text = malloc(MAX_FILE_BYTES + 1);
    if (text)
        len = fread(text, 1, MAX_FILE_BYTES + 1, file);
    if (!text)
        rc = UV_ENOMEM;
    else if (ferror(file))
        rc = uv_translate_sys_error(errno);
    else if (len > MAX_FILE_BYTES)
        rc = UV_EFBIG;
    fclose(file);
    if (rc) {
        free(text);
        return rc;
    }
    text[len] = '\0';
    *ret = text;
    return 0;
}

static bool is_pem(const char *text)
{
    return strstr(text, "-----BEGIN ") != NULL;
}

/* PEM within base64, as it is put into variables that can't hold a line's end; NULL: it is not. */
static char *decode(struct str word)
{
    char *out = calloc(1, word.len + 4);
    if (!out || word.len == 0 || word.len % 4 != 0 || word.len > MAX_FILE_BYTES) {
        free(out);
        return NULL;
    }
    int len = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)word.ptr, (int)word.len);
    if (len <= 0 || !is_pem(out)) {
        free(out);
        return NULL;
    }
    return out;
}

/* One word of ssl_cert or ssl_cert_key as PEM; the caller wipes and frees it. */
static int read_word(struct str word, const char *field, char **ret, struct error *err)
{
    char *text = str_dup(word);
    if (!text)
        return UV_ENOMEM;
    if (is_pem(text)) {
        *ret = text;
        return 0;
    }
    int rc = read_file(text, ret);
    if (rc) {
        char *decoded = decode(word);
        if (decoded) {
            *ret = decoded;
            rc = 0;
        } else { /* what is long is hardly a path, but may be a secret */
            error_set(err, field, word.len < 200 ? "can't read %s: %s" : "can't be read%.0s: %s",
                      text, uv_strerror(rc));
        }
    }
    tls_wipe_text(text);
    return rc;
}

struct pem_texts {
    char *certs[TLS_IDENTITY_MAX_PAIRS];
    char *keys[TLS_IDENTITY_MAX_PAIRS];
    unsigned count;
};

static void free_texts(struct pem_texts *texts)
{
    for (unsigned i = 0; i < texts->count; i++) {
        free(texts->certs[i]);
        tls_wipe_text(texts->keys[i]);
    }
}

/* One setting of certificates and the one of their keys. */
struct given {
    const char *certs, *keys;           /* NULL: not set */
    const char *cert_field, *key_field; /* their variables */
};

static int read_given(const struct given *given, struct pem_texts *texts, struct error *err)
{
    struct str certs = str_of(given->certs), keys = str_of(given->keys);
    int rc = 0;
    while (rc == 0 && (certs.ptr || keys.ptr)) {
        if (!certs.ptr || !keys.ptr || texts->count == TLS_IDENTITY_MAX_PAIRS) {
            error_set(err, given->key_field,
                      "must have as many keys as %s has certificates, at most %d",
                      given->cert_field, TLS_IDENTITY_MAX_PAIRS);
            return UV_EINVAL;
        }
        unsigned i = texts->count++;
        rc = read_word(str_trim(str_cut(&certs, ',')), given->cert_field, &texts->certs[i], err);
        if (!rc)
            rc = read_word(str_trim(str_cut(&keys, ',')), given->key_field, &texts->keys[i], err);
    }
    return rc;
}

/* --- certificates of our own making --- */

static int write_file(const char *path, const char *text)
{
    char aside[PATH_MAX];
    int len = snprintf(aside, sizeof(aside), "%s.%ld", path, (long)getpid());
    if (len < 0 || (size_t)len >= sizeof(aside))
        return UV_ENAMETOOLONG;
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return uv_translate_sys_error(errno);
    size_t size = strlen(text);
    ssize_t written = write(fd, text, size);
    int rc = written == (ssize_t)size && fsync(fd) == 0 ? 0 : UV_EIO;
    close(fd);
    if (!rc && rename(aside, path) != 0)
        rc = uv_translate_sys_error(errno);
    if (rc)
        unlink(aside);
    return rc;
}

static int make_folders(const char *data_dir, char folder[PATH_MAX])
{
    int len = snprintf(folder, PATH_MAX, "%s/ssl", data_dir);
    if (len < 0 || len >= PATH_MAX)
        return UV_ENAMETOOLONG;
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST)
        return uv_translate_sys_error(errno);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return uv_translate_sys_error(errno);
    return 0;
}

/* Takes the pair from the folder, or makes one and puts it there: the key first, so that a
 * certificate always has its key. */
static int read_or_make(const char *folder, const char *name, enum tls_key_type type,
                        struct pem_texts *texts)
{
    char cert_path[PATH_MAX + 64], key_path[PATH_MAX + 64];
    snprintf(cert_path, sizeof(cert_path), "%s/%s.crt", folder, name);
    snprintf(key_path, sizeof(key_path), "%s/%s.key", folder, name);
    unsigned i = texts->count++;
    if (folder[0] && read_file(cert_path, &texts->certs[i]) == 0 &&
        read_file(key_path, &texts->keys[i]) == 0)
        return 0;
    free(texts->certs[i]);
    texts->certs[i] = NULL;
    int rc = tls_self_signed(type, &texts->certs[i], &texts->keys[i]);
    if (rc || !folder[0])
        return rc;
    int write_error = write_file(key_path, texts->keys[i]);
    if (!write_error)
        write_error = write_file(cert_path, texts->certs[i]);
    if (write_error)
        log_warn("the default certificate can't be kept; it is another after the next start",
                 LOG_CSTR("file", cert_path), LOG_CSTR("error", uv_strerror(write_error)));
    else
        log_notice("a self-signed default certificate was made", LOG_CSTR("file", cert_path));
    return 0;
}

static int read_own(const struct options *options, struct pem_texts *texts)
{
    char folder[PATH_MAX] = "";
    int rc = make_folders(options->data_dir, folder);
    if (rc) {
        log_warn("no folder for the default certificates", LOG_CSTR("data", options->data_dir),
                 LOG_CSTR("error", uv_strerror(rc)));
        folder[0] = '\0';
    }
    rc = read_or_make(folder, "weir-default", TLS_KEY_RSA, texts);
    return rc ? rc : read_or_make(folder, "weir-default-ecdsa", TLS_KEY_ECDSA, texts);
}

static int read_identity(const struct options *options, const struct given *given,
                         struct tls_identity **ret, struct error *err)
{
    struct pem_texts texts = {.count = 0};
    struct tls_pem pairs[TLS_IDENTITY_MAX_PAIRS];
    bool is_given = given->certs || given->keys;
    int rc = is_given ? read_given(given, &texts, err) : read_own(options, &texts);
    for (unsigned i = 0; i < texts.count; i++)
        pairs[i] = (struct tls_pem){str_of(texts.certs[i]), str_of(texts.keys[i]),
                                    given->cert_field, given->key_field};
    if (!rc)
        rc = tls_identity_create(pairs, texts.count, ret, err);
    free_texts(&texts);
    return rc;
}

static int read_or_share(const struct options *options, const struct given *given,
                         struct tls_identity *otherwise, struct tls_identity **ret,
                         struct error *err)
{
    if (given->certs || given->keys)
        return read_identity(options, given, ret, err);
    *ret = tls_identity_ref(otherwise);
    return 0;
}

static int read_identities(struct tls_setup *setup, const struct options *options,
                           struct error *err)
{
    const struct given proxy = {options->ssl_cert, options->ssl_cert_key, "WEIR_SSL_CERT",
                                "WEIR_SSL_CERT_KEY"};
    const struct given admin = {options->admin_ssl_cert, options->admin_ssl_cert_key,
                                "WEIR_ADMIN_SSL_CERT", "WEIR_ADMIN_SSL_CERT_KEY"};
    const struct given status = {options->status_ssl_cert, options->status_ssl_cert_key,
                                 "WEIR_STATUS_SSL_CERT", "WEIR_STATUS_SSL_CERT_KEY"};
    int rc = read_identity(options, &proxy, &setup->identity, err);
    if (rc)
        return rc;
    rc = read_or_share(options, &admin, setup->identity, &setup->admin_identity, err);
    return rc ? rc : read_or_share(options, &status, setup->identity, &setup->status_identity, err);
}

int tls_setup_read_client(const struct options *options, struct tls_identity **ret,
                          struct error *err)
{
    const struct given given = {options->client_ssl_cert, options->client_ssl_cert_key,
                                "WEIR_CLIENT_SSL_CERT", "WEIR_CLIENT_SSL_CERT_KEY"};
    *ret = NULL;
    if (!options->has_client_ssl)
        return 0;
    if (!given.certs) {
        error_set(err, "WEIR_CLIENT_SSL_CERT", "must be set when WEIR_CLIENT_SSL is on");
        return UV_EINVAL;
    }
    return read_identity(options, &given, ret, err);
}

/* --- tickets --- */

static int read_seed(const struct options *options, struct tls_ticket_seed *seed, struct error *err)
{
    uint64_t now_s = (uint64_t)time(NULL);
    if (!options->ssl_ticket_secret_file) {
        tls_ticket_seed_random(options->ssl_session_timeout_s, now_s, seed);
        return 0;
    }
    char *text;
    int rc = read_file(options->ssl_ticket_secret_file, &text);
    if (!rc && strlen(text) < TLS_TICKET_SECRET_BYTES) {
        tls_wipe_text(text);
        rc = UV_EINVAL;
    }
    if (rc) {
        error_set(err, "WEIR_SSL_TICKET_SECRET_FILE", "%s %s", options->ssl_ticket_secret_file,
                  rc == UV_EINVAL ? "must hold at least 32 bytes" : uv_strerror(rc));
        return rc;
    }
    tls_ticket_seed_shared(str_of(text), options->ssl_session_timeout_s, now_s, seed);
    tls_wipe_text(text);
    return 0;
}

/* --- the whole --- */

static void choose_level(struct tls_setup *setup, const struct options *options)
{
    const struct tls_level *known = tls_level_find(options->ssl_cipher_suite);
    if (known)
        setup->level = *known;
    else
        setup->level = (struct tls_level){.name = "custom",
                                          .protocols = options->ssl_protocols,
                                          .ciphers = options->ssl_ciphers,
                                          .prefers_server = true};
}

/* Once for the errors, which name what the human wrote. */
static int try_out(const struct tls_server_settings *offer, const char *prefix, struct error *err)
{
    struct tls_server *trial;
    struct error cause = {.sentence = ""};
    int rc = tls_server_create(offer, NULL, NULL, &trial, &cause);
    if (rc) {
        char name[SETTING_NAME_BYTES], variable[SETTING_NAME_BYTES];
        snprintf(name, sizeof(name), "%s%.40s", prefix, cause.field);
        setting_variable(setting_find(name) ? name : cause.field, variable);
        error_set(err, variable, "%s", cause.sentence);
        return rc;
    }
    tls_server_destroy(trial);
    return 0;
}

/* The same for what listeners ask of their clients themselves. */
static int try_listeners(const struct listener_spec *specs, unsigned count, const char *variable,
                         const struct tls_server_settings *offer, struct error *err)
{
    for (unsigned i = 0; i < count; i++) {
        struct tls_server_settings own = *offer;
        struct tls_server *trial;
        struct error cause = {.sentence = ""};
        if (!specs[i].clients.is_own)
            continue;
        listener_ask_clients(&specs[i], &own);
        int rc = tls_server_create(&own, NULL, NULL, &trial, &cause);
        if (rc) {
            error_set(err, variable, "%s: client_certificate %s", specs[i].text, cause.sentence);
            return rc;
        }
        tls_server_destroy(trial);
    }
    return 0;
}

static int try_all_listeners(const struct tls_setup *setup, const struct options *options,
                             struct error *err)
{
    const struct {
        const struct listener_spec *specs;
        unsigned count;
        const char *variable;
        const struct tls_server_settings *offer;
    } kinds[] = {
        {options->proxy_listeners, options->proxy_listener_count, "WEIR_PROXY_LISTEN",
         &setup->proxy},
        {options->stream_listeners, options->stream_listener_count, "WEIR_STREAM_LISTEN",
         &setup->streams},
        {options->admin_listeners, options->admin_listener_count, "WEIR_ADMIN_LISTEN",
         &setup->admin},
        {options->status_listeners, options->status_listener_count, "WEIR_STATUS_LISTEN",
         &setup->status},
    };
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        rc = try_listeners(kinds[i].specs, kinds[i].count, kinds[i].variable, kinds[i].offer, err);
    return rc;
}

int tls_setup_init(struct tls_setup *setup, const struct options *options, struct error *err)
{
    memset(setup, 0, sizeof(*setup));
    choose_level(setup, options);
    int rc = read_identities(setup, options, err);
    if (rc)
        return rc;
    setup->proxy = (struct tls_server_settings){
        .level = &setup->level,
        .identity = setup->identity,
        .session_timeout_s = options->ssl_session_timeout_s,
        .client_check = options->ssl_verify_client,
        .client_ca_file = options->ssl_client_certificate,
        .client_depth = options->ssl_verify_depth,
    };
    rc = read_seed(options, &setup->proxy.seed, err);
    if (rc)
        return rc;
    setup->streams = setup->proxy;
    setup->streams.carries_streams = true;
    setup->streams.stream_protocols = options->stream_ssl_alpn;
    setup->admin = (struct tls_server_settings){
        .level = &setup->level,
        .identity = setup->admin_identity,
        .session_timeout_s = options->ssl_session_timeout_s,
        .client_check =
            options->admin_ssl_client_certificate ? TLS_CLIENT_REQUIRED : TLS_CLIENT_NONE,
        .client_ca_file = options->admin_ssl_client_certificate,
        .client_depth = options->ssl_verify_depth,
    };
    /* The proxy's tickets are not the Admin API's. */
    tls_ticket_seed_random(options->ssl_session_timeout_s, (uint64_t)time(NULL),
                           &setup->admin.seed);
    /* Nor are the Admin API's those of the listeners for which nobody needs a certificate. */
    setup->status = setup->admin;
    setup->status.identity = setup->status_identity;
    setup->status.client_check = TLS_CLIENT_NONE;
    setup->status.client_ca_file = NULL;
    tls_ticket_seed_random(options->ssl_session_timeout_s, (uint64_t)time(NULL),
                           &setup->status.seed);

    rc = try_out(&setup->proxy, "", err);
    if (!rc)
        rc = try_out(&setup->admin, "admin_", err);
    return rc ? rc : try_all_listeners(setup, options, err);
}

void tls_setup_deinit(struct tls_setup *setup)
{
    tls_identity_unref(setup->identity);
    tls_identity_unref(setup->admin_identity);
    tls_identity_unref(setup->status_identity);
    explicit_bzero(setup, sizeof(*setup));
}
