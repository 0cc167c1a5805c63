#include "control/tls_compile.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#include "base/log.h"
#include "base/map.h"
#include "model/compiled_service.h"
#include "model/config.h"
#include "model/packed_row.h"
#include "model/row.h"
#include "model/snapshot.h"
#include "net/tls_client.h"
#include "net/tls_identity.h"
#include "net/tls_names.h"

#define DIGEST_BYTES 32

/* Made of a certificate entity, or of a service's TLS. */
struct made {
    struct packed_row *row;        /* a reference: the certificate's; NULL: of a service's TLS */
    uint8_t digest[DIGEST_BYTES];  /* of what it was made of */
    struct tls_identity *identity; /* referenced; NULL: the texts are not usable */
    enum cert_stage told;          /* how far its end has been warned of */
    struct tls_client *client;     /* the same */
    uint64_t generation;           /* of the compilation that last asked for it */
};

struct tls_compiler {
    struct tls_out_defaults defaults;
    enum cert_stage told;  /* how far the end of the default certificate has been warned of */
    struct map identities; /* certificate's id → struct made */
    struct map clients;    /* digest of all that makes a client → struct made */
    uint64_t generation;
    unsigned lines;                     /* about certificates' ends, in this compilation */
    uint64_t certificates, authorities; /* stamps of the tables that clients are made of */
    uint64_t client_generation;         /* counts up when one of them is another one */
};

int tls_compiler_create(const struct tls_out_defaults *defaults, struct tls_compiler **ret)
{
    struct tls_compiler *compiler = calloc(1, sizeof(*compiler));
    if (!compiler)
        return UV_ENOMEM;
    compiler->defaults = *defaults;
    *ret = compiler;
    return 0;
}

static void free_made(struct made *made)
{
    if (!made)
        return;
    tls_identity_unref(made->identity);
    tls_client_unref(made->client);
    packed_row_unref(made->row);
    free(made);
}

static void free_all(struct map *map)
{
    size_t at = 0;
    void *made;
    while (map_each(map, &at, NULL, &made))
        free_made(made);
    map_deinit(map);
}

void tls_compiler_destroy(struct tls_compiler *compiler)
{
    if (!compiler)
        return;
    free_all(&compiler->identities);
    free_all(&compiler->clients);
    tls_store_unref(compiler->defaults.trusted);
    tls_identity_unref(compiler->defaults.identity);
    free(compiler);
}

void tls_compiler_each(struct tls_compiler *compiler, cert_visit_cb visit, void *arg)
{
    size_t at = 0;
    struct str id;
    void *value;
    if (compiler->defaults.identity)
        visit(arg, STR("client"), compiler->defaults.identity, &compiler->told);
    while (map_each(&compiler->identities, &at, &id, &value)) {
        struct made *made = value;
        if (made->identity)
            visit(arg, id, made->identity, &made->told);
    }
}

/* --- identities --- */

static const char *const texts[] = {"cert", "key", "cert_alt", "key_alt"};

static void digest_of(const json_t *row, uint8_t digest[DIGEST_BYTES])
{
    unsigned char all[4 * DIGEST_BYTES];
    for (size_t i = 0; i < 4; i++) {
        struct str text = row_text(row, texts[i]);
        EVP_Digest(text.ptr ? text.ptr : "", text.len, all + i * DIGEST_BYTES, NULL, EVP_sha256(),
                   NULL);
    }
    EVP_Digest(all, sizeof(all), digest, NULL, EVP_sha256(), NULL);
}

static struct tls_identity *parse(const json_t *row)
{
    struct tls_pem pairs[2] = {
        {row_text(row, "cert"), row_text(row, "key"), "cert", "key"},
        {row_text(row, "cert_alt"), row_text(row, "key_alt"), "cert_alt", "key_alt"}};
    struct tls_identity *identity = NULL;
    struct error err = {.sentence = "memory is short"};
    if (tls_identity_create(pairs, pairs[1].cert.len > 0 ? 2 : 1, &identity, &err))
        log_error("a certificate cannot be used; its names get the default",
                  LOG_STR("certificate", row_text(row, "id")), LOG_CSTR("field", err.field),
                  LOG_CSTR("why", err.sentence));
    return identity;
}

/* Of a row that is another one than it was made of (`made`; NULL: of none). */
static int remake_identity(struct tls_compiler *compiler, const struct packed_row *packed,
                           const json_t *row, struct made *made, struct made **ret)
{
    uint8_t digest[DIGEST_BYTES];
    digest_of(row, digest);
    if (made && memcmp(made->digest, digest, sizeof(digest)) == 0) {
        packed_row_unref(made->row);
        made->row = packed_row_ref(packed);
        made->generation = compiler->generation;
        *ret = made;
        return 0;
    }
    struct made *fresh = calloc(1, sizeof(*fresh));
    void *old = NULL;
    if (!fresh || map_put(&compiler->identities, row_text(row, "id"), fresh, &old)) {
        free(fresh);
        return UV_ENOMEM;
    }
    free_made(old);
    fresh->row = packed_row_ref(packed);
    memcpy(fresh->digest, digest, sizeof(digest));
    fresh->generation = compiler->generation;
    fresh->identity = parse(row);
    if (fresh->identity && compiler->lines < CERT_EXPIRY_MAX_LINES)
        compiler->lines +=
            cert_expiry_tell(fresh->identity, row_text(row, "id"), time(NULL), &fresh->told);
    *ret = fresh;
    return 0;
}

