#include "model/certificate.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define BEGIN_CERTIFICATE "-----BEGIN CERTIFICATE-----"

/* An encrypted key is of no use to a gateway: nobody is there to be asked. */
static int no_password(char *buffer, int size, int is_writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)arg;
    return 0;
}

/* Owned; NULL: the text holds none. */
static X509 *read_certificate(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return certificate;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static void explain(char *why, size_t size)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(why, size, "%s", reason ? reason : "no PEM text");
    ERR_clear_error();
}

bool certificate_is_one(const char *pem, char *why, size_t size)
{
    X509 *certificate = read_certificate(pem);
    if (!certificate)
        explain(why, size);
    X509_free(certificate);
    return certificate != NULL;
}

bool certificate_is_key(const char *pem, char *why, size_t size)
{
    EVP_PKEY *key = read_key(pem);
    if (!key)
        explain(why, size);
    EVP_PKEY_free(key);
    return key != NULL;
}

bool certificate_matches_key(const char *certificate, const char *key)
{
    X509 *x509 = read_certificate(certificate);
    EVP_PKEY *private_key = read_key(key);
    bool matches = x509 && private_key && X509_check_private_key(x509, private_key) == 1;
    EVP_PKEY_free(private_key);
    X509_free(x509);
    ERR_clear_error();
    return matches;
}

static int type_of(const char *pem)
{
    X509 *x509 = read_certificate(pem);
    const EVP_PKEY *key = x509 ? X509_get0_pubkey(x509) : NULL;
    int type = key ? EVP_PKEY_base_id(key) : EVP_PKEY_NONE;
    X509_free(x509);
    ERR_clear_error();
    return type;
}

bool certificate_has_same_type(const char *certificate, const char *other)
{
    return type_of(certificate) == type_of(other);
}

const char *certificate_ca_problem(const char *pem)
{
    const char *first = strstr(pem, BEGIN_CERTIFICATE);
    if (first && strstr(first + 1, BEGIN_CERTIFICATE))
        return "please submit only one certificate at a time";
    X509 *x509 = read_certificate(pem);
    const char *problem = NULL;
    if (x509 && X509_cmp_current_time(X509_get0_notAfter(x509)) < 0)
        problem = "certificate expired, \"Not After\" time is in the past";
    else if (x509 && !(X509_get_extension_flags(x509) & EXFLAG_CA))
        problem = "certificate does not appear to be a CA because it is missing the \"CA\" basic "
                  "constraint";
    X509_free(x509);
    ERR_clear_error();
    return problem;
}

void certificate_digest(const char *pem, char digest[CERTIFICATE_DIGEST_BYTES])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    X509 *x509 = read_certificate(pem);
    digest[0] = '\0';
    if (x509 && X509_digest(x509, EVP_sha256(), bytes, &len))
        for (unsigned i = 0; i < len; i++)
            snprintf(digest + (size_t)i * 2, 3, "%02x", bytes[i]);
    X509_free(x509);
    ERR_clear_error();
}

bool certificate_is_reference(const char *text)
{
    size_t len = strlen(text);
    return len > 10 && strncmp(text, "{vault://", 9) == 0 && text[len - 1] == '}';
}
