#include "plugins/jws.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#define MAX_COORDINATE_BYTES 66 /* of P-521 */
#define MAX_DER_BYTES (2 * MAX_COORDINATE_BYTES + 16)

struct algorithm {
    struct str name;
    const EVP_MD *(*digest)(void); /* NULL: the key's own */
    int key_type;                  /* EVP_PKEY_…; 0: a secret */
    bool is_pss;
    int coordinate_bytes; /* elliptic curves: of each half of a signature */
};

static const struct algorithm algorithms[] = {
    {STR_INIT("HS256"), EVP_sha256, 0, false, 0},
    {STR_INIT("HS384"), EVP_sha384, 0, false, 0},
    {STR_INIT("HS512"), EVP_sha512, 0, false, 0},
    {STR_INIT("RS256"), EVP_sha256, EVP_PKEY_RSA, false, 0},
    {STR_INIT("RS384"), EVP_sha384, EVP_PKEY_RSA, false, 0},
    {STR_INIT("RS512"), EVP_sha512, EVP_PKEY_RSA, false, 0},
    {STR_INIT("ES256"), EVP_sha256, EVP_PKEY_EC, false, 32},
    {STR_INIT("ES384"), EVP_sha384, EVP_PKEY_EC, false, 48},
    {STR_INIT("ES512"), EVP_sha512, EVP_PKEY_EC, false, 66},
    {STR_INIT("PS256"), EVP_sha256, EVP_PKEY_RSA, true, 0},
    {STR_INIT("PS384"), EVP_sha384, EVP_PKEY_RSA, true, 0},
    {STR_INIT("PS512"), EVP_sha512, EVP_PKEY_RSA, true, 0},
    {STR_INIT("EdDSA"), NULL, EVP_PKEY_ED25519, false, 0},
};

static const struct algorithm *find(struct str name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (str_equal(algorithms[i].name, name))
            return &algorithms[i];
    return NULL;
}

bool jws_is_known(struct str algorithm)
{
    return find(algorithm) != NULL;
}

bool jws_is_hmac(struct str algorithm)
{
    const struct algorithm *own = find(algorithm);
    return own && own->key_type == 0;
}

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.ptr ? s.ptr : "");
}

bool jws_verify_hmac(struct str algorithm, struct str secret, struct str text, struct str signature)
{
    const struct algorithm *own = find(algorithm);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!own || own->key_type != 0 || secret.len == 0)
        return false;
    return HMAC(own->digest(), secret.ptr, (int)secret.len, bytes_of(text), text.len, digest,
                &len) &&
           len == signature.len && CRYPTO_memcmp(digest, signature.ptr, len) == 0;
}

/* Both halves behind each other (RFC 7518, section 3.4), in the form that OpenSSL takes. 0: no. */
static int make_der(const struct algorithm *own, struct str signature,
                    unsigned char der[MAX_DER_BYTES])
{
    int half = own->coordinate_bytes, len = 0;
    unsigned char *at = der;
    if (signature.len != 2 * (size_t)half)
        return 0;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes_of(signature), half, NULL);
    BIGNUM *s = BN_bin2bn(bytes_of(signature) + half, half, NULL);
    if (pair && r && s && ECDSA_SIG_set0(pair, r, s)) {
        r = s = NULL; /* the pair's now */
        len = i2d_ECDSA_SIG(pair, NULL) <= MAX_DER_BYTES ? i2d_ECDSA_SIG(pair, &at) : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return len > 0 ? len : 0;
}

static bool is_of(const struct algorithm *own, EVP_PKEY *key)
{
    int type = EVP_PKEY_base_id(key);
    if (own->key_type == EVP_PKEY_ED25519)
        return type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448;
    if (own->key_type == EVP_PKEY_EC) /* 521 bits are 66 bytes */
        return type == EVP_PKEY_EC && (EVP_PKEY_bits(key) + 7) / 8 == own->coordinate_bytes;
    return type == own->key_type;
}

bool jws_verify(struct str algorithm, EVP_PKEY *key, struct str text, struct str signature)
{
    const struct algorithm *own = find(algorithm);
    unsigned char der[MAX_DER_BYTES];
    if (!own || own->key_type == 0 || !key || !is_of(own, key))
        return false;
    if (own->coordinate_bytes) {
        int len = make_der(own, signature, der);
        if (len == 0)
            return false;
        signature = str_make((const char *)der, (size_t)len);
    }
    EVP_PKEY_CTX *details = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good =
        context &&
        EVP_DigestVerifyInit(context, &details, own->digest ? own->digest() : NULL, NULL, key) ==
            1 &&
        (!own->is_pss || (EVP_PKEY_CTX_set_rsa_padding(details, RSA_PKCS1_PSS_PADDING) > 0 &&
                          EVP_PKEY_CTX_set_rsa_pss_saltlen(details, RSA_PSS_SALTLEN_DIGEST) > 0)) &&
        EVP_DigestVerify(context, bytes_of(signature), signature.len, bytes_of(text), text.len) ==
            1;
    EVP_MD_CTX_free(context);
    ERR_clear_error(); /* nobody reads why */
    return is_good;
}