/* What the entity amounts to, borrowed; its identity is NULL when it can't be used. */
static int make_identity(struct tls_compiler *compiler, const struct packed_row *packed,
                         struct made **ret)
{
    struct made *made = map_get(&compiler->identities, str_of(packed_row_id(packed)));
    if (made && made->row == packed) {
        made->generation = compiler->generation;
        *ret = made;
        return 0;
    }
    json_t *row = packed_row_unpack(packed);
    int rc = row ? remake_identity(compiler, packed, row, made, ret) : UV_ENOMEM;
    json_decref(row);
    return rc;
}

struct naming {
    struct tls_compiler *compiler;
    const struct config *config;
    struct tls_names *names;
};

static int add_name(void *arg, const json_t *row)
{
    const struct naming *naming = arg;
    struct str id = row_text(json_object_get(row, "certificate"), "id");
    const struct packed_row *certificate =
        config_get_packed(naming->config, entity_find(STR("certificates")), id);
    struct made *made;
    if (!certificate)
        return 0;
    int rc = make_identity(naming->compiler, certificate, &made);
    if (rc || !made->identity)
        return rc;
    return tls_names_add(naming->names, row_text(row, "name"), made->identity);
}

static int compile_names(struct tls_compiler *compiler, const struct config *config,
                         struct tls_names *names)
{
    struct naming naming = {compiler, config, names};
    return config_walk(config, entity_find(STR("snis")), add_name, &naming);
}

/* --- services --- */

#define MAX_AUTHORITIES 64

/* What a service's TLS is made of. */
struct client_parts {
    bool verifies;
    bool carries_streams;
    uint32_t depth;
    bool has_authorities;
    unsigned authority_count;
    struct str authorities[MAX_AUTHORITIES]; /* PEM */
    bool has_certificate;
    struct made *certificate; /* borrowed */
};

static int read_parts(struct tls_compiler *compiler, const struct config *config, const json_t *row,
                      struct client_parts *parts)
{
    const json_t *verify = json_object_get(row, "tls_verify");
    const json_t *depth = json_object_get(row, "tls_verify_depth");
    const json_t *authorities = json_object_get(row, "ca_certificates");
    *parts = (struct client_parts){
        .verifies = json_is_boolean(verify) ? json_is_true(verify) : compiler->defaults.verifies,
        .carries_streams = str_equal(row_text(row, "protocol"), STR("tls")),
        .depth =
            json_is_number(depth) ? (uint32_t)json_number_value(depth) : compiler->defaults.depth,
        .has_authorities = json_is_array(authorities),
    };
    for (size_t i = 0; i < json_array_size(authorities); i++) {
        const char *id = json_string_value(json_array_get(authorities, i));
        const json_t *ca = config_get(config, entity_find(STR("ca_certificates")), str_of(id));
        if (ca && parts->authority_count < MAX_AUTHORITIES)
            parts->authorities[parts->authority_count++] = row_text(ca, "cert");
    }
    struct str id = row_text(json_object_get(row, "client_certificate"), "id");
    const struct packed_row *certificate =
        id.len > 0 ? config_get_packed(config, entity_find(STR("certificates")), id) : NULL;
    parts->has_certificate = id.len > 0;
    return certificate ? make_identity(compiler, certificate, &parts->certificate) : 0;
}

static int digest_parts(const struct client_parts *parts, uint8_t digest[DIGEST_BYTES])
{
    uint8_t flags[4] = {parts->verifies, parts->has_authorities, parts->has_certificate,
                        parts->carries_streams};
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context)
        return UV_ENOMEM;
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    EVP_DigestUpdate(context, flags, sizeof(flags));
    EVP_DigestUpdate(context, &parts->depth, sizeof(parts->depth));
    for (unsigned i = 0; i < parts->authority_count; i++) {
        EVP_DigestUpdate(context, &parts->authorities[i].len, sizeof(size_t));
        EVP_DigestUpdate(context, parts->authorities[i].ptr, parts->authorities[i].len);
    }
    if (parts->certificate)
        EVP_DigestUpdate(context, parts->certificate->digest, DIGEST_BYTES);
    int rc = EVP_DigestFinal_ex(context, digest, NULL) == 1 ? 0 : UV_ENOMEM;
    EVP_MD_CTX_free(context);
    return rc;
}

