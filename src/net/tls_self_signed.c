#include "net/tls_self_signed.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <uv.h> /* error codes only */

#include "base/random.h"
#include "base/str.h"

#define RSA_BITS 2048
#define LIFETIME_S (20L * 365 * 86400)
#define PROOF_LIFETIME_S 86400L
#define DIGEST_BYTES 32
#define NAMES_BYTES 300 /* a host name has at most 253 */
#define SERIAL_BYTES 16
#define CLOCK_SKEW_S 3600 /* a client's clock may be behind ours */

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool is_added = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static bool set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    random_fill(bytes, sizeof(bytes));
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and of this length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return is_set;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *common_name, const char *names,
                 long lifetime_s)
{
    static const unsigned char organization[] = "weir";
    const unsigned char *host = (const unsigned char *)common_name;
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -CLOCK_SKEW_S) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), lifetime_s) &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, organization, -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 &&
           add_extension(cert, NID_subject_alt_name, names) &&
           add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth");
}

/* An octet string within the extension's octet string. */
static bool add_proof(X509 *cert, const uint8_t digest[DIGEST_BYTES])
{
    unsigned char der[2 + DIGEST_BYTES] = {0x04, DIGEST_BYTES};
    ASN1_OBJECT *object = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1); /* id-pe-acmeIdentifier */
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    memcpy(der + 2, digest, DIGEST_BYTES);
    X509_EXTENSION *extension =
        object && octets && ASN1_OCTET_STRING_set(octets, der, sizeof(der)) == 1
            ? X509_EXTENSION_create_by_OBJ(NULL, object, 1, octets)
            : NULL;
    bool is_added = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
    return is_added;
}

/* What was written to it, as text; the BIO's own memory is wiped when it goes. */
static char *text_of(BIO *bio)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    return len > 0 ? str_dup(str_make(bytes, (size_t)len)) : NULL;
}

/* Signs it and writes both as texts. Frees neither. 0 or UV_ENOMEM. */
static int finish(X509 *cert, EVP_PKEY *key, char **ret_cert, char **ret_key)
{
    char *cert_text = NULL, *key_text = NULL;
    BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
    if (cert_bio && key_bio && X509_sign(cert, key, EVP_sha256()) > 0 &&
        PEM_write_bio_X509(cert_bio, cert) == 1 &&
        PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        cert_text = text_of(cert_bio);
        key_text = text_of(key_bio);
    }
    BIO_free(cert_bio);
    BIO_free(key_bio);
    if (!cert_text || !key_text) {
        free(cert_text);
        tls_wipe_text(key_text);
        return UV_ENOMEM;
    }
    *ret_cert = cert_text;
    *ret_key = key_text;
    return 0;
}

int tls_self_signed(enum tls_key_type type, char **ret_cert, char **ret_key)
{
    EVP_PKEY *key = type == TLS_KEY_RSA ? EVP_RSA_gen(RSA_BITS) : EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool is_made = key && cert &&
                   fill(cert, key, "localhost", "DNS:localhost,IP:127.0.0.1,IP:::1", LIFETIME_S);
    int rc = is_made ? finish(cert, key, ret_cert, ret_key) : UV_ENOMEM;
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

int tls_acme_proof(const char *host, const uint8_t digest[DIGEST_BYTES], char **ret_cert,
                   char **ret_key)
{
    char names[NAMES_BYTES];
    int len = snprintf(names, sizeof(names), "DNS:%s", host);
    if (len < 0 || (size_t)len >= sizeof(names))
        return UV_EINVAL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    /* A common name has 64 characters at most, and nobody reads this one. */
    bool is_made =
        key && cert && fill(cert, key, "acme", names, PROOF_LIFETIME_S) && add_proof(cert, digest);
    int rc = is_made ? finish(cert, key, ret_cert, ret_key) : UV_ENOMEM;
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

void tls_wipe_text(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}
