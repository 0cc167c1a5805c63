#include "http/websocket.h"

#include <openssl/evp.h>

#define SHA1_BYTES 20
#define SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, section 1.3 */

void websocket_write_key(const uint8_t random[16], char out[WEBSOCKET_KEY_BYTES])
{
    unsigned char text[WEBSOCKET_KEY_BYTES + 1]; /* OpenSSL ends it */
    EVP_EncodeBlock(text, random, 16);
    memcpy(out, text, WEBSOCKET_KEY_BYTES);
}

bool websocket_is_accepted(struct str key, struct str accept)
{
    unsigned char digest[SHA1_BYTES], expected[WEBSOCKET_ACCEPT_BYTES + 1];
    char text[WEBSOCKET_KEY_BYTES + sizeof(SUFFIX) - 1];
    if (key.len != WEBSOCKET_KEY_BYTES)
        return false;
    memcpy(text, key.ptr, key.len);
    memcpy(text + key.len, SUFFIX, sizeof(SUFFIX) - 1);
    if (EVP_Digest(text, sizeof(text), digest, NULL, EVP_sha1(), NULL) != 1)
        return false;
    EVP_EncodeBlock(expected, digest, sizeof(digest));
    return str_equal(accept, str_make((const char *)expected, WEBSOCKET_ACCEPT_BYTES));
}
