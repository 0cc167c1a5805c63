#include "net/client_hello.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RECORD_HANDSHAKE 22
#define RECORD_HEAD_BYTES 5
#define RECORD_MAX_BYTES 16384 /* of plaintext: RFC 8446, section 5.1 */
#define MESSAGE_CLIENT_HELLO 1
#define MESSAGE_HEAD_BYTES 4
#define RANDOM_BYTES 32
#define SESSION_ID_MAX_BYTES 32
#define EXTENSION_SERVER_NAME 0
#define NAME_TYPE_HOST 0

/* What is still to be read of a vector. */
struct slice {
    const uint8_t *at;
    size_t left;
};

static bool take_number(struct slice *from, unsigned bytes, size_t *ret)
{
    size_t number = 0;
    if (from->left < bytes)
        return false;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | from->at[i];
    from->at += bytes;
    from->left -= bytes;
    *ret = number;
    return true;
}

static bool take(struct slice *from, size_t len, struct slice *ret)
{
    if (from->left < len)
        return false;
    *ret = (struct slice){from->at, len};
    from->at += len;
    from->left -= len;
    return true;
}

/* A vector whose length stands in front of it in so many bytes. */
static bool take_vector(struct slice *from, unsigned length_bytes, struct slice *ret)
{
    size_t len;
    return take_number(from, length_bytes, &len) && take(from, len, ret);
}

static enum client_hello_result refuse(struct client_hello *hello, const char *why)
{
    hello->name_len = 0;
    hello->why = why;
    return CLIENT_HELLO_REFUSED;
}

/* --- the records --- */

/* The message, put together of its records. *ret_len is what has come of it, *ret_size how much it
 * is to be; 0 while that isn't known. */
static const char *gather(const uint8_t *bytes, size_t len, uint8_t *message, size_t *ret_len,
                          size_t *ret_size)
{
    size_t at = 0, got = 0, size = 0;
    while (at < len && (size == 0 || got < size)) {
        size_t seen = len - at;
        const uint8_t *head = bytes + at;
        if (head[0] != RECORD_HANDSHAKE)
            return at ? "another record within the ClientHello" : "not TLS";
        if (seen > 1 && head[1] != 3)
            return "not TLS";
        if (seen < RECORD_HEAD_BYTES)
            break;
        size_t record = (size_t)head[3] << 8 | head[4];
        if (record == 0 || record > RECORD_MAX_BYTES)
            return "a record of a length that is not allowed";
        at += RECORD_HEAD_BYTES;
        size_t part = record < len - at ? record : len - at;
        if (got + part > CLIENT_HELLO_MAX_BYTES)
            return "the ClientHello is too long";
        memcpy(message + got, bytes + at, part);
        got += part;
        at += part;
        if (got >= 1 && message[0] != MESSAGE_CLIENT_HELLO)
            return "a handshake that doesn't begin with a ClientHello";
        if (got >= MESSAGE_HEAD_BYTES)
            size = MESSAGE_HEAD_BYTES +
                   ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
        if (size > CLIENT_HELLO_MAX_BYTES - RECORD_HEAD_BYTES)
            return "the ClientHello is too long";
        /* Also what is still to come of this record belongs to it. */
        if (size > 0 && got - part + record > size)
            return "more in the ClientHello's record";
    }
    bool is_whole = size > 0 && got >= size;
    if (is_whole ? at > CLIENT_HELLO_MAX_BYTES : len >= CLIENT_HELLO_MAX_BYTES)
        return "the ClientHello is too long";
    *ret_len = got;
    *ret_size = size;
    return NULL;
}

/* --- the message --- */

static bool is_host_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* One name, of a host. There is no other type, and of each there may be one. */
static const char *read_server_name(struct slice extension, struct client_hello *hello)
{
    struct slice list, name;
    size_t type;
    if (!take_vector(&extension, 2, &list) || extension.left > 0 || !take_number(&list, 1, &type) ||
        type != NAME_TYPE_HOST || !take_vector(&list, 2, &name) || list.left > 0)
        return "a malformed server name";
    if (name.left == 0 || name.left > CLIENT_HELLO_NAME_BYTES)
        return "a server name of a length that is not allowed";
    for (size_t i = 0; i < name.left; i++) {
        if (!is_host_char(name.at[i]))
            return "a server name that is none of a host";
        hello->name[i] = str_lower_char((char)name.at[i]);
    }
    hello->name_len = name.left;
    return NULL;
}

static const char *read_extensions(struct slice extensions, struct client_hello *hello)
{
    bool has_name = false;
    while (extensions.left > 0) {
        size_t type;
        struct slice extension;
        if (!take_number(&extensions, 2, &type) || !take_vector(&extensions, 2, &extension))
            return "malformed extensions";
        if (type != EXTENSION_SERVER_NAME)
            continue;
        if (has_name)
            return "two server names";
        has_name = true;
        const char *why = read_server_name(extension, hello);
        if (why)
            return why;
    }
    return NULL;
}

static const char *read_message(struct slice message, struct client_hello *hello)
{
    struct slice random, session_id, ciphers, compressions, extensions;
    size_t version;
    if (!take_number(&message, 2, &version) || version >> 8 != 3)
        return "a version that is none of TLS";
    if (!take(&message, RANDOM_BYTES, &random) || !take_vector(&message, 1, &session_id) ||
        session_id.left > SESSION_ID_MAX_BYTES || !take_vector(&message, 2, &ciphers) ||
        ciphers.left == 0 || ciphers.left % 2 != 0 || !take_vector(&message, 1, &compressions) ||
        compressions.left == 0)
        return "a malformed ClientHello";
    if (message.left == 0) /* as before there were extensions */
        return NULL;
    if (!take_vector(&message, 2, &extensions) || message.left > 0)
        return "malformed extensions";
    return read_extensions(extensions, hello);
}

enum client_hello_result client_hello_read(const char *bytes, size_t len, struct client_hello *ret)
{
    uint8_t message[CLIENT_HELLO_MAX_BYTES];
    size_t got, size;
    ret->name_len = 0;
    ret->why = NULL;
    const char *why = gather((const uint8_t *)bytes, len, message, &got, &size);
    if (why)
        return refuse(ret, why);
    if (size == 0 || got < size)
        return CLIENT_HELLO_MORE;
    why =
        read_message((struct slice){message + MESSAGE_HEAD_BYTES, size - MESSAGE_HEAD_BYTES}, ret);
    return why ? refuse(ret, why) : CLIENT_HELLO_DONE;
}
