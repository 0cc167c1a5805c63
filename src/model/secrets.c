#include "model/secrets.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/random.h"

#define PBKDF2_ROUNDS 10000 /* Kong's */
#define PBKDF2_SALT_BYTES 16
#define PBKDF2_HASH_BYTES 32
#define SALT_TEXT_LEN 22 /* of base64 without padding */
#define PBKDF2_PREFIX "$pbkdf2-sha512$"

void secrets_hash_password(const char *password, const char *consumer_id,
                           char hash[SECRETS_SHA1_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    hash[0] = '\0';
    if (context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) &&
        EVP_DigestUpdate(context, password, strlen(password)) &&
        EVP_DigestUpdate(context, consumer_id, strlen(consumer_id)) &&
        EVP_DigestFinal_ex(context, digest, &len))
        for (unsigned i = 0; i < len; i++)
            snprintf(hash + (size_t)i * 2, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(context);
}

/* Base64 without padding. */
static void encode(const unsigned char *bytes, int len, char *text)
{
    EVP_EncodeBlock((unsigned char *)text, bytes, len);
    text[strcspn(text, "=")] = '\0';
}

static bool hash_with(const char *secret, const unsigned char salt[PBKDF2_SALT_BYTES],
                      char hash[SECRETS_PBKDF2_BYTES])
{
    unsigned char digest[PBKDF2_HASH_BYTES];
    char salt_text[PBKDF2_SALT_BYTES * 2];
    char digest_text[PBKDF2_HASH_BYTES * 2];
    if (!PKCS5_PBKDF2_HMAC(secret, (int)strlen(secret), salt, PBKDF2_SALT_BYTES, PBKDF2_ROUNDS,
                           EVP_sha512(), sizeof(digest), digest))
        return false;
    encode(salt, PBKDF2_SALT_BYTES, salt_text);
    encode(digest, sizeof(digest), digest_text);
    snprintf(hash, SECRETS_PBKDF2_BYTES, PBKDF2_PREFIX "i=%d,l=%d$%s$%s", PBKDF2_ROUNDS,
             PBKDF2_HASH_BYTES, salt_text, digest_text);
    return true;
}

bool secrets_hash_client_secret(const char *secret, char hash[SECRETS_PBKDF2_BYTES])
{
    unsigned char salt[PBKDF2_SALT_BYTES];
    random_fill(salt, sizeof(salt));
    return hash_with(secret, salt, hash);
}

bool secrets_check_client_secret(const char *secret, const char *hash)
{
    unsigned char salt[PBKDF2_SALT_BYTES + 2]; /* and what the padding decodes to */
    char text[SALT_TEXT_LEN + 3], again[SECRETS_PBKDF2_BYTES];
    const char *at = secrets_is_hashed(hash) ? strchr(hash + strlen(PBKDF2_PREFIX), '$') : NULL;
    if (!at || strcspn(at + 1, "$") != SALT_TEXT_LEN)
        return false;
    snprintf(text, sizeof(text), "%.*s==", SALT_TEXT_LEN, at + 1);
    return EVP_DecodeBlock(salt, (const unsigned char *)text, SALT_TEXT_LEN + 2) > 0 &&
           hash_with(secret, salt, again) && strcmp(again, hash) == 0;
}

bool secrets_is_hashed(const char *secret)
{
    return strncmp(secret, PBKDF2_PREFIX, strlen(PBKDF2_PREFIX)) == 0;
}

EVP_PKEY *secrets_read_public_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    if (!key && bio) {
        (void)BIO_reset(bio);
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        key = certificate ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

bool secrets_is_public_key(const char *pem)
{
    EVP_PKEY *key = secrets_read_public_key(pem);
    EVP_PKEY_free(key);
    return key != NULL;
}