static int create_client(const struct tls_compiler *compiler, const struct client_parts *parts,
                         struct tls_client **ret)
{
    struct x509_store_st *own = NULL;
    if (parts->has_authorities) {
        int rc = tls_store_create(parts->authorities, parts->authority_count, &own);
        if (rc)
            return rc;
    }
    const struct tls_client_settings settings = {
        .verifies = parts->verifies,
        .depth = parts->depth,
        .trusted = parts->has_authorities ? own : compiler->defaults.trusted,
        .identity = parts->certificate       ? parts->certificate->identity
                    : parts->has_certificate ? NULL
                                             : compiler->defaults.identity,
        .carries_streams = parts->carries_streams,
    };
    int rc = tls_client_create(&settings, ret);
    tls_store_unref(own);
    return rc;
}

/* Services that are spoken to alike share one, and their connections. */
static int make_client(struct tls_compiler *compiler, const struct client_parts *parts,
                       struct tls_client **ret)
{
    uint8_t digest[DIGEST_BYTES];
    int rc = digest_parts(parts, digest);
    if (rc)
        return rc;
    struct str key = str_make((const char *)digest, sizeof(digest));
    struct made *made = map_get(&compiler->clients, key);
    if (!made) {
        made = calloc(1, sizeof(*made));
        rc = made ? create_client(compiler, parts, &made->client) : UV_ENOMEM;
        if (!rc)
            rc = map_put(&compiler->clients, key, made, NULL);
        if (rc) {
            free_made(made);
            return rc;
        }
    }
    made->generation = compiler->generation;
    *ret = tls_client_ref(made->client);
    return 0;
}

static int compile_service(struct tls_compiler *compiler, const struct config *config,
                           struct compiled_service *compiled, struct service *service)
{
    if (compiled->tls && compiled->tls_generation == compiler->client_generation) {
        service->tls = tls_client_ref(compiled->tls);
        return 0;
    }
    const json_t *row = config_get(config, entity_find(STR("services")), service->id);
    struct client_parts parts;
    int rc = read_parts(compiler, config, row, &parts);
    if (rc)
        return rc;
    bool is_usable = !parts.has_certificate || (parts.certificate && parts.certificate->identity);
    if (is_usable)
        rc = make_client(compiler, &parts, &service->tls);
    if (!is_usable || rc == UV_EINVAL) {
        log_error("a service's client certificate cannot be used; its requests get 502",
                  LOG_STR("service", service->name), LOG_STR("id", service->id));
        return 0;
    }
    if (rc || parts.has_certificate) /* whose end is looked at for as long as it is asked for */
        return rc;
    tls_client_unref(compiled->tls);
    compiled->tls = tls_client_ref(service->tls);
    compiled->tls_generation = compiler->client_generation;
    return 0;
}

static int compile_services(struct tls_compiler *compiler, const struct config *config,
                            struct snapshot *snapshot)
{
    size_t lent = config_lent(config);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < snapshot->service_count; i++) {
        if (snapshot->services[i].protocol & (PROTOCOL_HTTPS | PROTOCOL_TLS | PROTOCOL_GRPCS))
            rc = compile_service(compiler, config, snapshot->compiled_services[i],
                                 &snapshot->services[i]);
        config_take_back(config, lent);
    }
    return rc;
}

/* --- the whole --- */

/* What nobody has asked for this time, and nobody has from another. One a walk, as the map must
 * not change under it. */
static bool is_unused(const struct made *made, uint64_t generation)
{
    return made->generation != generation && tls_client_is_last(made->client);
}

static void forget_unused(struct map *map, uint64_t generation)
{
    bool any = true;
    while (any) {
        size_t at = 0;
        struct str key;
        void *value;
        any = false;
        while (!any && map_each(map, &at, &key, &value))
            any = is_unused(value, generation);
        if (any)
            free_made(map_remove(map, key));
    }
}

static void note_stamps(struct tls_compiler *compiler, const struct config *config)
{
    uint64_t certificates = config_stamp(config, entity_find(STR("certificates")));
    uint64_t authorities = config_stamp(config, entity_find(STR("ca_certificates")));
    if (certificates == compiler->certificates && authorities == compiler->authorities)
        return;
    compiler->certificates = certificates;
    compiler->authorities = authorities;
    compiler->client_generation++;
}

int tls_compile(struct tls_compiler *compiler, const struct config *config,
                struct snapshot *snapshot)
{
    compiler->generation++;
    compiler->lines = 0;
    note_stamps(compiler, config);
    int rc = tls_names_create(&snapshot->names);
    if (!rc)
        rc = compile_names(compiler, config, snapshot->names);
    if (!rc)
        rc = compile_services(compiler, config, snapshot);
    if (rc)
        return rc;
    forget_unused(&compiler->clients, compiler->generation);
    forget_unused(&compiler->identities, compiler->generation);
    return 0;
}
